package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// Who works on runs that others coordinate makes no streams and no buckets: coordinators do, and the server need not
// permit it to anybody else.

// Between two looks for what a coordinator makes; each next pause is twice as long.
const (
	coordinatorLook     = 100 * time.Millisecond
	coordinatorLookMost = 5 * time.Second
)

// findStores finds what a worker needs of the store. It waits as long as ctx allows for what is missing: hosts start in
// any order.
func (c *Conn) findStores(ctx context.Context) error {
	// A coordinator makes them in this order, buckets before: what is there when the last stream is has its settings.
	for _, stream := range []string{streamWork, streamEvents, streamDead} {
		if err := c.awaitStream(ctx, stream); err != nil {
			return err
		}
	}
	runs, err := c.findBucket(ctx, bucketRuns)
	if err != nil {
		return err
	}
	checkpoints, err := c.findBucket(ctx, bucketCheckpoints)
	if err != nil {
		return err
	}
	jobs := &bucket{c: c, name: bucketJobs} // its work needs none of them
	c.stores = pipeline.Stores{Jobs: jobs, Runs: runs, Checkpoints: checkpoints}
	return c.identify(ctx, runs)
}

// awaitStream waits for a stream.
func (c *Conn) awaitStream(ctx context.Context, name string) error {
	said := false
	for pause := coordinatorLook; ; pause = min(2*pause, coordinatorLookMost) {
		missing := false
		err := c.call(ctx, "look for stream "+name, func(ctx context.Context) error {
			_, err := c.js.Stream(ctx, name)
			if missing = errors.Is(err, jetstream.ErrStreamNotFound); missing {
				return nil
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("wait for a coordinator at %s: %w", c.place(), context.Cause(ctx))
		case err == nil && !missing, pipeline.IsPermanent(err):
			return err
		case missing && !said:
			said = true
			c.log.Warn(fmt.Sprintf("%s has no stream %s: no coordinator has started there yet. This process waits for one; start it with: fanmill serve --roles coordinator", c.place(), name))
		case err != nil:
			c.log.Debug("what a coordinator makes could not be looked for", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// findBucket is a bucket that a coordinator has made.
func (c *Conn) findBucket(ctx context.Context, name string) (*bucket, error) {
	b := &bucket{c: c, name: name}
	err := c.call(ctx, "look for bucket "+name, func(ctx context.Context) (err error) {
		if b.kv, err = c.js.KeyValue(ctx, name); errors.Is(err, jetstream.ErrBucketNotFound) {
			return pipeline.Permanent(fmt.Errorf("%s has none, though it has fanmill's streams: start a coordinator, which makes it: fanmill serve --roles coordinator", c.place()))
		}
		if err == nil {
			_, err = c.known(ctx, b)
		}
		return err
	})
	return b, err
}
