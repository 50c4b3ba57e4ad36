package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Store is all that fanmill keeps its state in, as a whole.
type Store interface {
	// Probe looks whether the store is the one that this process opened, and works. The error is ErrStore if it is
	// another one, or was emptied; any other says, in words for people, what keeps it from working and what helps.
	Probe(ctx context.Context) error
}

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
		case errors.Is(err, ErrStore):
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
			end(Transient(fmt.Errorf("the store has not worked for %s: %w; then --resume goes on", patience.Round(time.Second), err)))
			return
		}
	}
}

// watched is the node with what it knows of the store.
func (n *Coordinator) watched(w *storeWatch) *Coordinator {
	one := *n
	one.watch = w
	return &one
}

// storeFails reports whether the store does not work, as far as is known.
func (n *Coordinator) storeFails() bool { return n.watch != nil && n.watch.troubled.Load() }

// reason is err with what ended ctx before it, unless err says so itself, or somebody merely wanted an end.
func reason(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) || errors.Is(cause, context.Canceled) {
		return err
	}
	return errors.Join(cause, err)
}

// storePace is d, or what is in proportion to it where a test has the patience of the store cut short.
func (n *Coordinator) storePace(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*float64(n.storePatience())/float64(storePatience)), time.Millisecond)
}

func (n *Coordinator) storePatience() time.Duration {
	if n.StorePatience > 0 {
		return n.StorePatience
	}
	return storePatience
}
