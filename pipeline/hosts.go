package pipeline

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Hosts bounds how many connections are asked at a time on one server.
type Hosts struct {
	limit int64
	mu    sync.Mutex
	of    map[string]*semaphore.Weighted
}

// NewHosts makes the bound; a limit of 0 is DefaultParallelPerHost.
func NewHosts(limit int) *Hosts {
	if limit == 0 {
		limit = DefaultParallelPerHost
	}
	return &Hosts{limit: int64(limit), of: map[string]*semaphore.Weighted{}}
}

// Enter waits for a place on a server; "" is none, and has room for all.
func (h *Hosts) Enter(ctx context.Context, host string) (leave func(), _ error) {
	if host == "" {
		return func() {}, nil
	}
	h.mu.Lock()
	s := h.of[host]
	if s == nil {
		s = semaphore.NewWeighted(h.limit)
		h.of[host] = s
	}
	h.mu.Unlock()
	if err := s.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { s.Release(1) }, nil
}
