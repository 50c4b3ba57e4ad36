package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/deliver"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/query"
)

// share is what this process does for one incarnation of a run: of one that it coordinates until the coordinator
// leaves, of another as long as that goes on and there is something to do.
type share struct {
	w           *work
	run         string
	incarnation int
	job         string
	joined      atomic.Pointer[coordinate.Work] // what the coordinator of this process gave; nil where there is none
	log         *slog.Logger
	asking      *inHand // connections
	writing     *inHand // destinations
	worker      *query.Worker
	deliverer   *deliver.Deliverer
	begun       atomic.Int64  // connections, for the lines about memory
	users       int           // commands that are being handled; w.mu guards it
	nudged      chan struct{} // holds a token when the run's record is to be looked at
	over        chan struct{} // closed when nothing more is done for the run here
}

// newShare makes a share that asks connections while a context lasts.
func newShare(asking context.Context, w *work, job, run string, incarnation int, log *slog.Logger) *share {
	n := w.n
	sh := &share{w: w, run: run, incarnation: incarnation, job: job, log: log, asking: newInHand(asking), writing: newInHand(context.Background()), nudged: make(chan struct{}, 1), over: make(chan struct{})}
	sh.worker = &query.Worker{Runs: n.Stores.Runs, Specs: n.Specs, Jobs: n.Jobs, RowLogs: n.RowLogs, Databases: n.Databases, Owner: n.Owner, Notify: sh.notify, Rows: sh.rows, Log: log,
		Budget: n.Budget, Memory: n.Memory, QueryTimeout: n.QueryTimeout, Tracing: n.Tracing}
	sh.deliverer = deliver.NewDeliverer(deliver.Deliverer{Runs: n.Stores.Runs, Specs: n.Specs, Jobs: n.Jobs, Records: n.Records, RowLogs: n.RowLogs, Sinks: n.Sinks, Owner: n.Owner, Places: n.disks(), Alone: w.own, StoreID: n.StoreID,
		Timeout: n.Timeout, Notify: sh.notify, Log: log, Budget: n.Budget, Spool: n.Spool, Dead: n.Dead, Post: n.Bus.Publish, Reports: n.Reports, StoreFails: sh.storeFails, Tracing: n.Tracing})
	return sh
}

// notify tells what happened: the coordinator, if it is in this process, and else whoever listens.
func (sh *share) notify(e pipeline.Event) {
	if c := sh.joined.Load(); c != nil {
		c.Notify(e)
		return
	}
	e.Process = sh.w.n.Owner.Token
	payload, err := json.Marshal(e)
	if err == nil {
		err = sh.w.n.Bus.Publish(pipeline.TopicEvent(e.Job, e.Run, e.Kind), "", payload)
	}
	if err != nil {
		sh.log.Debug("event not stored", "kind", e.Kind, "error", err)
	}
}

func (sh *share) rows(connection string, rows int64) {
	if c := sh.joined.Load(); c != nil && c.Rows != nil {
		c.Rows(connection, rows)
	}
}

func (sh *share) storeFails() bool {
	if c := sh.joined.Load(); c != nil {
		return c.StoreFails()
	}
	return sh.w.storeFails()
}

// fail ends the run, if its coordinator is here: a record of it is gone, or cannot be read.
func (sh *share) fail(err error) {
	if c := sh.joined.Load(); c != nil {
		c.Fail(err)
	}
}

// Asks implements coordinate.Share.
func (sh *share) Asks(connection string) bool { return sh.asking.has(connection) }

// Writes implements coordinate.Share.
func (sh *share) Writes(destination string) bool { return sh.writing.has(destination) }

// Stop implements coordinate.Share.
func (sh *share) Stop(why error) <-chan struct{} { return sh.asking.stop(why) }

// Leave implements coordinate.Share.
func (sh *share) Leave(why error) {
	asked, written := sh.asking.stop(why), sh.writing.stop(why)
	<-asked
	<-written
	sh.w.forget(sh)
}

// Measured implements coordinate.Share.
func (sh *share) Measured() (batches, bytes int64, logWait time.Duration) {
	return sh.worker.Measured()
}

// goesOn looks whether the run still wants something of this process. A coordinator in this process says so itself.
func (sh *share) goesOn(ctx context.Context) (asks, writes bool, _ error) {
	if sh.joined.Load() != nil {
		return !sh.asking.over(), !sh.writing.over(), nil
	}
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, sh.w.n.Stores.Runs, checkpoint.RunKey(sh.run))
	switch {
	case errors.Is(err, pipeline.ErrNoKey), errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	rec := doc.Value()
	if !rec.WorkedOn(sh.incarnation) {
		return false, false, nil
	}
	cancelled, err := checkpoint.LoadCancellation(ctx, sh.w.n.Stores.Runs, sh.run)
	if err != nil && !errors.Is(err, pipeline.ErrForeign) {
		return false, false, err
	}
	return !rec.Stopping && !cancelled.Stops(&rec), true, nil
}

// follow looks at the record of a run that another process coordinates: at least every third of a lease, and whenever
// an event tells that it is being stopped. It ends when nothing is done for the run here.
func (sh *share) follow() {
	defer sh.w.following.Done()
	n := sh.w.n
	silence, err := n.Bus.Listen(pipeline.TopicEvent(sh.job, sh.run, "*"), func(i pipeline.Inquiry) {
		switch pipeline.LastToken(i.Subject) {
		case pipeline.EventStopping, pipeline.EventInterrupted, pipeline.EventEnded:
			select {
			case sh.nudged <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		sh.log.Debug("the events of a run cannot be heard; its record is looked at all the same", "run", sh.run, "error", err)
	} else {
		defer silence()
	}
	relieve := func(why error) {
		sh.log.Warn(fmt.Sprintf("connections of run %s are given back to other processes: %v", sh.run, why))
		sh.asking.drop(why)
	}
	release := n.Memory.Guard(relieve)
	defer func() { release() }()
	third := max(time.Duration(n.Owner.LeaseMS)*time.Millisecond/3, 10*time.Millisecond)
	tick := time.NewTicker(third)
	defer tick.Stop()
	idle := 0 // ticks
	for {
		select {
		case <-tick.C:
		case <-sh.nudged:
		case <-sh.over:
			return
		}
		if sh.joined.Load() != nil { // this process coordinates the run by now
			return
		}
		release() // it is called once
		release = n.Memory.Guard(relieve)
		looking, cancel := context.WithTimeout(context.Background(), max(third, time.Second))
		asks, writes, err := sh.goesOn(looking)
		cancel()
		switch {
		case err != nil: // what is in hand is kept, whatever happens there meanwhile is fenced
			continue
		case !writes:
			sh.asking.stop(errEnded)
			sh.writing.stop(errEnded)
		case !asks:
			sh.asking.stop(errStopping)
		}
		if idle++; sh.asking.count()+sh.writing.count() > 0 {
			idle = 0
		}
		if idle > idleTicks && sh.w.retire(sh) {
			return
		}
	}
}

// idleTicks is for how many looks at a run a process that has nothing of it in hand goes on to look.
const idleTicks = 3

var (
	errEnded    = errors.New("the run does not go on, or not as it was")
	errStopping = errors.New("the run is being stopped")
	errLeaving  = errors.New("this process is being stopped")
)

// remember logs the resident memory before the 1st, 11th, 21st ... connection, and acts on it.
func (sh *share) remember() {
	if sh.w.n.Memory == nil || (sh.begun.Add(1)-1)%10 != 0 {
		return
	}
	if resident := sh.w.n.Memory.Look(); resident > 0 {
		sh.log.Info(memory.Line(resident, sh.w.n.Memory.Threshold))
	}
}
