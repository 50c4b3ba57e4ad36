package pipeline

import (
	"context"
	"time"
)

// LogID tells one row log from every other, also from a later one of the same name.
type LogID struct {
	Stream     string    `json:"stream"`
	Generation int       `json:"generation"`
	Created    time.Time `json:"created"`
}

// LogState is where a row log stands.
type LogState struct {
	ID          LogID
	First, Last uint64 // sequences; First is Last+1 when it is empty
	Holes       int    // frames that are gone between the two
	Bytes       int64
	MaxBytes    int64
}

// Waits reports whether the log waits for whoever has committed it up to a position: so much stands behind that as a
// destination reads between two cuts, by the mean size of frames, or the log is half full and no one can be further
// back.
func (s *LogState) Waits(seq uint64) bool {
	if s.Last <= seq || s.Last < s.First {
		return false
	}
	half := s.MaxBytes / 2
	if s.Bytes >= half && seq <= s.First {
		return true
	}
	behind := float64(s.Bytes) * float64(s.Last-max(seq, s.First-1)) / float64(s.Last-s.First+1)
	return behind >= float64(min(half, CutBytes))
}

// RowLogs makes and finds the row logs of runs.
type RowLogs interface {
	// Create makes the log of a run's generation, or adopts it if it exists. It is durable when Create returns.
	Create(ctx context.Context, m *Manifest, generation int) (RowLog, error)
	// Open finds it. The error is ErrNoLog if there is none.
	Open(ctx context.Context, run string, generation int) (RowLog, error)
	// Newest is the generation of the run's log that there is; 0 if there is none.
	Newest(ctx context.Context, run string) (int, error)
	// Delete removes it, or the log of an earlier generation of the run, should that be there still; no error if
	// there is none.
	Delete(ctx context.Context, run string, generation int) error
}

// RowLog is a run's stream of frames, bounded in bytes: a publisher waits while it is full.
type RowLog interface {
	// Append stores a frame and returns its position once it is durable. While the log is full it waits and tries the
	// same frame again. A frame that was stored although the answer was lost is found. The error is ErrOvertaken when the
	// frame's attempt was fenced; nothing was stored then.
	Append(ctx context.Context, f *Frame) (seq uint64, err error)
	// Fence ends the attempts at a connection below that one: what they have not stored when it returns is refused. It
	// waits while the log is full. A trim past a fence lifts it: who wakes then stores frames that count for nobody.
	Fence(ctx context.Context, connection string, below int) error
	// MaxBody is the largest body a frame can have, in bytes.
	MaxBody() int
	// Reader reads from sequence from on, in stream order. name labels the reader for operators. only are the
	// connections whose frames it reads, without fences; nil is everything there is.
	Reader(ctx context.Context, name string, from uint64, only []string) (FrameReader, error)
	// LastFrame is the newest frame of a connection's highest attempt that is still in the log, without its body; nil if
	// there is none. attempt is the highest that was begun, as far as the caller knows: it spares a look through the log.
	LastFrame(ctx context.Context, connection string, attempt int) (*Frame, error)
	State(ctx context.Context) (LogState, error)
	// Trim drops every frame up to and including seq.
	Trim(ctx context.Context, seq uint64) error
}

// FrameReader reads frames in stream order.
type FrameReader interface {
	// Fetch returns the next frames, at least one, at most about maxBytes together (one frame may be larger). It waits for
	// the first. A gap in the sequence is an error: frames were trimmed that this reader needs.
	//
	// A reader of some connections that has nothing to read returns a frame of kind FramePassed now and then, which says
	// how far it is: everything up to there was seen, and nothing after what was returned before is for this reader. It is
	// at the end of the log soon after that waits for this reader (LogState.Waits). Positions in between are missing to
	// it; that a frame of its own is, the numbers of frames tell, and a hole in the log is an error once it waits.
	Fetch(ctx context.Context, maxBytes int) ([]*Frame, error)
	// Acked shows operators how far the destination has committed. It promises nothing.
	Acked(seq uint64)
	// Close removes the reader's mark on the server.
	Close() error
}

// Same reports whether both name one and the same log. Times are compared as instants, whatever their encoding kept of
// the zone.
func (l LogID) Same(o LogID) bool {
	return l.Stream == o.Stream && l.Generation == o.Generation && l.Created.Equal(o.Created)
}
