package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// Watch follows the keys. nats.go's own watcher notices a restarted server only by missed heartbeats; this one begins
// anew with every session, after the last revision it has seen, and so loses no change and repeats none.
func (b *bucket) Watch(ctx context.Context, pattern string) (<-chan pipeline.KVEntry, error) {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(b.c.root, cancel)
	w := &watch{b: b, pattern: pattern, out: make(chan pipeline.KVEntry, 64)}
	first, session, err := w.begin(ctx)
	if errors.Is(err, pipeline.ErrNoKey) { // a guest's bucket that was never made: nothing is in it
		w.out <- pipeline.KVEntry{}
		context.AfterFunc(ctx, func() { release(); close(w.out) })
		return w.out, nil
	}
	if err != nil {
		release()
		cancel()
		return nil, err
	}
	b.c.work.Add(1)
	go func() {
		defer b.c.work.Done()
		defer close(w.out)
		defer cancel()
		defer release()
		w.run(ctx, first, session)
	}()
	return w.out, nil
}

// watchAgain is the longest pause before a watch that was interrupted is begun again.
const watchAgain = 8 * time.Second

type watch struct {
	b       *bucket
	pattern string
	out     chan pipeline.KVEntry
	last    uint64             // revision
	primed  bool               // the marker behind the present entries was sent
	end     context.CancelFunc // of the watcher that begin has made
}

// begin starts a watcher behind the last revision seen, and names the session it belongs to.
func (w *watch) begin(ctx context.Context) (kw jetstream.KeyWatcher, session context.Context, err error) {
	err = w.b.call(ctx, "watch", w.pattern, func(ctx context.Context, kv jetstream.KeyValue) error {
		if session, err = w.b.c.link.wait(ctx); err != nil {
			return err
		}
		var opts []jetstream.WatchOpt
		if w.last > 0 {
			st, err := kv.Status(ctx)
			if err != nil {
				return err
			}
			// A store that was rolled back counts its revisions anew: all of it is news then.
			if s, ok := st.(*jetstream.KeyValueBucketStatus); ok && s.StreamInfo().State.LastSeq >= w.last {
				opts = append(opts, jetstream.ResumeFromRevision(w.last+1))
			}
		}
		// The watcher must outlive this call, but for one that does not come about; it is stopped by run.
		var life context.Context
		life, w.end = context.WithCancel(context.WithoutCancel(ctx))
		made := context.AfterFunc(ctx, w.end)
		if kw, err = kv.Watch(life, w.pattern, opts...); err == nil && !made() {
			stopWatch(kw)
			err = ctx.Err()
		}
		if err != nil {
			w.end()
		}
		return err
	})
	return kw, session, err
}

func (w *watch) run(ctx context.Context, kw jetstream.KeyWatcher, session context.Context) {
	for {
		again := w.forward(ctx, kw, session)
		stopWatch(kw)
		w.end()
		kw = nil
		for pause := time.Second; again && kw == nil; pause = min(2*pause, watchAgain) {
			var err error
			if kw, session, err = w.begin(ctx); err != nil {
				if ctx.Err() != nil {
					return
				}
				w.b.c.log.Warn("watch interrupted, trying again", "bucket", w.b.name, "keys", w.pattern, "error", err)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return
				}
			}
		}
		if !again {
			return
		}
	}
}

// forward passes updates on until ctx ends (false) or the session or the watcher does (true).
func (w *watch) forward(ctx context.Context, kw jetstream.KeyWatcher, session context.Context) (again bool) {
	for {
		select {
		case e, ok := <-kw.Updates():
			var out pipeline.KVEntry
			switch {
			case !ok:
				return true
			case e == nil && w.primed:
				continue
			case e == nil:
				w.primed = true
			default:
				out = entry(e)
				if out.Deleted && !w.primed {
					continue // what was deleted before is not present
				}
			}
			select {
			case w.out <- out:
			case <-ctx.Done():
				return false
			}
			if e != nil {
				w.last = e.Revision()
			}
		case <-session.Done():
			return true
		case <-ctx.Done():
			return false
		}
	}
}
