package notices

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

const (
	// watchEvery is how long a watch is trusted to bring every notice.
	watchEvery = 10 * time.Minute
	// lookEvery is how often it is looked for claims of processes that are gone, and for what has become due.
	lookEvery = 5 * time.Second
)

// Serve sends notices as they come, until ctx ends.
func (o *Outbox) Serve(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.follow(ctx); err != nil && ctx.Err() == nil {
			o.Log.Debug("the watch of notices ended; it begins anew", "error", err)
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
			}
		}
	}
}

// follow works by one watch of the store, for a while.
func (o *Outbox) follow(ctx context.Context) error {
	watching, stop := context.WithTimeout(ctx, watchEvery)
	entries, err := o.watch(watching)
	if err != nil {
		stop()
		return err
	}
	defer func() {
		stop()
		for range entries { // closed by the watches' end
		}
	}()
	waiting := map[string]*checkpoint.Document[checkpoint.NoticeRecord]{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-entries:
			if !ok {
				return pipeline.WatchEnded(ctx, "notices")
			}
			o.take(waiting, e)
			if len(entries) > 0 {
				continue // all that is here, and then to work
			}
		case <-tick.C:
		case <-watching.Done():
			return nil
		}
		// The records that attempts write come back by the watch.
		o.attempt(ctx, slices.Collect(maps.Values(waiting)))
		if errors.Is(watching.Err(), context.DeadlineExceeded) {
			return nil
		}
	}
}

// take keeps an entry that waits.
func (o *Outbox) take(waiting map[string]*checkpoint.Document[checkpoint.NoticeRecord], e pipeline.KVEntry) {
	if e.Key == "" {
		return
	}
	if e.Deleted {
		delete(waiting, e.Key)
		return
	}
	doc, err := checkpoint.DocumentOf[checkpoint.NoticeRecord](o.Runs, e)
	if err != nil {
		o.Log.Warn(err.Error())
		delete(waiting, e.Key)
		return
	}
	if rec := doc.Value(); rec.State != checkpoint.NoticeWaiting {
		o.due(doc, time.Now()) // which forgets it
		delete(waiting, e.Key)
		return
	}
	if had := waiting[e.Key]; had == nil || had.Revision() < doc.Revision() { // not what an attempt has gone beyond
		waiting[e.Key] = doc
	}
}

// watch joins the watches of all kinds of notices.
func (o *Outbox) watch(ctx context.Context) (<-chan pipeline.KVEntry, error) {
	joined := make(chan pipeline.KVEntry, 64)
	ended := make(chan struct{}, len(checkpoint.NoticePatterns))
	ctx, stop := context.WithCancel(ctx)
	begun := 0
	for _, pattern := range checkpoint.NoticePatterns {
		entries, err := o.Runs.Watch(ctx, pattern)
		if err != nil {
			stop()
			for range begun {
				<-ended
			}
			return nil, err
		}
		begun++
		go func() {
			defer func() { ended <- struct{}{} }()
			for e := range entries {
				select {
				case joined <- e:
				case <-ctx.Done(): // the rest is thrown away
				}
			}
		}()
	}
	go func() {
		defer stop()
		for range begun {
			<-ended
			stop() // with one of them all end
		}
		close(joined)
	}()
	return joined, nil
}
