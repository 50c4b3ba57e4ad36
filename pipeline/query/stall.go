package query

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
)

// stallTimer ends an attempt whose database delivers nothing for too long. What the attempt waits for on our own side
// (a full row log, a pause for want of memory) does not count.
type stallTimer struct {
	asked atomic.Bool // set by the watcher, cleared by a row
	ours  atomic.Int32
}

// row notes that the database delivered. It is called for every row: where nobody has asked it costs a load.
func (v *stallTimer) row() {
	if v.asked.Load() {
		v.asked.Store(false)
	}
}

// away brackets what is not the database's time.
func (v *stallTimer) away() (back func()) {
	v.ours.Add(1)
	return func() {
		v.asked.Store(false)
		v.ours.Add(-1)
	}
}

// looks is how often the watcher looks within the limit: it notices after the limit and at most an eighth more.
const looks = 8

// keep calls stop once nothing was delivered for limit, until ctx ends. The channel closes when it is over.
func (v *stallTimer) keep(ctx context.Context, limit time.Duration, stop context.CancelCauseFunc) <-chan struct{} {
	done := make(chan struct{})
	if limit <= 0 {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(max(limit/looks, time.Millisecond))
		defer tick.Stop()
		last := time.Now()
		v.asked.Store(true)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if v.ours.Load() > 0 || !v.asked.Load() {
				last = time.Now()
				v.asked.Store(true)
				continue
			}
			if time.Since(last) > limit {
				stop(errSilent(limit))
				return
			}
		}
	}()
	return done
}

// errSilent ends an attempt whose database delivered nothing for too long.
func errSilent(limit time.Duration) error {
	return pipeline.Transient(fmt.Errorf("the database delivered nothing for %s (QUERY_TIMEOUT_MS=%d); if the query may take so long before its first row, raise QUERY_TIMEOUT_MS", limit, limit.Milliseconds()))
}
