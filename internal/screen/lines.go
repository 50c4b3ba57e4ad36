package screen

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"fanmill/pipeline"
)

// Lines tells a run's events as log lines. Users search for their first words and marks: these never change. Numbers
// in them have no separators, for the same reason.
//
// Resumed runs and memory readings are logged where they happen. Its methods may be called from several goroutines.
type Lines struct {
	log        *slog.Logger
	structured bool
	names      map[string]string // by connection id
	labels     map[string]string // by destination id
	twins      bool              // two destinations have one label

	mu      sync.Mutex
	ledger  *ledger
	written map[string]bool // connections some of whose rows were written in this process
}

// NewLines makes the narrator of one run. With structured, for logs that machines read, each line has its facts as
// attributes too: job, run, connection (its id), destination, rows, attempt, error.
func NewLines(log *slog.Logger, scope Scope, structured bool) *Lines {
	l := &Lines{log: log, structured: structured, names: map[string]string{}, labels: map[string]string{}, ledger: newLedger(scope), written: map[string]bool{}}
	for _, c := range scope.Connections {
		l.names[c.ID] = clean(c.Name)
	}
	seen := map[string]bool{}
	for _, d := range scope.Destinations {
		label := cmp.Or(d.Label, d.Type, "destination")
		l.twins = l.twins || seen[label]
		seen[label], l.labels[d.ID] = true, label
	}
	return l
}

// Observe tells an event.
func (l *Lines) Observe(e pipeline.Event) {
	over, fresh := l.account(e)
	name, label := l.name(e.Connection), l.label(e.Destination)
	reason := oneLine(e.Error)
	switch e.Kind {
	case pipeline.EventConnected:
		l.say(slog.LevelInfo, e, "▶️ Executing connection: "+name)
	case pipeline.EventCommitted:
		l.say(slog.LevelInfo, e, fmt.Sprintf("💾 Progressive %s write: %s (%d rows) appended", label, name, e.Rows))
	case pipeline.EventSealed:
		if fresh {
			l.say(slog.LevelInfo, e, fmt.Sprintf("📦 Sealed for %s: the rows of %s are safe and wait to be sent", label, name))
		}
	case pipeline.EventLetter:
		of := ""
		if e.Connection != "" {
			of = " with rows of " + name
		}
		l.say(slog.LevelError, e, fmt.Sprintf("A request to %s%s was refused and is kept among the dead letters: %s", label, of, reason))
	case pipeline.EventRejected:
		l.say(slog.LevelError, e, fmt.Sprintf("Failed to write %s progressively for %s: %s", label, name, reason))
	case pipeline.EventTrouble: // it is tried again: rows are safe
		l.say(slog.LevelWarn, e, fmt.Sprintf("Failed to write %s progressively for %s: %s", label, name, reason))
	case pipeline.EventRetry:
		l.say(slog.LevelWarn, e, fmt.Sprintf("connection %s failed in attempt %d: %s", name, e.Attempt, reason))
	case pipeline.EventFailed:
		l.say(slog.LevelError, e, fmt.Sprintf("connection %s is missing from this run after %s: %s", name, Of(int64(e.Attempt), "attempt"), reason))
	case pipeline.EventUnverified:
		l.say(slog.LevelWarn, e, fmt.Sprintf("connection %s is not as its database says: %s", name, reason))
	case pipeline.EventChanged:
		l.say(slog.LevelWarn, e, fmt.Sprintf("connection %s delivered much else than the last time: %s", name, reason))
	case pipeline.EventDetached:
		if reason != "" {
			reason = ": " + reason
		}
		l.say(slog.LevelError, e, fmt.Sprintf("destination %s is given up for this run, a resume brings it what it lacks%s", clean(e.Destination), reason))
	case pipeline.EventOwing:
		if reason != "" {
			reason = ": " + reason
		}
		l.say(slog.LevelError, e, fmt.Sprintf("destination %s owes what is not sent, which is safe and waits for a resume%s", clean(e.Destination), reason))
	}
	l.cleaned(e, over)
}

// Checkpoint takes in what the run has published of its progress.
func (l *Lines) Checkpoint(p pipeline.PublicCheckpoint) {
	l.mu.Lock()
	over := l.release(l.ledger.checkpoint(p))
	l.mu.Unlock()
	l.cleaned(pipeline.Event{Job: p.JobID}, over)
}

// account books an event and returns the connections whose rows are in memory no longer because of it. fresh says of
// one that is sealed that it is worth a line: rows are sent to the destination, and it was not told before.
func (l *Lines) account(e pipeline.Event) (over []string, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = e.Kind == pipeline.EventSealed && l.ledger.remote[e.Destination] && !slices.Contains(l.ledger.entry(e.Connection).sealed, e.Destination)
	if e.Kind == pipeline.EventCommitted {
		l.written[e.Connection] = true
	}
	return l.release(l.ledger.observe(e)), fresh
}

// release keeps those of the connections that were written here.
func (l *Lines) release(over []string) (cleaned []string) {
	for _, id := range over {
		if l.written[id] {
			delete(l.written, id)
			cleaned = append(cleaned, id)
		}
	}
	return cleaned
}

func (l *Lines) cleaned(e pipeline.Event, connections []string) {
	for _, id := range connections {
		about := pipeline.Event{Job: e.Job, Run: e.Run, Connection: id}
		l.say(slog.LevelInfo, about, "🧹 Memory cleaned for "+l.name(id))
	}
}

func (l *Lines) name(connection string) string {
	if name, ok := l.names[connection]; ok {
		return name
	}
	return clean(connection)
}

func (l *Lines) label(destination string) string {
	if label, ok := l.labels[destination]; ok {
		return label
	}
	return clean(destination)
}

// say logs one line. Where two destinations have one label, the line says which of them is meant.
func (l *Lines) say(level slog.Level, e pipeline.Event, message string) {
	var attrs []slog.Attr
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if l.structured {
		text("job", e.Job)
		text("run", e.Run)
		text("connection", e.Connection)
		text("destination", e.Destination)
		if e.Kind == pipeline.EventCommitted {
			attrs = append(attrs, slog.Int64("rows", e.Rows))
		}
		if e.Attempt > 0 {
			attrs = append(attrs, slog.Int("attempt", e.Attempt))
		}
		if e.Millis > 0 {
			attrs = append(attrs, slog.Int64("durationMs", e.Millis))
		}
		text("error", e.Error)
	} else if l.twins && e.Kind != pipeline.EventDetached && e.Kind != pipeline.EventOwing {
		text("destination", e.Destination)
	}
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}
