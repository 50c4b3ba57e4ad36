package coordinate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// RefuseIfRunning answers at once when the job's newest run is alive, before anything of it is touched. A resume may
// be meant for a process that hangs: it waits for the lease instead.
func (n *Coordinator) RefuseIfRunning(ctx context.Context, job string, resume bool) error {
	last, _, err := n.LastRun(ctx, job)
	if err != nil || last == nil || resume {
		return err
	}
	// One that is merely taken is waited for: it may only be tidied up after.
	if rec := last.Value(); rec.State == pipeline.RunRunning && !rec.HandedOver {
		if alive, known := n.Alive(rec.Owner); known && alive {
			return n.alreadyRunning(last)
		}
	}
	return nil
}

func (n *Coordinator) alreadyRunning(doc *checkpoint.Document[checkpoint.RunRecord]) error {
	rec := doc.Value()
	return pipeline.Permanent(pipeline.HeldError(fmt.Errorf("job %s is already running: run %s, process %d on %s; wait for its end, or stop it: fanmill cancel %s", rec.Job, checkpoint.RunOf(doc), rec.Owner.PID, rec.Owner.Host, checkpoint.RunOf(doc))))
}

// takeOver makes this process the run's owner by a compare-and-set of its record. An owner that may be alive is
// waited out: only if its record stands still for a whole lease, by our own clock, is it taken for dead. If it is
// merely frozen, its next write finds another token. This process itself carries out one run of a job at a time, so
// what is marked as running here is not.
//
// Until the run goes on it is marked as interrupted, and as taken: who wants it, too, waits for what becomes of that.
// Should it not go on, because the job has changed, say, letGo must follow.
func (n *Coordinator) takeOver(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	n.tellLater(ctx, doc) // how it ended, before it goes on
	return n.take(ctx, doc)
}

// take is takeOver of a run of whose end nobody is to be told yet.
func (n *Coordinator) take(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	rec := doc.Value()
	if rec.Busy() && rec.Owner.Token != n.Owner.Token && n.mayHave(rec) {
		lease := time.Duration(rec.Owner.LeaseMS) * time.Millisecond
		n.Log.Info(fmt.Sprintf("run %s belongs to process %d on %s; waiting up to %s for a sign of life", checkpoint.RunOf(doc), rec.Owner.PID, rec.Owner.Host, lease))
		if _, err := n.untilChanged(ctx, doc, func() error { return errAlive }); err != nil && !errors.Is(err, errAlive) {
			return err
		}
		revision := doc.Revision()
		if err := doc.Reload(ctx); err != nil {
			return err
		}
		if rec = doc.Value(); doc.Revision() != revision && rec.Busy() {
			return n.alreadyRunning(doc)
		}
		if !rec.State.Resumable() {
			return pipeline.Permanent(pipeline.HeldError(fmt.Errorf("run %s has ended meanwhile, it is %s; there is nothing to take over", checkpoint.RunOf(doc), rec.State)))
		}
	}
	rec.Take(n.Owner)
	err := doc.Write(ctx, rec) // over what was judged, and nothing later
	if errors.Is(err, pipeline.ErrConflict) {
		return n.lostTo(ctx, doc)
	}
	return err
}

// lostTo says who was faster in changing a run's record.
func (n *Coordinator) lostTo(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	if err := doc.Reload(ctx); err != nil {
		return err
	}
	if rec := doc.Value(); !rec.Busy() {
		return pipeline.Permanent(pipeline.HeldError(fmt.Errorf("run %s was taken by another process at the same moment, and is %s now; fanmill status %s tells how it went", checkpoint.RunOf(doc), rec.State, rec.Job)))
	}
	return n.alreadyRunning(doc)
}

// errAlive is a sign of life.
var errAlive = errors.New("the process lives")

// Hold calls f while a run is this process's, which no other one has.
func (n *Coordinator) Hold(ctx context.Context, run string, f func(context.Context) error) error {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		return err
	}
	if rec := doc.Value(); rec.Busy() && rec.Owner.Token != n.Owner.Token && n.mayHave(rec) {
		return n.alreadyRunning(doc)
	}
	if err := n.takeOver(ctx, doc); err != nil {
		return err
	}
	defer n.letGo(ctx, doc)
	return f(ctx)
}

// letGo gives back a run that was taken over and does not go on.
func (n *Coordinator) letGo(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) {
	if doc == nil || !doc.Value().Taken || doc.Value().Owner.Token != n.Owner.Token {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	if err := doc.Change(ctx, checkpoint.Owned(doc), (*checkpoint.RunRecord).LetGo); err != nil && !errors.Is(err, pipeline.ErrFenced) && !errors.Is(err, pipeline.ErrForeign) {
		n.Log.Warn(fmt.Sprintf("run %s could not be given back; who resumes it waits %s for a sign of life of this process", checkpoint.RunOf(doc), time.Duration(n.Owner.LeaseMS)*time.Millisecond), "error", err)
	}
}

// holding calls f, which may take long, and gives signs of life in the record of a run that was taken over: who wants
// it, too, would take a silent owner for dead. When f is done the run is still this process's, or the error says
// whose it is. Without a run it just calls f.
func (n *Coordinator) holding(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], f func(context.Context) error) error {
	if doc == nil {
		return f(ctx)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	lost := n.renewing(ctx, doc, func() { err = f(working) }, stop)
	if err == nil && !lost {
		err = doc.Change(ctx, checkpoint.Owned(doc), (*checkpoint.RunRecord).Sign)
		lost = errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign)
	}
	if lost {
		return n.lostTo(ctx, doc)
	}
	return err
}

// renewing calls f, which does not touch the doc, and gives signs of life in the record of a run meanwhile. lost
// means that another process has the run now; onLost is called as soon as that is seen.
func (n *Coordinator) renewing(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], f, onLost func()) (lost bool) {
	done, mine := make(chan struct{}), checkpoint.Owned(doc)
	var signs sync.WaitGroup
	signs.Go(func() {
		tick := time.NewTicker(max(time.Duration(n.Owner.LeaseMS)*time.Millisecond/3, time.Millisecond))
		defer tick.Stop()
		for !lost {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			// Not to be cut short: a write that is given up half-way is not known to be one's own.
			if err := doc.Change(context.WithoutCancel(ctx), mine, (*checkpoint.RunRecord).Sign); errors.Is(err, pipeline.ErrFenced) || errors.Is(err, checkpoint.ErrLater) {
				lost = true
				onLost()
			}
		}
	})
	f()
	close(done)
	signs.Wait()
	return lost
}

// MayLive reports whether an owner's process runs, for all that is known.
func (n *Coordinator) MayLive(o pipeline.Owner) bool {
	if n.Peers != nil && o.Token != n.Owner.Token {
		if life := n.Peers.Life(o.Token); life == checkpoint.LifeDead || life == checkpoint.LifeReleased {
			return false
		}
	}
	alive, known := n.Alive(o)
	return alive || !known
}

// mayHave reports whether the owner of a run has not let go of it, and runs, for all that is known.
func (n *Coordinator) mayHave(rec checkpoint.RunRecord) bool {
	return !rec.HandedOver && n.MayLive(rec.Owner)
}

// Elsewhere waits while the job's newest run is carried out by another process: until it ends, or gives no sign of
// life for its lease. waits is called before each wait, and again with a sign of life; its error ends the wait.
func (n *Coordinator) Elsewhere(ctx context.Context, job string, waits func(last *checkpoint.Document[checkpoint.RunRecord], lives bool) error) error {
	for {
		last, _, err := n.LastRun(ctx, job)
		if err != nil || last == nil {
			return err
		}
		rec := last.Value()
		if !rec.Busy() || rec.Owner.Token == n.Owner.Token || !n.mayHave(rec) {
			return nil
		}
		alive, known := n.Alive(rec.Owner)
		if err := waits(last, alive && known); err != nil {
			return err
		}
		silent, err := n.untilChanged(ctx, last, func() error { return waits(last, true) })
		if err != nil {
			return err
		}
		if silent {
			return n.untilGone(ctx, rec.Owner)
		}
	}
}

// untilGone waits for a lease at most until an owner that gives no sign of life is seen to be gone: a run that others
// work on can be adopted from then on, and need not be taken from them.
func (n *Coordinator) untilGone(ctx context.Context, o pipeline.Owner) error {
	if n.Peers == nil {
		return nil
	}
	lease := time.Duration(o.LeaseMS) * time.Millisecond
	patience := time.NewTimer(lease)
	defer patience.Stop()
	look := time.NewTicker(max(lease/8, time.Millisecond))
	defer look.Stop()
	for {
		if gone, err := n.Peers.Gone(ctx, o.Token); gone || err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-patience.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// untilChanged follows a running run until it is not. silent means that it gave no sign of life for a lease.
func (n *Coordinator) untilChanged(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], sign func() error) (silent bool, _ error) {
	watching, stop := context.WithCancel(ctx)
	changes, err := n.Stores.Runs.Watch(watching, checkpoint.RunKey(checkpoint.RunOf(doc)))
	if err != nil {
		stop()
		return false, fmt.Errorf("watch run %s: %w", checkpoint.RunOf(doc), err)
	}
	defer func() {
		stop()
		for range changes { // the store closes it
		}
	}()
	lease := time.Duration(doc.Value().Owner.LeaseMS) * time.Millisecond
	patience := time.NewTimer(lease)
	defer patience.Stop()
	for {
		select {
		case e, ok := <-changes:
			switch {
			case !ok:
				return false, pipeline.WatchEnded(ctx, "run "+checkpoint.RunOf(doc))
			case e.Key == "":
				continue
			case e.Deleted:
				return false, nil
			}
			seen, err := checkpoint.DocumentOf[checkpoint.RunRecord](n.Stores.Runs, e)
			if err != nil {
				return false, nil // whoever had it ends over that
			}
			if rec := seen.Value(); !rec.Busy() || rec.HandedOver {
				return false, nil
			}
			if e.Revision != doc.Revision() {
				if err := sign(); err != nil {
					return false, err
				}
			}
			patience.Reset(lease)
		case <-patience.C:
			return true, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}
