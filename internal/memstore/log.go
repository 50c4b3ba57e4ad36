package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"fanmill/pipeline"
)

// Log is a row log in memory, without a bound. It is safe for concurrent use; its exported fields are set before that.
type Log struct {
	ID       pipeline.LogID
	MaxBytes int64
	Gone     bool // nobody finds it
	// Before is called before a frame is stored: the moment at which a process may sleep.
	Before func(f *pipeline.Frame)
	Looked func() // called when somebody has looked for the newest frame, before it hears of it
	Fences func() // called before an attempt is fenced

	mu     sync.Mutex
	frames []pipeline.Frame // that are still there
	seq    uint64
	more   chan struct{} // closed with the next change; nil if nobody waits
}

var _ pipeline.RowLog = (*Log)(nil)

// MaxBody implements pipeline.RowLog.
func (l *Log) MaxBody() int { return 1 << 20 }

// end is what whoever has it open finds when the log is deleted.
func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Gone = true
	l.changed()
}

func (l *Log) changed() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// newest is the newest frame of a connection's highest attempt.
func (l *Log) newest(connection string) (last *pipeline.Frame) {
	for _, f := range l.frames {
		if f.Connection == connection && f.Kind != pipeline.FrameFence && (last == nil || f.Attempt >= last.Attempt) {
			last = &f
		}
	}
	return last
}

func (l *Log) fenced(connection string, attempt int) bool {
	return slices.ContainsFunc(l.frames, func(f pipeline.Frame) bool {
		return f.Kind == pipeline.FrameFence && f.Connection == connection && f.Attempt == attempt
	})
}

// store keeps a frame at the next position.
func (l *Log) store(f pipeline.Frame) uint64 {
	l.seq++
	f.Seq, f.Body = l.seq, slices.Clone(f.Body)
	l.frames = append(l.frames, f)
	l.changed()
	return l.seq
}

// Fence implements pipeline.RowLog.
func (l *Log) Fence(_ context.Context, connection string, below int) error {
	if l.Fences != nil {
		l.Fences()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Gone {
		return pipeline.ErrNoLog
	}
	for attempt := 1; attempt < below; attempt++ {
		if !l.fenced(connection, attempt) {
			l.store(pipeline.Frame{Kind: pipeline.FrameFence, Connection: connection, Attempt: attempt})
		}
	}
	return nil
}

// LastFrame implements pipeline.RowLog.
func (l *Log) LastFrame(_ context.Context, connection string, _ int) (*pipeline.Frame, error) {
	l.mu.Lock()
	newest := l.newest(connection)
	l.mu.Unlock()
	if l.Looked != nil {
		l.Looked()
	}
	if newest != nil {
		newest.Body = nil
	}
	return newest, nil
}

// Append implements pipeline.RowLog.
func (l *Log) Append(_ context.Context, f *pipeline.Frame) (uint64, error) {
	if l.Before != nil {
		l.Before(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.newest(f.Connection)
	switch {
	case l.Gone:
		return 0, pipeline.ErrNoLog
	case last != nil && last.Attempt == f.Attempt && last.Number == f.Number:
		return last.Seq, nil
	case l.fenced(f.Connection, f.Attempt):
		return 0, fmt.Errorf("attempt %d of %s was replaced: %w", f.Attempt, f.Connection, pipeline.ErrOvertaken)
	}
	return l.store(*f), nil
}

// Trim implements pipeline.RowLog.
func (l *Log) Trim(_ context.Context, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Gone {
		return pipeline.ErrNoLog
	}
	l.frames = slices.DeleteFunc(l.frames, func(f pipeline.Frame) bool { return f.Seq <= seq })
	l.changed()
	return nil
}

// State implements pipeline.RowLog.
func (l *Log) State(context.Context) (pipeline.LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Gone {
		return pipeline.LogState{}, pipeline.ErrNoLog
	}
	s := pipeline.LogState{ID: l.ID, First: l.first(), Last: l.seq, MaxBytes: l.MaxBytes}
	for _, f := range l.frames {
		s.Bytes += int64(len(f.Body))
	}
	return s, nil
}

func (l *Log) first() uint64 {
	if len(l.frames) == 0 {
		return l.seq + 1
	}
	return l.frames[0].Seq
}

// Reader implements pipeline.RowLog.
func (l *Log) Reader(_ context.Context, _ string, from uint64) (pipeline.FrameReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.Gone:
		return nil, pipeline.ErrNoLog
	case from < l.first() || from > l.seq+1:
		return nil, fmt.Errorf("the log has %d to %d, and not %d: %w", l.first(), l.seq, from, pipeline.ErrGap)
	}
	return &reader{l, from}, nil
}

// reader reads a Log.
type reader struct {
	log  *Log
	next uint64
}

func (r *reader) Acked(uint64) {}
func (r *reader) Close() error { return nil }

func (r *reader) Fetch(ctx context.Context, maxBytes int) (out []*pipeline.Frame, _ error) {
	l := r.log
	for {
		l.mu.Lock()
		switch {
		case l.Gone:
			l.mu.Unlock()
			return nil, pipeline.ErrNoLog
		case r.next < l.first():
			l.mu.Unlock()
			return nil, fmt.Errorf("frame %d was trimmed: %w", r.next, pipeline.ErrGap)
		}
		for size := 0; ; {
			i := slices.IndexFunc(l.frames, func(f pipeline.Frame) bool { return f.Seq == r.next })
			if i < 0 || len(out) > 0 && size+len(l.frames[i].Body) > maxBytes {
				break
			}
			f := l.frames[i]
			f.Body = slices.Clone(f.Body)
			out, size, r.next = append(out, &f), size+len(f.Body), r.next+1
		}
		if len(out) > 0 {
			l.mu.Unlock()
			return out, nil
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Position is that of the newest frame.
func (l *Log) Position() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// All is what is in the log, but for fences, as attempt/number:kind.
func (l *Log) All() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		if f.Kind != pipeline.FrameFence {
			out = append(out, fmt.Sprintf("%d/%d:%s", f.Attempt, f.Number, f.Kind))
		}
	}
	return out
}
