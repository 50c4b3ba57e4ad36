package pipeline

import (
	"context"
	"errors"
)

// sweepSpool removes what is in this process's spool of runs of which the store knows nothing. The spool is that
// store's: another one's is refused. A run has its record before it has rows here.
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
		_, err := n.Stores.Runs.Get(ctx, name) // Claim is given Token(run), which is RunKey(run)
		if errors.Is(err, ErrNoKey) {
			err = n.Spool.Remove(name, "")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
