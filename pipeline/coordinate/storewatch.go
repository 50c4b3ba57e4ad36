package coordinate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
)

// How long a store may fail. A run that waits for it holds its databases' sessions, and whoever waits for the run
// should hear of it; a server that is restarted is back well before.
const (
	storeLook     = 2 * time.Second  // between looks
	storeProbe    = 5 * time.Second  // for one answer
	storeNamed    = 10 * time.Second // after which the trouble is named
	storePatience = 2 * time.Minute  // after which a run ends
)

// storeWatch watches the store for somebody who cannot work without it.
type storeWatch struct {
	troubled atomic.Bool // it does not work now
	ends     bool        // the work, when that lasts
	stop     func()
}

// Watched is the coordinator with an eye on the store, for work that cannot go on without it: the context ends once the
// store is another one or has not worked for StorePatience; with endless only once it is another one. stop must follow.
func (n *Coordinator) Watched(ctx context.Context, endless bool) (_ context.Context, watched *Coordinator, stop func()) {
	if endless && n.watch != nil { // it is watched already
		return ctx, n, func() {}
	}
	patience := n.Patience()
	if endless {
		patience = 0
	}
	ctx, watch := n.watchStore(ctx, patience)
	one := *n
	one.watch = watch
	return ctx, &one, watch.stop
}

// watchStore ends the context that it returns once the store is another one or has not worked for patience; 0 is for
// ever. stop must follow.
func (n *Coordinator) watchStore(ctx context.Context, patience time.Duration) (context.Context, *storeWatch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &storeWatch{ends: patience > 0}
	done := make(chan struct{})
	watching, leave := context.WithCancel(context.WithoutCancel(ctx)) // who is stopped needs to know it all the more
	w.stop = func() { leave(); cancel(nil); <-done }
	if n.Store == nil {
		close(done)
		return ctx, w
	}
	go func() {
		defer close(done)
		w.watch(watching, n, patience, cancel)
	}()
	return ctx, w
}

func (w *storeWatch) watch(ctx context.Context, n *Coordinator, patience time.Duration, end context.CancelCauseFunc) {
	tick := time.NewTicker(n.storePace(storeLook))
	defer tick.Stop()
	var since time.Time // of the trouble
	named := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, storeProbe)
		err := n.Store.Probe(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if named {
				n.Log.Info("the store works again")
			}
			since, named = time.Time{}, false
			w.troubled.Store(false)
			continue
		case errors.Is(err, pipeline.ErrStore):
			w.troubled.Store(true)
			end(err)
			return
		}
		w.troubled.Store(true)
		switch now := time.Now(); {
		case since.IsZero():
			since = now
		case !named && now.Sub(since) >= n.storePace(storeNamed):
			named = true
			text := "the store does not work: " + err.Error()
			if patience > 0 {
				text += fmt.Sprintf(". Runs wait for it until %s, then they end; what is committed stays, and a resume goes on", since.Add(patience).Format(time.TimeOnly))
			}
			n.Log.Warn(text)
		case patience > 0 && now.Sub(since) >= patience:
			end(pipeline.Transient(fmt.Errorf("the store has not worked for %s: %w; then --resume goes on", patience.Round(time.Second), err)))
			return
		}
	}
}

// StoreFails reports whether the store does not work, as far as is known.
func (n *Coordinator) StoreFails() bool { return n.watch != nil && n.watch.troubled.Load() }

// Reason is err with what ended ctx before it, unless err says so itself, or somebody merely wanted an end.
func Reason(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) || errors.Is(cause, context.Canceled) {
		return err
	}
	return errors.Join(cause, err)
}

// storePace is d, or what is in proportion to it where a test has the patience of the store cut short.
func (n *Coordinator) storePace(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*float64(n.Patience())/float64(storePatience)), time.Millisecond)
}

// Patience is how long a run waits for a store that does not work.
func (n *Coordinator) Patience() time.Duration {
	if n.StorePatience > 0 {
		return n.StorePatience
	}
	return storePatience
}
