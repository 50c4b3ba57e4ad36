package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"fanmill/pipeline"
)

// MemLog is a row log in memory, without a bound. It refuses what does not stand behind its predecessor, as the
// real one does.
type MemLog struct {
	pipeline.RowLog // nil: what is not below is not used
	mu              sync.Mutex
	frames          []pipeline.Frame // that are still there
	Seq             uint64
	Gone            bool // nobody finds it
	// before is called before a frame is stored, when its publisher knows what it is to stand behind: the moment at
	// which a process may sleep.
	Before func(f *pipeline.Frame)
	Looked func() // called when somebody has looked for the newest frame, before it hears of it
}

func (l *MemLog) Create(context.Context, *pipeline.Manifest, int) (pipeline.RowLog, error) {
	return l, nil
}
func (l *MemLog) Open(context.Context, string, int) (pipeline.RowLog, error) {
	if l.Gone {
		return nil, pipeline.ErrNoLog
	}
	return l, nil
}
func (l *MemLog) Newest(context.Context, string) (int, error) { return 1, nil }
func (l *MemLog) Delete(context.Context, string, int) error   { return nil }

func (l *MemLog) MaxBody() int { return 1 << 20 }

func (l *MemLog) newest(connection string) *pipeline.Frame {
	for _, f := range slices.Backward(l.frames) {
		if f.Connection == connection {
			return &f
		}
	}
	return nil
}

func (l *MemLog) LastFrame(_ context.Context, connection string) (*pipeline.Frame, error) {
	l.mu.Lock()
	newest := l.newest(connection)
	l.mu.Unlock()
	if l.Looked != nil {
		l.Looked()
	}
	return newest, nil
}

func (l *MemLog) Append(_ context.Context, f *pipeline.Frame, after uint64) (uint64, error) {
	if l.Before != nil {
		l.Before(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.newest(f.Connection)
	switch {
	case last != nil && last.Attempt == f.Attempt && last.Number == f.Number:
		return last.Seq, nil
	case last == nil && after != 0, last != nil && last.Seq != after:
		return 0, fmt.Errorf("%s/%d/%d behind %d: %w", f.Connection, f.Attempt, f.Number, after, pipeline.ErrOvertaken)
	}
	l.Seq++
	g := *f
	g.Seq, g.Body = l.Seq, slices.Clone(f.Body)
	l.frames = append(l.frames, g)
	return l.Seq, nil
}

func (l *MemLog) Trim(_ context.Context, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = slices.DeleteFunc(l.frames, func(f pipeline.Frame) bool { return f.Seq <= seq })
	return nil
}

// All is what is in the log, as attempt/number:kind.
func (l *MemLog) All() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		out = append(out, fmt.Sprintf("%d/%d:%s", f.Attempt, f.Number, f.Kind))
	}
	return out
}

var _ pipeline.RowLogs = (*MemLog)(nil)
