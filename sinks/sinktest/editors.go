package sinktest

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
)

// editors has a user change the document before each request arrives there. The run goes on; what the user took away
// stays away, or comes whole, and everything else is there.
func editors(t testing.TB, s Subject) error {
	for _, act := range slices.Sorted(maps.Keys(s.New(t, t.TempDir()).Acts)) {
		for at := int64(1); ; at++ {
			reached, err := edits(t, s, act, at)
			if err != nil {
				return fmt.Errorf("before request %d a user %s: %w", at, act, err)
			}
			if !reached {
				if at < 3 {
					return fmt.Errorf("only %d requests", at)
				}
				break
			}
		}
	}
	return nil
}

func edits(t testing.TB, s Subject, act string, at int64) (reached bool, err error) {
	w := newWorld(t, s, standard())
	var n atomic.Int64
	var gone []string
	w.target.Answer(func() Answer {
		if n.Add(1) == at {
			gone = w.target.Acts[act]()
		}
		return Take
	})
	w.step = func(string) error { _, err := w.visible(); return err }
	if err := w.script(t.Context()); err != nil || n.Load() < at {
		return n.Load() >= at, err
	}
	return true, w.whole(gone...)
}
