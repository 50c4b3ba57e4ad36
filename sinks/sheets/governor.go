package sheets

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Google allows a service account 60 reads and 60 writes in any minute, counted apart, over all its spreadsheets and
// processes; the project has 300. [developers.google.com/workspace/sheets/api/limits]
const (
	perMinute = 60
	reserve   = 5 // left to the account's other users, and to requests that arrive closer together than they left
)

// governor spaces the requests of one credential. All destinations of a process share it.
type governor struct {
	clock  Clock
	reads  bucket
	writes bucket
}

// bucket has the requests of the last minute.
type bucket struct {
	mu    sync.Mutex
	times []time.Time
	until time.Time // of a pause
}

func newGovernor(c Clock) *governor { return &governor{clock: c} }

func (g *governor) bucket(write bool) *bucket {
	if write {
		return &g.writes
	}
	return &g.reads
}

// take waits for a request's turn.
func (g *governor) take(ctx context.Context, write bool) error {
	b := g.bucket(write)
	for {
		wait := b.try(g.clock.Now())
		if wait <= 0 {
			return ctx.Err()
		}
		if err := g.clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// try takes a turn, or says after how long to ask again.
func (b *bucket) try(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := b.until.Sub(now); wait > 0 {
		return wait
	}
	for len(b.times) > 0 && now.Sub(b.times[0]) >= time.Minute {
		b.times = b.times[1:]
	}
	if len(b.times) >= perMinute-reserve {
		return b.times[0].Add(time.Minute).Sub(now)
	}
	b.times = append(b.times, now)
	return 0
}

// pause stops a bucket until the next minute, and some seconds more so that processes do not come back together.
// Google says no time.
func (g *governor) pause(write bool) time.Duration {
	const jitter = 5 * time.Second
	now := g.clock.Now()
	wait := now.Truncate(time.Minute).Add(time.Minute).Sub(now) + rand.N(jitter)
	b := g.bucket(write)
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := now.Add(wait); until.After(b.until) {
		b.until = until
	}
	return wait
}
