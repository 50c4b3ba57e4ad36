package web

import (
	"fmt"
	"html/template"
	"time"

	"fanmill/pipeline"
)

// functions are what templates call.
func functions(w Words) template.FuncMap {
	return template.FuncMap{
		"count": func(n any) string { return w.Count(whole(n)) },
		"size":  w.Size,
		"of":    func(n any, thing string) string { return w.Of(whole(n), thing) },
		"millis": func(ms int64) string {
			return w.Duration(time.Duration(ms) * time.Millisecond)
		},
		"elapsed": func(since time.Time) string { return w.Duration(time.Since(since).Truncate(time.Second)) },
		"token":   pipeline.Token,
		"state":   stateOf,
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"when":    func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
		"short":   func(s string, n int) string { return s[:min(n, len(s))] },
		"behind": func(lag *int64) int64 {
			if lag == nil {
				return 0
			}
			return *lag
		},
		"dict": dict,
	}
}

// whole is a number of any kind.
func whole(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	}
	panic(fmt.Sprintf("%T is no number", n))
}

// dict hands several values to a template.
func dict(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

// stateView is how a state is shown: a sign beside the word, and a colour.
type stateView struct {
	Word, Sign, Kind string // Kind is good, bad, warn, going or still
	Short            bool   // the word is not to be broken
}

// shortState is the length of the longest state that has a name of its own.
const shortState = len("without a body")

// stateOf shows the state of a run, a connection, a destination or a dead request.
func stateOf(state any) stateView {
	word := fmt.Sprint(state)
	v := stateView{word, "○", "still", len(word) <= shortState}
	switch word {
	case "complete", "done", "finished", "settled", "reachable":
		v.Sign, v.Kind = "✓", "good"
	case "failed", "rejected", "detached", "refused", "without a body":
		v.Sign, v.Kind = "✕", "bad"
	case "partial":
		v.Sign, v.Kind = "◐", "warn"
	case "interrupted":
		v.Sign, v.Kind = "‖", "warn"
	case "owing", "sealed", "unknown", "superseded", "differs":
		v.Sign, v.Kind = "!", "warn"
	case "running", "open", "finishing", "to be sent":
		v.Sign, v.Kind = "▶", "going"
	case "delivered":
		v.Sign, v.Kind = "▷", "going"
	case "abandoned", "to be dropped":
		v.Sign = "–"
	}
	return v
}
