package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// refuseIfRunning answers at once when the job's newest run is alive, before anything of it is touched. A resume may
// be meant for a process that hangs: it waits for the lease instead.
func (n *Coordinator) refuseIfRunning(ctx context.Context, job string, resume bool) error {
	last, _, err := n.lastRun(ctx, job)
	if err != nil || last == nil || resume {
		return err
	}
	if rec := last.Value(); rec.State == RunRunning { // one that is merely taken is waited for: it may only be tidied up after
		if alive, known := n.Alive(rec.Owner); known && alive {
			return n.alreadyRunning(last)
		}
	}
	return nil
}

func (n *Coordinator) alreadyRunning(cell *Cell[RunRecord]) error {
	rec := cell.Value()
	return Permanent(held(fmt.Errorf("job %s is already running: run %s, process %d on %s; wait for its end, or stop it: fanmill cancel %s", rec.Job, RunOf(cell), rec.Owner.PID, rec.Owner.Host, RunOf(cell))))
}

// takeOver makes this process the run's owner by a compare-and-set of its record. An owner that may be alive is
// waited out: only if its record stands still for a whole lease, by our own clock, is it taken for dead. If it is
// merely frozen, its next write finds another token. This process itself carries out one run of a job at a time, so
// what is marked as running here is not.
//
// Until the run goes on it is marked as interrupted, and as taken: who wants it, too, waits for what becomes of that.
// Should it not go on, because the job has changed, say, letGo must follow.
func (n *Coordinator) takeOver(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	if rec.Busy() && rec.Owner.Token != n.Owner.Token && n.mayLive(rec.Owner) {
		lease := time.Duration(rec.Owner.LeaseMS) * time.Millisecond
		n.Log.Info(fmt.Sprintf("run %s belongs to process %d on %s; waiting up to %s for a sign of life", RunOf(cell), rec.Owner.PID, rec.Owner.Host, lease))
		if _, err := n.untilChanged(ctx, cell, func() error { return errAlive }); err != nil && !errors.Is(err, errAlive) {
			return err
		}
		revision := cell.Revision()
		if err := cell.Reload(ctx); err != nil {
			return err
		}
		if rec = cell.Value(); cell.Revision() != revision && rec.Busy() {
			return n.alreadyRunning(cell)
		}
		if !rec.State.Resumable() {
			return Permanent(held(fmt.Errorf("run %s has ended meanwhile, it is %s; there is nothing to take over", RunOf(cell), rec.State)))
		}
	}
	rec.take(n.Owner)
	err := cell.Write(ctx, rec) // over what was judged, and nothing later
	if errors.Is(err, ErrConflict) {
		return n.lostTo(ctx, cell)
	}
	return err
}

// lostTo says who was faster in changing a run's record.
func (n *Coordinator) lostTo(ctx context.Context, cell *Cell[RunRecord]) error {
	if err := cell.Reload(ctx); err != nil {
		return err
	}
	if rec := cell.Value(); !rec.Busy() {
		return Permanent(held(fmt.Errorf("run %s was taken by another process at the same moment, and is %s now; fanmill status %s tells how it went", RunOf(cell), rec.State, rec.Job)))
	}
	return n.alreadyRunning(cell)
}

// errAlive is a sign of life.
var errAlive = errors.New("the process lives")

// Hold calls f while a run is this process's, which no other one has.
func (n *Coordinator) Hold(ctx context.Context, run string, f func(context.Context) error) error {
	cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(run))
	if err != nil {
		return err
	}
	if rec := cell.Value(); rec.Busy() && rec.Owner.Token != n.Owner.Token && n.mayLive(rec.Owner) {
		return n.alreadyRunning(cell)
	}
	if err := n.takeOver(ctx, cell); err != nil {
		return err
	}
	defer n.letGo(ctx, cell)
	return f(ctx)
}

// letGo gives back a run that was taken over and does not go on.
func (n *Coordinator) letGo(ctx context.Context, cell *Cell[RunRecord]) {
	if cell == nil || !cell.Value().Taken || cell.Value().Owner.Token != n.Owner.Token {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	if err := cell.Change(ctx, owned(cell), (*RunRecord).letGo); err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrForeign) {
		n.Log.Warn(fmt.Sprintf("run %s could not be given back; who resumes it waits %s for a sign of life of this process", RunOf(cell), time.Duration(n.Owner.LeaseMS)*time.Millisecond), "error", err)
	}
}

// holding calls f, which may take long, and gives signs of life in the record of a run that was taken over: who wants
// it, too, would take a silent owner for dead. When f is done the run is still this process's, or the error says
// whose it is. Without a run it just calls f.
func (n *Coordinator) holding(ctx context.Context, cell *Cell[RunRecord], f func(context.Context) error) error {
	if cell == nil {
		return f(ctx)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	lost := n.renewing(ctx, cell, func() { err = f(working) }, stop)
	if err == nil && !lost {
		err = cell.Change(ctx, owned(cell), (*RunRecord).sign)
		lost = errors.Is(err, ErrFenced) || errors.Is(err, ErrForeign)
	}
	if lost {
		return n.lostTo(ctx, cell)
	}
	return err
}

// renewing calls f, which does not touch the cell, and gives signs of life in the record of a run meanwhile. lost
// means that another process has the run now; onLost is called as soon as that is seen.
func (n *Coordinator) renewing(ctx context.Context, cell *Cell[RunRecord], f, onLost func()) (lost bool) {
	done, mine := make(chan struct{}), owned(cell)
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
			if err := cell.Change(context.WithoutCancel(ctx), mine, (*RunRecord).sign); errors.Is(err, ErrFenced) || errors.Is(err, ErrLater) {
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

// mayLive reports whether an owner's process runs, for all that is known.
func (n *Coordinator) mayLive(o Owner) bool {
	alive, known := n.Alive(o)
	return alive || !known
}

// elsewhere waits while the job's newest run is carried out by another process: until it ends, or gives no sign of
// life for its lease. waits is called before each wait, and again with a sign of life; its error ends the wait.
func (n *Coordinator) elsewhere(ctx context.Context, job string, waits func(last *Cell[RunRecord], lives bool) error) error {
	for {
		last, _, err := n.lastRun(ctx, job)
		if err != nil || last == nil {
			return err
		}
		rec := last.Value()
		if !rec.Busy() || rec.Owner.Token == n.Owner.Token || !n.mayLive(rec.Owner) {
			return nil
		}
		alive, known := n.Alive(rec.Owner)
		if err := waits(last, alive && known); err != nil {
			return err
		}
		silent, err := n.untilChanged(ctx, last, func() error { return waits(last, true) })
		if err != nil || silent {
			return err
		}
	}
}

// untilChanged follows a running run until it is not. silent means that it gave no sign of life for a lease.
func (n *Coordinator) untilChanged(ctx context.Context, cell *Cell[RunRecord], sign func() error) (silent bool, _ error) {
	watching, stop := context.WithCancel(ctx)
	changes, err := n.Stores.Runs.Watch(watching, RunKey(RunOf(cell)))
	if err != nil {
		stop()
		return false, fmt.Errorf("watch run %s: %w", RunOf(cell), err)
	}
	defer func() {
		stop()
		for range changes { // the store closes it
		}
	}()
	lease := time.Duration(cell.Value().Owner.LeaseMS) * time.Millisecond
	patience := time.NewTimer(lease)
	defer patience.Stop()
	for {
		select {
		case e, ok := <-changes:
			switch {
			case !ok:
				return false, watchEnded(ctx, "run "+RunOf(cell))
			case e.Key == "":
				continue
			case e.Deleted:
				return false, nil
			}
			seen, err := CellOf[RunRecord](n.Stores.Runs, e)
			if err != nil {
				return false, nil // whoever had it ends over that
			}
			if rec := seen.Value(); !rec.Busy() {
				return false, nil
			}
			if e.Revision != cell.Revision() {
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
