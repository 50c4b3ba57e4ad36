package notify

import (
	"fanmill/pipeline"
)

// teamsKind is a flow of Power Automate that posts Adaptive Cards. Two shapes are in use: the template "when a webhook
// request is received" of a channel takes a message with the card attached, an action "post card" takes the bare card.
// A flow answers before it has posted anything: what it has accepted may still fail there.
func teamsKind(post Poster, bare bool) *pipeline.NotifyKind {
	k := &pipeline.NotifyKind{Name: "teams", Label: "Teams", Description: "A card in a channel of Microsoft Teams, by a flow (Workflows) that takes a message with the card attached.",
		Options: chatTable("https://....powerplatform.com/...&sig=..."), Probe: chatProbe(post)}
	if bare {
		k.Name, k.Description = "teams-card", "The same for a flow that takes the bare card."
	}
	k.Send = chatSend(accepting(post), func(n *pipeline.Notice) []byte { return teamsBody(n, bare) })
	return k
}

// teamsBytes is what a card has at most: Teams takes about 28 KB.
const teamsBytes = 20_000

type teamsBlock struct {
	Type      string     `json:"type"`
	Inlines   []teamsRun `json:"inlines,omitempty"`
	Separator bool       `json:"separator,omitempty"`
	Spacing   string     `json:"spacing,omitempty"`
}

// teamsRun is a text in which nothing has a meaning: a TextBlock would take Markdown.
type teamsRun struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
	Size   string `json:"size,omitempty"`
	Color  string `json:"color,omitempty"`
	Subtle bool   `json:"isSubtle,omitempty"`
}

type teamsCard struct {
	Schema   string            `json:"$schema"`
	Type     string            `json:"type"`
	Version  string            `json:"version"`
	Fallback string            `json:"fallbackText"`
	Body     []teamsBlock      `json:"body"`
	Teams    map[string]string `json:"msteams"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	ContentURL  *string   `json:"contentUrl"`
	Content     teamsCard `json:"content"`
}

func teamsBody(n *pipeline.Notice, bare bool) []byte {
	m := newMessage(n)
	for {
		card := m.teams()
		body := encode(card)
		if !bare {
			body = encode(struct {
				Type        string            `json:"type"`
				Summary     string            `json:"summary"`
				Attachments []teamsAttachment `json:"attachments"`
			}{"message", m.title, []teamsAttachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: card}}})
		}
		if len(body) <= teamsBytes || !m.shorter() {
			return body
		}
	}
}

func (m *message) teams() teamsCard {
	card := teamsCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Fallback: m.title, Teams: map[string]string{"width": "Full"}}
	block := func(separator bool, runs ...teamsRun) {
		for i := range runs {
			runs[i].Type = "TextRun"
		}
		card.Body = append(card.Body, teamsBlock{Type: "RichTextBlock", Inlines: runs, Separator: separator, Spacing: "Small"})
	}
	color := "Good"
	if m.bad {
		color = "Attention"
	}
	block(false, teamsRun{Text: m.title, Weight: "Bolder", Size: "Medium", Color: color})
	for _, f := range m.facts {
		block(false, teamsRun{Text: f.name + ": ", Weight: "Bolder"}, teamsRun{Text: f.text})
	}
	list := func(head string, facts []fact, tail string) {
		if len(facts) == 0 && tail == "" {
			return
		}
		block(true, teamsRun{Text: head, Weight: "Bolder"})
		for _, f := range facts {
			block(false, teamsRun{Text: "• " + f.line()})
		}
		if tail != "" {
			block(false, teamsRun{Text: tail})
		}
	}
	list("Missing, or not verified", m.missing, moreText("", m.more))
	list("Changed since the last run", m.changes, moreText("", m.moreChanges))
	list("Destinations", m.places, moreText("", m.morePlaces))
	block(true, teamsRun{Text: m.footer, Subtle: true})
	return card
}
