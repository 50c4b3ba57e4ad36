package checkpoint

import (
	"context"
	"errors"
	"time"

	"fanmill/pipeline"
)

// Cancellation is the wish that a run stops, under a key of its own: anybody may write it, whoever owns the run reads
// it at each renewal, and so does whoever takes the run over. It stays until the run is forgotten: the run is
// cancelled as long as nobody asks for it anew, however many processes have it in turn. A trigger whose run has not
// begun is cancelled under the id that its run would have.
type Cancellation struct {
	Through int            `json:"through"` // the last incarnation that is to stop, see RunRecord.Resumes
	At      time.Time      `json:"at"`
	By      pipeline.Owner `json:"by"` // the process that wrote it, for people
}

// Stops reports whether a run was to stop since somebody last asked for it. nil stops nothing.
func (c *Cancellation) Stops(r *RunRecord) bool { return c != nil && c.Through >= r.Asked }

// CancelRun writes that a run is to stop, up to an incarnation; it is durable when nil is returned.
func CancelRun(ctx context.Context, runs pipeline.KV, run string, through int, by pipeline.Owner) error {
	c := Cancellation{Through: through, At: time.Now().UTC(), By: by}
	for {
		doc, err := LoadDocument[Cancellation](ctx, runs, CancelKey(run))
		switch {
		case errors.Is(err, pipeline.ErrNoKey):
			_, err = CreateDocument(ctx, runs, CancelKey(run), c)
		case errors.Is(err, pipeline.ErrForeign):
			err = doc.Overwrite(ctx, c)
		case err == nil && doc.Value().Through >= through:
			return nil
		case err == nil:
			err = doc.Change(ctx, Anybody, func(was *Cancellation) {
				if was.Through < through {
					*was = c
				}
			})
		}
		if !errors.Is(err, pipeline.ErrConflict) || ctx.Err() != nil { // another process has cancelled it at the same moment
			return err
		}
	}
}

// LoadCancellation is the wish that a run stops; nil if there is none. ErrForeign is one that cannot be read.
func LoadCancellation(ctx context.Context, runs pipeline.KV, run string) (*Cancellation, error) {
	doc, err := LoadDocument[Cancellation](ctx, runs, CancelKey(run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := doc.Value()
	return &c, nil
}
