package nats

import (
	"context"
	"sync"
	"time"
)

const (
	roomPoll    = 5 * time.Millisecond // the first look at a full log; each next one waits twice as long
	roomPollMax = 50 * time.Millisecond
)

// room is where publishers wait for space in a full row log. A trim by this process wakes them at once; for those of
// other processes one of the waiters, and only one, looks at the log now and then.
type room struct {
	mu   sync.Mutex
	wake chan struct{} // closed and replaced when there may be space
	poll chan struct{} // holds one token: whoever takes it looks
}

func (c *Conn) roomOf(stream string) *room {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.logs[stream]
	if r == nil {
		r = &room{wake: make(chan struct{}), poll: make(chan struct{}, 1)}
		r.poll <- struct{}{}
		c.logs[stream] = r
	}
	return r
}

// forget drops a deleted stream; whoever waits for its space finds out.
func (c *Conn) forget(stream string) {
	c.mu.Lock()
	r := c.logs[stream]
	delete(c.logs, stream)
	delete(c.failures, stream)
	c.mu.Unlock()
	if r != nil {
		r.freed()
	}
}

// woken is closed at the next freed. It is taken before the attempt that finds the log full, so that no trim is missed.
func (r *room) woken() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wake
}

func (r *room) freed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.wake)
	r.wake = make(chan struct{})
}

// wait returns when woken is closed, when look says so, or when ctx ends. An error of look ends it too.
func (r *room) wait(ctx context.Context, woken <-chan struct{}, look func(context.Context) (bool, error)) error {
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.poll:
	}
	defer func() { r.poll <- struct{}{} }()
	for pause := roomPoll; ; pause = min(2*pause, roomPollMax) {
		select {
		case <-woken:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		if free, err := look(ctx); free || err != nil {
			r.freed()
			return err
		}
	}
}
