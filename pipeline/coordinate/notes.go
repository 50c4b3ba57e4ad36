package coordinate

import (
	"context"
	"errors"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// forgetNotes removes what is known of triggers for as long as runs are: what became of them, and that they were to be
// cancelled. A run's own cancellation goes with the run.
func (n *Coordinator) forgetNotes(ctx context.Context) error {
	return errors.Join(n.forgetKeys(ctx, checkpoint.NoteSuffix, func(string) bool { return true }),
		n.forgetKeys(ctx, checkpoint.CancelSuffix, func(id string) bool {
			_, err := n.Stores.Runs.Get(ctx, id)
			return errors.Is(err, pipeline.ErrNoKey)
		}))
}

// forgetKeys removes the keys behind an id and a point that nobody has written for long, where gone says so of the id.
func (n *Coordinator) forgetKeys(ctx context.Context, suffix string, gone func(id string) bool) error {
	watching, stop := context.WithCancel(ctx)
	entries, err := n.Stores.Runs.Watch(watching, "*"+suffix)
	if err != nil {
		stop()
		return err
	}
	defer func() {
		stop()
		for range entries { // the store closes it
		}
	}()
	for e := range entries {
		switch {
		case e.Key == "": // what there is has come
			return nil
		case e.Deleted || time.Since(e.Modified) < keepRunsFor || !gone(strings.TrimSuffix(e.Key, suffix)):
			continue
		}
		if err := n.Stores.Runs.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return pipeline.WatchEnded(ctx, "what is known of triggers")
}
