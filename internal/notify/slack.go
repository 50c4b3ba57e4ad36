package notify

import (
	"context"
	"encoding/json"
	"strings"

	"fanmill/pipeline"
)

func slackKind(post Poster) *pipeline.NotifyKind {
	return &pipeline.NotifyKind{Name: "slack", Label: "Slack", Description: "A message in a channel of Slack, by an incoming webhook.",
		Options: chatTable("https://hooks.slack.com/services/..."),
		Send:    chatSend(post, slackBody), Probe: chatProbe(post)}
}

// Limits of Slack: a section has 3,000 characters, a message 50 blocks, and about 13,200 characters in all.
const (
	slackSection = 2900
	slackBytes   = 12_000
)

type slackText struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"` // no address and no name becomes a link
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

// slackEscaper is all that Slack asks to be escaped: without < there is neither a mention nor a link.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackBody(n *pipeline.Notice) []byte {
	m := newMessage(n)
	for {
		body := m.slack()
		if len(body) <= slackBytes || !m.shorter() {
			return body
		}
	}
}

func (m *message) slack() []byte {
	var blocks []slackBlock
	section := func(text string) {
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackText{"mrkdwn", text, true}})
	}
	list := func(head string, facts []fact, tail string) {
		text := head
		for _, f := range facts {
			line := "\n• " + slackEscaper.Replace(f.line())
			if len([]rune(text))+len([]rune(line)) > slackSection {
				section(text)
				text = strings.TrimPrefix(line, "\n")
				continue
			}
			text += line
		}
		section(text + tail)
	}
	section("*" + slackEscaper.Replace(m.title) + "*")
	var facts strings.Builder
	for i, f := range m.facts {
		if i > 0 {
			facts.WriteByte('\n')
		}
		facts.WriteString("*" + f.name + ":* " + slackEscaper.Replace(f.text))
	}
	section(facts.String())
	if len(m.missing)+m.more > 0 {
		list("*Missing, or not verified*", m.missing, moreText("\n", m.more))
	}
	if len(m.changes)+m.moreChanges > 0 {
		list("*Changed since the last run*", m.changes, moreText("\n", m.moreChanges))
	}
	if len(m.places)+m.morePlaces > 0 {
		list("*Destinations*", m.places, moreText("\n", m.morePlaces))
	}
	blocks = append(blocks, slackBlock{Type: "context", Elements: []slackText{{"mrkdwn", slackEscaper.Replace(m.footer), true}}})
	return encode(struct {
		Text   string       `json:"text"` // of previews
		Blocks []slackBlock `json:"blocks"`
		Links  bool         `json:"unfurl_links"`
		Media  bool         `json:"unfurl_media"`
	}{Text: slackEscaper.Replace(m.title), Blocks: blocks})
}

func moreText(before string, more int) string {
	if more == 0 {
		return ""
	}
	return before + "and " + number(int64(more)) + " more"
}

// encode is JSON with < and & as they are: receivers count characters.
func encode(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // of texts and numbers
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// chatTable are the options of a kind whose address is all that there is, and is the secret.
func chatTable(example string) []pipeline.Option {
	return []pipeline.Option{
		{Name: "url", Types: []string{"string"}, Use: pipeline.Secret, Required: true, Example: "${WEBHOOK_URL}",
			Description: "The address that the receiver has given, such as `" + example + "`. Who knows it can write there."},
		{Name: "ca", Types: []string{"string"}, References: true, Use: pipeline.Free, Absent: "those of the system",
			Description: "Authorities of the receiver's certificate besides those of the system: PEM, or the path of a file."},
		{Name: "proxy", Types: []string{"string"}, Use: pipeline.Secret, Absent: "as the environment says",
			Description: "The URL of a proxy."},
	}
}

type chatOptions struct {
	URL   string `json:"url"`
	CA    string `json:"ca"`
	Proxy string `json:"proxy"`
}

// chat is a request without its body.
func chat(spec pipeline.NotifySpec) (Post, error) {
	var o chatOptions
	if err := spec.Target.Decode(chatTable(""), spec.Expand, &o); err != nil {
		return Post{}, err
	}
	return Post{URL: o.URL, CA: o.CA, Proxy: o.Proxy, Mask: []string{o.URL, o.Proxy}}, nil
}

func chatSend(post Poster, body func(*pipeline.Notice) []byte) func(context.Context, pipeline.NotifySpec) (string, error) {
	return func(ctx context.Context, spec pipeline.NotifySpec) (string, error) {
		p, err := chat(spec)
		if err != nil {
			return "", err
		}
		p.Key, p.Body = spec.Notice.ID, body(spec.Notice)
		return post(ctx, p)
	}
}

func chatProbe(post Poster) func(context.Context, pipeline.NotifySpec) error {
	return func(ctx context.Context, spec pipeline.NotifySpec) error {
		p, err := chat(spec)
		if err != nil {
			return err
		}
		p.Key, p.Probe = "probe", true
		_, err = post(ctx, p)
		return err
	}
}
