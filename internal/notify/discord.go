package notify

import (
	"strings"
	"time"

	"fanmill/pipeline"
)

func discordKind(post Poster) *pipeline.NotifyKind {
	return &pipeline.NotifyKind{Name: "discord", Label: "Discord", Description: "A message in a channel of Discord, by a webhook.",
		Options: chatTable("https://discord.com/api/webhooks/..."),
		Send:    chatSend(post, discordBody), Probe: chatProbe(post)}
}

// Limits of Discord, in characters: a title, a description, the value of a field, and all of them together.
const (
	discordTitle       = 256
	discordDescription = 4096
	discordField       = 1024
	discordAll         = 5800 // of 6,000
)

// Colours of the bar beside a message.
const (
	discordRed   = 0xc0392b
	discordGreen = 0x27ae60
)

type discordEmbed struct {
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Color       int             `json:"color"`
	Fields      []discordNamed  `json:"fields,omitempty"`
	Footer      *discordCaption `json:"footer,omitempty"`
	Timestamp   string          `json:"timestamp"`
}

type discordNamed struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type discordCaption struct {
	Text string `json:"text"`
}

// discordEscaper takes their meaning from the signs of Markdown. A character without width keeps an address from
// becoming a link, and a name from looking like a mention; allowed_mentions keeps it from being one.
var discordEscaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, ">", `\>`, "<", "<\u200b", "[", `\[`, "]", `\]`, "(", `\(`, ")", `\)`,
	"#", `\#`, "@", "@\u200b", "://", ":\u200b//", "- ", `\- `)

func discordBody(n *pipeline.Notice) []byte {
	m := newMessage(n)
	for {
		e, fits := m.discord(n)
		if fits || !m.shorter() {
			return encode(struct {
				Embeds   []discordEmbed      `json:"embeds"`
				Mentions map[string][]string `json:"allowed_mentions"`
			}{[]discordEmbed{e}, map[string][]string{"parse": {}}})
		}
	}
}

func (m *message) discord(n *pipeline.Notice) (e discordEmbed, fits bool) {
	e = discordEmbed{Title: cutRunes(discordEscaper.Replace(m.title), discordTitle), Color: discordGreen, Footer: &discordCaption{m.footer}, Timestamp: n.At.UTC().Format(time.RFC3339)}
	if m.bad {
		e.Color = discordRed
	}
	var b strings.Builder
	for _, f := range m.facts {
		b.WriteString("**" + f.name + "** " + discordEscaper.Replace(f.text) + "\n")
	}
	if len(m.missing)+m.more > 0 {
		discordList(&b, "Missing, or not verified", m.missing, m.more)
	}
	if len(m.changes)+m.moreChanges > 0 {
		discordList(&b, "Changed since the last run", m.changes, m.moreChanges)
	}
	if m.morePlaces > 0 {
		b.WriteString("\n" + counted(m.morePlaces, "more destination") + "\n")
	}
	e.Description = b.String()
	all := len([]rune(e.Title)) + len([]rune(e.Description)) + len([]rune(m.footer))
	for _, f := range m.places {
		field := discordNamed{cutRunes(discordEscaper.Replace(f.name), discordTitle), cutRunes(discordEscaper.Replace(f.text), discordField)}
		e.Fields = append(e.Fields, field)
		all += len([]rune(field.Name)) + len([]rune(field.Value))
	}
	return e, len([]rune(e.Description)) <= discordDescription && all <= discordAll && len(e.Fields) <= 25
}

func discordList(b *strings.Builder, head string, facts []fact, more int) {
	b.WriteString("\n**" + head + "**\n")
	for _, f := range facts {
		b.WriteString("• " + discordEscaper.Replace(f.line()) + "\n")
	}
	if more > 0 {
		b.WriteString(moreText("", more) + "\n")
	}
}

// cutRunes is a text of so many characters at most, not cut behind a sign that escapes the next one.
func cutRunes(text string, most int) string {
	r := []rune(text)
	if len(r) <= most {
		return text
	}
	return strings.TrimRight(string(r[:most-1]), `\`) + "…"
}
