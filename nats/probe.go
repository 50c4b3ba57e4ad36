package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// failing is how long a write that failed speaks for the store, unless a later one to the same stream succeeded: who
// writes tries again within this.
const failing = 45 * time.Second

// failure is the last write to a stream that the store did not take.
type failure struct {
	at  time.Time
	err error
}

// noted remembers how a write to a stream went that began at a time. A full row log, a conflict and a caller that gave
// up say nothing about the store, nor does one that gave it less time than an answer may take over a slow network.
func (c *Conn) noted(stream string, began time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.failures, stream)
	case errors.Is(err, context.DeadlineExceeded) && time.Since(began) < callTry:
	case pipeline.IsPermanent(err), errors.Is(err, pipeline.ErrConflict), errors.Is(err, pipeline.ErrNoKey), errors.Is(err, context.Canceled):
	default:
		c.failures[stream] = failure{time.Now(), err}
	}
}

// failed is a write of the last time that the store did not take; nil if there is none.
func (c *Conn) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stream := range slices.Sorted(maps.Keys(c.failures)) {
		if f := c.failures[stream]; time.Since(f.at) < failing {
			return f.err
		}
	}
	return nil
}

// Probe implements pipeline.Store. Whether writes are taken is known from those that were tried: no others are made
// for it.
func (c *Conn) Probe(ctx context.Context) error {
	if err := c.Trouble(); err != nil {
		return err
	}
	if err := c.same(ctx); err != nil {
		return err
	}
	if err := c.failed(); err != nil {
		return pipeline.Transient(fmt.Errorf("%s answers, and does not store: its disk may be full, or a limit is reached. Free space there; a nats-server whose disk was full stores again once it is restarted: %w", c.place(), err))
	}
	return nil
}

// same reports whether this is the store that was opened.
func (c *Conn) same(ctx context.Context) error {
	for _, bucket := range slices.Sorted(maps.Keys(c.born)) {
		var found error
		err := c.call(ctx, "look for bucket "+bucket, func(ctx context.Context) error {
			s, err := c.js.Stream(ctx, "KV_"+bucket)
			switch {
			case errors.Is(err, jetstream.ErrStreamNotFound):
				found = fmt.Errorf("%w: %s has no bucket %s any more; it was emptied", pipeline.ErrStore, c.place(), bucket)
				return nil
			case err == nil && !s.CachedInfo().Created.Equal(c.born[bucket]):
				found = fmt.Errorf("%w: bucket %s of %s was made anew; it was emptied, or another server answers there", pipeline.ErrStore, bucket, c.place())
			}
			return err
		})
		if found != nil {
			return pipeline.Permanent(found)
		}
		if err != nil {
			return pipeline.Transient(fmt.Errorf("%s does not answer; look whether it runs and can be reached: %w", c.place(), err))
		}
	}
	return nil
}

// Trouble says what keeps the embedded server from storing, if it runs here; nil if nothing is known.
func (c *Conn) Trouble() error {
	if c.host != nil {
		if text := c.host.ill(); text != "" {
			return pipeline.Transient(errors.New(text))
		}
	}
	return nil
}

// place names the store for people.
func (c *Conn) place() string {
	if c.host == nil {
		return "NATS at " + redact(c.opts.Access.URL.Value)
	}
	if c.host.srv.Load() != nil {
		return "the embedded NATS server in " + string(c.host.dir)
	}
	var a address
	_ = c.host.dir.read("server.json", &a)
	return fmt.Sprintf("the NATS server of data folder %s, which process %d runs,", c.host.dir, a.PID)
}
