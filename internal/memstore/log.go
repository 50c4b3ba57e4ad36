package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"fanmill/pipeline"
)

// Log is a row log in memory. It is safe for concurrent use; its exported fields are set before that.
type Log struct {
	ID       pipeline.LogID
	MaxBytes int64 // a publisher waits while there are so many; 0 is no bound
	Gone     bool  // nobody finds it
	// Before is called before a frame is stored: the moment at which a process may sleep.
	Before func(f *pipeline.Frame)
	Looked func() // called when somebody has looked for the newest frame, before it hears of it
	Fences func() // called before an attempt is fenced

	mu     sync.Mutex
	frames []pipeline.Frame // that are still there
	seq    uint64
	bytes  int64
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
	l.bytes += sizeOf(&f)
	l.changed()
	return l.seq
}

// frameBytes are what a frame takes beside its body.
const frameBytes = 200

func sizeOf(f *pipeline.Frame) int64 { return int64(len(f.Body)) + frameBytes }

// room waits until a frame has room. l.mu is held, but for the wait.
func (l *Log) room(ctx context.Context, f *pipeline.Frame) error {
	for l.MaxBytes > 0 && l.bytes > 0 && l.bytes+sizeOf(f) > l.MaxBytes && !l.Gone {
		if err := l.wait(ctx); err != nil {
			return fmt.Errorf("waiting for space in the row log: %w", err)
		}
	}
	return nil
}

// wait waits for the next change. l.mu is held, but for the wait.
func (l *Log) wait(ctx context.Context) error {
	if l.more == nil {
		l.more = make(chan struct{})
	}
	more := l.more
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-more:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Fence implements pipeline.RowLog.
func (l *Log) Fence(ctx context.Context, connection string, below int) error {
	if l.Fences != nil {
		l.Fences()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Gone {
		return pipeline.ErrNoLog
	}
	for attempt := 1; attempt < below; attempt++ {
		f := pipeline.Frame{Kind: pipeline.FrameFence, Connection: connection, Attempt: attempt}
		if l.fenced(connection, attempt) {
			continue
		}
		if err := l.room(ctx, &f); err != nil {
			return err
		}
		if l.Gone {
			return pipeline.ErrNoLog
		}
		if !l.fenced(connection, attempt) {
			l.store(f)
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
func (l *Log) Append(ctx context.Context, f *pipeline.Frame) (uint64, error) {
	if l.Before != nil {
		l.Before(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.room(ctx, f); err != nil {
		return 0, err
	}
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
	for len(l.frames) > 0 && l.frames[0].Seq <= seq {
		l.bytes -= sizeOf(&l.frames[0])
		l.frames = l.frames[1:]
	}
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
	return pipeline.LogState{ID: l.ID, First: l.first(), Last: l.seq, Bytes: l.bytes, MaxBytes: l.MaxBytes}, nil
}

func (l *Log) first() uint64 {
	if len(l.frames) == 0 {
		return l.seq + 1
	}
	return l.frames[0].Seq
}

// Reader implements pipeline.RowLog.
func (l *Log) Reader(_ context.Context, _ string, from uint64, only []string) (pipeline.FrameReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.Gone:
		return nil, pipeline.ErrNoLog
	case from < l.first() || from > l.seq+1:
		return nil, fmt.Errorf("the log has %d to %d, and not %d: %w", l.first(), l.seq, from, pipeline.ErrGap)
	}
	return &reader{l, from, only}, nil
}

// reader reads a Log.
type reader struct {
	log  *Log
	next uint64
	only []string // nil is everything
}

// skips reports whether a frame is none of those that the reader reads.
func (r *reader) skips(f *pipeline.Frame) bool {
	return r.only != nil && (f.Kind == pipeline.FrameFence || !slices.Contains(r.only, f.Connection))
}

func (r *reader) Acked(uint64) {}
func (r *reader) Close() error { return nil }

func (r *reader) Fetch(ctx context.Context, maxBytes int) (out []*pipeline.Frame, _ error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.Gone:
			return nil, pipeline.ErrNoLog
		case r.next < l.first():
			return nil, fmt.Errorf("frame %d was trimmed: %w", r.next, pipeline.ErrGap)
		}
		var passed *pipeline.Frame
		for size := 0; ; {
			i := int(r.next - l.first()) // there are no holes
			if i >= len(l.frames) || len(out) > 0 && size+len(l.frames[i].Body) > maxBytes {
				break
			}
			f := l.frames[i]
			if r.skips(&f) {
				r.next++
				passed = &pipeline.Frame{Kind: pipeline.FramePassed, Seq: f.Seq}
				continue
			}
			f.Body = slices.Clone(f.Body)
			out, size, r.next = append(out, &f), size+len(f.Body), r.next+1
		}
		if len(out) == 0 && passed != nil {
			out = append(out, passed)
		}
		if len(out) > 0 {
			return out, nil
		}
		if err := l.wait(ctx); err != nil {
			return nil, err
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
