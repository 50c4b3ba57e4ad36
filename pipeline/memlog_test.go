package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// memLog is a row log in memory, without a bound. It refuses what does not stand behind its predecessor, as the
// real one does.
type memLog struct {
	RowLog // nil: what is not below is not used
	mu     sync.Mutex
	frames []Frame // that are still there
	seq    uint64
	gone   bool // nobody finds it
	// before is called before a frame is stored, when its publisher knows what it is to stand behind: the moment at
	// which a process may sleep.
	before func(f *Frame)
	looked func() // called when somebody has looked for the newest frame, before it hears of it
}

func (l *memLog) Create(context.Context, *Manifest, int) (RowLog, error) { return l, nil }
func (l *memLog) Open(context.Context, string, int) (RowLog, error) {
	if l.gone {
		return nil, ErrNoLog
	}
	return l, nil
}
func (l *memLog) Newest(context.Context, string) (int, error) { return 1, nil }
func (l *memLog) Delete(context.Context, string, int) error   { return nil }

func (l *memLog) MaxBody() int { return 1 << 20 }

func (l *memLog) newest(connection string) *Frame {
	for _, f := range slices.Backward(l.frames) {
		if f.Connection == connection {
			return &f
		}
	}
	return nil
}

func (l *memLog) LastFrame(_ context.Context, connection string) (*Frame, error) {
	l.mu.Lock()
	newest := l.newest(connection)
	l.mu.Unlock()
	if l.looked != nil {
		l.looked()
	}
	return newest, nil
}

func (l *memLog) Append(_ context.Context, f *Frame, after uint64) (uint64, error) {
	if l.before != nil {
		l.before(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.newest(f.Connection)
	switch {
	case last != nil && last.Attempt == f.Attempt && last.Number == f.Number:
		return last.Seq, nil
	case last == nil && after != 0, last != nil && last.Seq != after:
		return 0, fmt.Errorf("%s/%d/%d behind %d: %w", f.Connection, f.Attempt, f.Number, after, ErrOvertaken)
	}
	l.seq++
	g := *f
	g.Seq, g.Body = l.seq, slices.Clone(f.Body)
	l.frames = append(l.frames, g)
	return l.seq, nil
}

func (l *memLog) Trim(_ context.Context, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = slices.DeleteFunc(l.frames, func(f Frame) bool { return f.Seq <= seq })
	return nil
}

// all is what is in the log, as attempt/number:kind.
func (l *memLog) all() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		out = append(out, fmt.Sprintf("%d/%d:%s", f.Attempt, f.Number, f.Kind))
	}
	return out
}

var _ RowLogs = (*memLog)(nil)
