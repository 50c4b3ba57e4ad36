package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// bucket is a pipeline.KV over a JetStream key-value bucket [ADR-8]. Token's alphabet, '=' included, is legal in its
// keys.
type bucket struct {
	c    *Conn
	name string

	mu sync.Mutex
	kv jetstream.KeyValue // a guest's is nil until it is needed
	// expires: the mark that a deletion leaves for watchers goes by itself (servers from 2.11).
	expires bool
}

// markerTTL is how long a watch may be away and still learn of a deletion.
const markerTTL = time.Hour

var _ pipeline.KV = (*bucket)(nil)

// opened is the bucket in the server. What a guest looks for may never have been made.
func (b *bucket) opened(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv != nil {
		return b.kv, nil
	}
	kv, err := b.c.js.KeyValue(ctx, b.name)
	if err == nil {
		b.kv = kv
	}
	return kv, err
}

// reopen has the next call look at the bucket's settings again.
func (b *bucket) reopen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kv = nil
}

// call maps what the server says about keys and revisions; the rest is classified as usual.
func (b *bucket) call(ctx context.Context, op, key string, f func(context.Context, jetstream.KeyValue) error) error {
	what := op + " " + b.name + "/" + key
	var kind error
	err := b.c.call(ctx, what, func(ctx context.Context) error {
		kv, err := b.opened(ctx)
		if err == nil {
			err = f(ctx, kv)
		}
		// Its settings have changed, it may be: nobody answers direct reads any more.
		if errors.Is(err, nats.ErrNoResponders) {
			b.reopen()
		}
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted), b.c.opts.Guest && errors.Is(err, jetstream.ErrBucketNotFound):
			kind = pipeline.ErrNoKey
			return nil
		case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch), // 10071, both
			apiCode(err) == codeWrongSeqConstant:
			kind = pipeline.ErrConflict
			return nil
		}
		return err
	})
	if kind != nil {
		return fmt.Errorf("%s: %w", what, kind)
	}
	return err
}

// write is a call that changes the bucket.
func (b *bucket) write(ctx context.Context, op, key string, f func(context.Context, jetstream.KeyValue) error) error {
	began := time.Now()
	err := b.call(ctx, op, key, f)
	b.c.noted("KV_"+b.name, began, err)
	return err
}

func (b *bucket) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	var out pipeline.KVEntry
	err := b.call(ctx, "get", key, func(ctx context.Context, kv jetstream.KeyValue) error {
		e, err := kv.Get(ctx, key)
		if err == nil {
			out = entry(e)
		}
		return err
	})
	return out, err
}

func (b *bucket) Create(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	err = b.write(ctx, "create", key, func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		rev, err = kv.Create(ctx, key, value)
		return err
	})
	return rev, err
}

func (b *bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (rev uint64, err error) {
	err = b.write(ctx, "update", key, func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		rev, err = kv.Update(ctx, key, value, revision)
		return err
	})
	return rev, err
}

func (b *bucket) Put(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	err = b.write(ctx, "put", key, func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		rev, err = kv.Put(ctx, key, value)
		return err
	})
	return rev, err
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	err := b.call(ctx, "delete", key, func(ctx context.Context, kv jetstream.KeyValue) error {
		if _, err := kv.Get(ctx, key); err != nil { // no marker for what is not there
			return err
		}
		if b.expires {
			return kv.Purge(ctx, key, jetstream.PurgeTTL(markerTTL))
		}
		return kv.Delete(ctx, key)
	})
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	return err
}

// RemoveAll deletes key by key. A purge of the stream would do it in one go, but a watch that begins at that moment
// then waits for messages that are gone: nats.go takes the present entries for complete when as many have come as
// there were (jetstream/kv.go, initPending).
func (b *bucket) RemoveAll(ctx context.Context, pattern string) error {
	keys, err := b.Keys(ctx, pattern)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) Keys(ctx context.Context, pattern string) ([]string, error) {
	var keys []string
	err := b.call(ctx, "list", pattern, func(ctx context.Context, kv jetstream.KeyValue) error {
		keys = nil
		w, err := kv.Watch(ctx, pattern, jetstream.MetaOnly(), jetstream.IgnoreDeletes())
		if err != nil {
			return err
		}
		defer stopWatch(w)
		for {
			select {
			case e, ok := <-w.Updates():
				switch {
				case !ok:
					return errors.New("the listing ended early")
				case e == nil:
					return nil
				}
				keys = append(keys, e.Key())
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if errors.Is(err, pipeline.ErrNoKey) { // no bucket
		err = nil
	}
	return keys, err
}

func entry(e jetstream.KeyValueEntry) pipeline.KVEntry {
	return pipeline.KVEntry{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Modified: e.Created(),
		Deleted: e.Operation() != jetstream.KeyValuePut}
}

// stopWatch ends a watch. nats.go's callback may be blocked handing over an update, so what comes is drained meanwhile.
func stopWatch(w jetstream.KeyWatcher) {
	go func() {
		for range w.Updates() {
		}
	}()
	_ = w.Stop()
}
