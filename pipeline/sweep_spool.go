package pipeline

import (
	"context"
	"errors"
)

// sweepSpool removes what is in this process's spool of runs of which the store knows nothing, and of runs that need
// nothing any more: another process, with a spool of its own, has ended a run that had rows in pieces here. The spool
// is that store's: another one's is refused. A run has its record before it has rows here.
func (n *Node) sweepSpool(ctx context.Context) error {
	if n.Spool == nil {
		return nil
	}
	names, err := n.Spool.Runs()
	if err != nil || len(names) == 0 {
		return err
	}
	if _, err := n.Spool.Place(); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, name) // Claim is given Token(run), which is RunKey(run)
		over := errors.Is(err, ErrNoKey)
		switch {
		case err == nil:
			rec := cell.Value()
			over = rec.over()
		case over, errors.Is(err, ErrForeign), errors.Is(err, ErrLater): // a resume may go on with one that cannot be read
			err = nil
		}
		if over {
			err = n.Spool.Remove(name, "")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
