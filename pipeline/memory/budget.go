package memory

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Budget is the memory that rows may take in this process, in bytes, whatever their number and the number of runs. It
// has two halves, one for the queries and one for the destinations: a query that waits for room in a full row log must
// not hold what a destination needs to empty it.
type Budget struct {
	Queries, Sinks Share
}

// Share is one half.
type Share struct {
	size int64
	sem  *semaphore.Weighted

	mu    sync.Mutex
	held  int64 // what was forced included
	peak  int64
	waits int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(size int64) *Budget {
	b := &Budget{}
	for _, p := range []*Share{&b.Queries, &b.Sinks} {
		p.size = max(size/2, 1)
		p.sem = semaphore.NewWeighted(p.size)
	}
	return b
}

// Size is the budget in bytes.
func (b *Budget) Size() int64 { return b.Queries.size + b.Sinks.size }

// Held is what rows take at the moment: in queries, in destinations.
func (b *Budget) Held() (queries, sinks int64) { return b.Queries.now(), b.Sinks.now() }

// Usage is how much was held at most, and how often somebody waited.
func (b *Budget) Usage() (peak, waits int64) {
	for _, p := range []*Share{&b.Queries, &b.Sinks} {
		p.mu.Lock()
		peak += p.peak
		waits += p.waits
		p.mu.Unlock()
	}
	return peak, waits
}

// Take waits for n bytes. What is more than the share could ever hold counts as all of it. The bytes go back by give.
func (p *Share) Take(ctx context.Context, n int64) (taken int64, _ error) {
	n = min(n, p.size)
	if !p.sem.TryAcquire(n) {
		p.mu.Lock()
		p.waits++
		p.mu.Unlock()
		if err := p.sem.Acquire(ctx, n); err != nil {
			return 0, context.Cause(ctx)
		}
	}
	p.count(n)
	return n, nil
}

// TakeOr takes n bytes, or, if own has room before they are free, a place in own; then the bytes are counted, and not
// waited for. give returns either.
func (p *Share) TakeOr(ctx context.Context, n int64, own chan struct{}) (give func(), _ error) {
	forced := func() {
		p.Force(-n)
		<-own
	}
	select {
	case own <- struct{}{}:
		p.Force(n)
		return forced, nil
	default:
	}
	if n := min(n, p.size); p.Try(n) {
		return func() { p.Give(n) }, nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	taken, placed := make(chan struct{}), make(chan bool)
	go func() {
		select {
		case own <- struct{}{}:
			stop()
			placed <- true
		case <-taken:
			placed <- false
		}
	}()
	got, err := p.Take(ctx, n)
	close(taken)
	has := <-placed
	switch {
	case has && err != nil:
		p.Force(n)
		return forced, nil
	case err != nil:
		return nil, err
	case has: // both came at once: the place is for who needs it
		<-own
	}
	return func() { p.Give(got) }, nil
}

// Try takes n bytes if they are free.
func (p *Share) Try(n int64) bool {
	if n > p.size || !p.sem.TryAcquire(n) {
		return false
	}
	p.count(n)
	return true
}

// Give returns n bytes.
func (p *Share) Give(n int64) {
	if n > 0 {
		p.sem.Release(n)
		p.count(-n)
	}
}

// Force counts bytes that are not waited for, and not hidden either: those of a row larger than any batch, which is in
// memory already, and those of the one batch that a destination may always have. A negative n gives them back.
func (p *Share) Force(n int64) { p.count(n) }

func (p *Share) count(n int64) {
	p.mu.Lock()
	p.held += n
	p.peak = max(p.peak, p.held)
	p.mu.Unlock()
}

func (p *Share) now() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
