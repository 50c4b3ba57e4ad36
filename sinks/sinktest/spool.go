package sinktest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// errUnreadable is what a spool says that cannot be read.
var errUnreadable = errors.New("the disk of the spool does not answer")

// unreadable has the spool fail at each batch that is read from it. Whoever reads says so, and nothing half goes out;
// once it can be read the run goes on.
func unreadable(t testing.TB, s Subject) error {
	for at := int64(1); ; at++ {
		w := newWorld(t, s, standard())
		var n atomic.Int64
		w.unreadable = func() bool { return n.Add(1) == at }
		err := w.script(t.Context())
		w.unreadable = nil
		switch {
		case n.Load() < at && at < 5:
			return fmt.Errorf("only %d batches were read", at-1)
		case n.Load() < at:
			return err
		case !errors.Is(err, errUnreadable):
			return fmt.Errorf("batch %d could not be read, and the run ended with: %w", at, err)
		}
		if err := w.sound(); err != nil {
			return fmt.Errorf("batch %d could not be read: %w", at, err)
		}
		if err := w.finished(); err != nil {
			return fmt.Errorf("batch %d could not be read, and now it can: %w", at, err)
		}
	}
}
