package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"fanmill/internal/notify"
	"fanmill/pipeline"
)

// posted is what a kind would send.
func posted(t *testing.T, kind string, n *pipeline.Notice) (body string, into map[string]any) {
	t.Helper()
	var p notify.Post
	kinds := notify.Kinds(func(_ context.Context, got notify.Post) (string, error) {
		p = got
		return "it answered 200", nil
	})
	target := &pipeline.NotifyTarget{ID: kind, Type: kind, Options: json.RawMessage(`{"url":"${HOOK}"}`)}
	if _, err := kinds[kind].Send(t.Context(), pipeline.NotifySpec{Target: target, Notice: n, Expand: func(string) (string, error) { return "https://example.com/secret-path", nil }}); err != nil {
		t.Fatal(err)
	}
	if p.Key != n.ID || p.URL != "https://example.com/secret-path" || !json.Valid(p.Body) || !utf8.Valid(p.Body) {
		t.Errorf("%s posts with the key %q to %q:\n%s", kind, p.Key, p.URL, p.Body)
	}
	if err := json.Unmarshal(p.Body, &into); err != nil {
		t.Fatal(err)
	}
	return string(p.Body), into
}

var chats = []string{"slack", "discord", "teams", "teams-card", "webhook"}

// hostile are names that mean something where they are shown as anything but text.
var hostile = []string{"<!channel> <@U123> <https://evil.example|click>", "@everyone @here <@&1> [x](https://evil.example) https://evil.example", "**bold** `code` ||spoiler|| # head",
	"<at>all</at> </script><b>x</b>", "a\r\nb\x00c\u202eevil\u2066", hindi, tamil}

// No name pings, links or formats in any chat, wherever it stands.
func TestNamesAreText(t *testing.T) {
	for _, name := range hostile {
		n := noticeOf(name)
		n.Missing = []pipeline.NoticeMissing{{ID: "c", Name: name, Why: name}}
		n.Places[0].Destination, n.Places[0].Where, n.Places[0].Error = name, name, name
		n.Job = name
		for _, kind := range chats {
			body, _ := posted(t, kind, n)
			for _, bad := range []string{"\\u0000", "\u202e", "\u2066", "\x00"} {
				if kind != "webhook" && strings.Contains(body, bad) {
					t.Errorf("%s of %q has %q", kind, name, bad)
				}
			}
			switch kind {
			case "slack":
				if strings.Contains(body, "<") || strings.Contains(body, ">") {
					t.Errorf("slack of %q has a < or > that is not escaped:\n%s", name, body)
				}
				if strings.Count(body, `"verbatim":true`) != strings.Count(body, `"mrkdwn"`) {
					t.Errorf("slack of %q lets names and addresses become links:\n%s", name, body)
				}
			case "discord":
				if !strings.Contains(body, `"allowed_mentions":{"parse":[]}`) || strings.Contains(body, "://") || strings.Contains(body, "<@") || strings.Contains(body, "@everyone") || strings.Contains(body, "](") && !strings.Contains(body, `\\](`) && !strings.Contains(body, `\\]\\(`) {
					t.Errorf("discord of %q:\n%s", name, body)
				}
			case "teams", "teams-card":
				if strings.Contains(body, `"TextBlock"`) || strings.Contains(body, `"entities"`) {
					t.Errorf("%s of %q has texts with a meaning:\n%s", kind, name, body)
				}
			}
		}
	}
}

// The largest notice fits each chat, and says how much it leaves out: all missing connections are counted.
func TestNoticesFit(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 500), strings.Repeat("<&>*_", 100), strings.Repeat("ஸ்ரீ", 100)} {
		n := noticeOf(name)
		n.Connections, n.Complete, n.Missing, n.More = 1000, 944, nil, 36
		n.Places = nil
		for i := range 20 {
			n.Missing = append(n.Missing, pipeline.NoticeMissing{ID: fmt.Sprint(i), Name: name, Why: name})
			n.Places = append(n.Places, pipeline.NoticePlace{Destination: fmt.Sprint("d", i), Where: name, Error: name, State: pipeline.RecordDetached, Rows: 1})
		}
		for _, kind := range chats {
			body, v := posted(t, kind, n)
			left := "56 of 1,000 connections missing"
			if kind != "webhook" && !strings.Contains(body, "more") {
				t.Errorf("%s does not say that there are more than it names", kind)
			}
			switch kind {
			case "slack":
				blocks := v["blocks"].([]any)
				total := 0
				for _, b := range blocks {
					if text, ok := b.(map[string]any)["text"].(map[string]any); ok {
						count := utf8.RuneCountInString(text["text"].(string))
						if total += count; count > 3000 {
							t.Errorf("a section has %d characters", count)
						}
					}
				}
				if len(blocks) > 50 || total > 13_200 {
					t.Errorf("slack: %d blocks, %d characters", len(blocks), total)
				}
			case "discord":
				e := v["embeds"].([]any)[0].(map[string]any)
				total := utf8.RuneCountInString(e["title"].(string)) + utf8.RuneCountInString(e["description"].(string)) + utf8.RuneCountInString(e["footer"].(map[string]any)["text"].(string))
				if utf8.RuneCountInString(e["description"].(string)) > 4096 || utf8.RuneCountInString(e["title"].(string)) > 256 {
					t.Error("discord: the title or the description is too long")
				}
				fields, _ := e["fields"].([]any)
				for _, f := range fields {
					value := utf8.RuneCountInString(f.(map[string]any)["value"].(string))
					if total += value + utf8.RuneCountInString(f.(map[string]any)["name"].(string)); value > 1024 {
						t.Errorf("discord: a field has %d characters", value)
					}
				}
				if total > 6000 || len(fields) > 25 {
					t.Errorf("discord: %d characters, %d fields", total, len(fields))
				}
			case "teams", "teams-card":
				if len(body) > 20_000 {
					t.Errorf("%s: the card has %d bytes", kind, len(body))
				}
			default:
				continue
			}
			if name[0] == 'x' && !strings.Contains(body, left) {
				t.Errorf("%s does not say %q:\n%s", kind, left, body)
			}
		}
	}
}

// Control totals that do not agree, and connections that changed, are named in every kind.
func TestDoubtsAndChangesAreTold(t *testing.T) {
	n := noticeOf("GST")
	n.Missing, n.Verified, n.Complete = nil, 2, 2
	n.Doubts = []pipeline.NoticeMissing{{ID: "c", Name: "Pune", Why: "the database says 7"}}
	n.Changes = []pipeline.NoticeMissing{{ID: "d", Name: "Goa", Why: "rows: 10, last time 20"}}
	for _, kind := range chats[:4] {
		body, _ := posted(t, kind, n)
		for _, want := range []string{"the control totals of 1 connection do not agree", "the database says 7", "rows: 10, last time 20", "2 verified, 1 not"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q:\n%s", kind, want, body)
			}
		}
	}
	s := newMailServer(t)
	if _, err := sendMail(t, s.target(nil), n); err != nil {
		t.Fatal(err)
	}
	m := parse(t, s.took()[0].data)
	for _, body := range []string{m.text, m.html} {
		if !strings.Contains(body, "the database says 7") || !strings.Contains(body, "rows: 10, last time 20") {
			t.Errorf("the mail says\n%s", body)
		}
	}
}

// Each event has its own words; a sample says that it is one; Teams says what its yes is worth.
func TestEventsHaveWords(t *testing.T) {
	for event, want := range map[pipeline.NoticeEvent]string{pipeline.NoticeComplete: "GST: complete", pipeline.NoticePartial: "GST: partial, 1 of 3 connections missing", pipeline.NoticeFailed: "GST: failed, nothing was delivered",
		pipeline.NoticeRecovered: "GST: complete again", pipeline.NoticeLate: "GST: late, not complete by 07:00"} {
		n := noticeOf("GST")
		n.Event, n.Late, n.Sample = event, "07:00", true
		for _, kind := range chats[:4] {
			if body, _ := posted(t, kind, n); !strings.Contains(body, want) || !strings.Contains(body, "sample") {
				t.Errorf("%s of %s does not say %q:\n%s", kind, event, want, body)
			}
		}
		if _, v := posted(t, "webhook", n); v["type"] != "fanmill.job."+string(event) {
			t.Errorf("the webhook's type is %v", v["type"])
		}
	}
	yes := func(context.Context, notify.Post) (string, error) { return "it answered 202", nil }
	answer, err := notify.Kinds(yes)["teams"].Send(t.Context(), pipeline.NotifySpec{Target: &pipeline.NotifyTarget{Options: json.RawMessage(`{"url":"${HOOK}"}`)}, Notice: noticeOf("GST"),
		Expand: func(string) (string, error) { return "https://example.com", nil }})
	if err != nil || !strings.Contains(answer, "accepted") || strings.Contains(answer, "delivered") {
		t.Errorf("teams says %q, %v", answer, err)
	}
}

// An address is a secret: no answer and no error has it.
func TestAddressesAreMasked(t *testing.T) {
	const secret = "https://hooks.example.com/T000/B000/top-secret"
	for _, kind := range chats {
		says := func(_ context.Context, p notify.Post) (string, error) {
			return "you sent " + p.URL, &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("no such address: " + p.URL)}
		}
		answer, err := notify.Kinds(says)[kind].Send(t.Context(), pipeline.NotifySpec{Target: &pipeline.NotifyTarget{Options: json.RawMessage(`{"url":"${HOOK}"}`)}, Notice: noticeOf("GST"),
			Expand: func(string) (string, error) { return secret, nil }})
		if err == nil || strings.Contains(err.Error()+answer, "top-secret") || pipeline.TroubleOf(err).Scope != pipeline.OfTarget {
			t.Errorf("%s: %q, %v", kind, answer, err)
		}
	}
}
