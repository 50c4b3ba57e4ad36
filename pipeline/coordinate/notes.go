package coordinate

import (
	"context"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// forgetNotes removes what is known of triggers for as long as runs are.
func (n *Coordinator) forgetNotes(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	entries, err := n.Stores.Runs.Watch(watching, "*"+checkpoint.NoteSuffix)
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
		case e.Deleted || time.Since(e.Modified) < keepRunsFor:
			continue
		}
		if err := n.Stores.Runs.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return pipeline.WatchEnded(ctx, "notes of triggers")
}
