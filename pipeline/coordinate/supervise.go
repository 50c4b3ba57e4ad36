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

// supervisor watches a run from its commands to its end. Its state is what the store says.
type supervisor struct {
	run      *run
	c        *Coordinator                       // the run's
	m        *pipeline.Manifest                 // the run's
	records  map[string]checkpoint.CommitRecord // by destination id
	uncalled []string                           // destinations whose commands are not published yet
	unstored bool                               // the store has not taken a command since the last tick
	asked    bool                               // the first query commands are published
	stopping bool                               // no more are
	// The row log is purged up to here; the run's record says how far it may be.
	trimmed   uint64
	marked    time.Time            // when the record last said so
	published time.Time            // the public checkpoint
	stale     bool                 // records changed since
	idle      map[string]time.Time // by topic of a command: since when nobody is known to have it
	departed  int                  // processes that had gone when commands were last looked at
	doubted   time.Time            // until then what the server keeps of commands may be for one of those
	moved     map[string]progress
	looked    time.Time // at the row log
	full      time.Time // since when every look has found it full; zero if the last one did not
	failing   sync.WaitGroup
	given     map[string]bool     // connections whose failure is being told
	refusals  map[string]*refusal // by connection
	fatal     chan error

	share   Share // what this process does for the run
	queue   *dispatcher
	byKey   map[string]string
	running map[string]*checkpoint.Document[checkpoint.ConnRecord] // connections that a worker has, as last seen
	logPeak int64
	mine    func(*checkpoint.RunRecord) bool // whether the run's record is still this process's
	stop    context.CancelCauseFunc

	claims     map[string]claimSign // by destination id
	claimsSeen time.Time            // when they were last looked at
	unclaimed  map[string]time.Time // destinations without a live claim, and when they are given up
	awaited    map[string]string    // and for which host or place they wait
	unserved   []string             // what no process does that lives
	roomed     bool                 // there is room for all of its destinations
	lacksRoom  string               // and what it waits for if there is not
	left       bool                 // no attempt of this process is left, once stopping
	restBy     time.Time            // once stopping: when other processes are waited for no longer
	draining   bool
	delivered  map[string]bool // connections whose eof is in the log, once draining
}

func newSupervisor(r *run) *supervisor {
	return &supervisor{run: r, c: r.c, m: r.m, records: map[string]checkpoint.CommitRecord{}, idle: map[string]time.Time{}, moved: map[string]progress{}, given: map[string]bool{}, refusals: map[string]*refusal{},
		running: map[string]*checkpoint.Document[checkpoint.ConnRecord]{}, fatal: make(chan error, 1), claims: map[string]claimSign{}}
}

// execute carries the run out: commands, supervision, end. When ctx ends, or memory runs out, the queries stop at
// once, and the destinations go on until they have what is in the row log whole.
func (r *run) execute(ctx context.Context) (*Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer r.c.Memory.Guard(cancel)()
	r.c.Log.Info(fmt.Sprintf("run %s of job %s: %d of %s to ask, %s", r.m.Run, r.m.JobID, len(r.wanted), pipeline.Counted(len(r.m.Connections), "connection"), pipeline.Counted(len(r.m.Wholes()), "destination")))
	if r.handover == nil {
		r.c.event(r.stamp(pipeline.Event{Kind: pipeline.EventStarted}))
	}
	r.fixed = r.doc.Value()
	s := newSupervisor(r)
	s.queue, s.mine, s.stop = r.dispatcher(), checkpoint.Owned(r.doc), cancel
	if r.handover == nil && r.c.Peers != nil {
		s.departed = r.c.Peers.Departed() // before the run's first command
	}
	s.heed(ctx)
	s.share = r.c.Hands.Join(Work{Job: r.m.JobID, Run: r.m.Run, Incarnation: r.fixed.Resumes, Asking: ctx, Log: r.c.Log, Notify: r.c.event, Rows: r.c.follower.Rows,
		Fail: s.fail, StoreFails: r.c.StoreFails})
	defer r.c.hear(r.m)()

	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	err := s.supervise(ctx, working)
	cancel(err)
	stop(err)
	s.share.Leave(err)
	s.failing.Wait()
	switch {
	case errors.Is(err, errHandedOver):
		return nil, s.handOver(ctx, err)
	case err != nil:
		err = s.interrupt(ctx, err)
		if !errors.Is(err, pipeline.ErrFenced) && !errors.Is(err, pipeline.ErrStore) {
			s.freeRoom(ctx)
		}
		return nil, err
	}
	out, err := r.end(context.WithoutCancel(ctx), s)
	if err == nil {
		s.freeRoom(ctx)
	}
	return out, err
}

// supervise returns nil once every destination is finished or detached. When asking ends, it waits until the
// destinations have committed what the workers had delivered by then, and returns why asking ended: at once, and as
// errHandedOver, where another coordinator goes on with the run.
func (s *supervisor) supervise(asking, ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	records, err := s.c.Records.Watch(ctx, s.m.Run)
	if err != nil {
		return fmt.Errorf("watch commit records: %w", err)
	}
	conns, err := s.c.Stores.Runs.Watch(ctx, checkpoint.ConnKeys(s.m.Run))
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	if len(s.m.Destinations) == 0 { // there are no records to wait for
		return nil
	}
	for _, d := range s.m.Destinations {
		if h := s.run.handover; h == nil || !h.claimed[d.ID] {
			s.uncalled = append(s.uncalled, d.ID)
		}
		if rec, err := s.c.Records.Load(ctx, s.m.Run, d.ID); err == nil && !s.c.Own { // where the command goes, it says
			s.records[d.ID] = rec
		}
	}
	if err := s.markRecords(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.reserve(ctx), s.call()); err != nil {
		return err
	}
	third := time.Duration(s.c.Owner.LeaseMS) * time.Millisecond / 3 // who watches waits for a whole lease
	tick := time.NewTicker(max(min(time.Second, third/2), 10*time.Millisecond))
	defer tick.Stop()
	renewed := time.Now()
	ended, left := asking.Done(), (<-chan struct{})(nil)
	var patience <-chan time.Time
	broken := false // patience is short, as the store does not work
	for {
		select {
		case u, ok := <-records:
			if !ok {
				return pipeline.WatchEnded(ctx, "commit records")
			}
			if err := s.recordChanged(ctx, u); err != nil {
				return err
			}
			if err := s.catchUp(ctx, records, conns); err != nil {
				return err
			}
			if err := s.trim(ctx); err != nil {
				return err
			}
		case e, ok := <-conns:
			if !ok {
				return pipeline.WatchEnded(ctx, "connections")
			}
			if err := errors.Join(s.connChanged(ctx, e), s.rest(ctx, asking)); err != nil {
				return err
			}
		case err := <-s.fatal:
			return err
		case <-tick.C:
			if err := s.catchUp(ctx, records, conns); err != nil { // what is judged is to be as things are now
				return err
			}
			if s.allEnded() {
				return nil
			}
			if err := errors.Join(s.tick(asking, ctx, &renewed, third), s.rest(ctx, asking)); err != nil {
				return err
			}
			if s.stopping && !broken && s.c.StoreFails() {
				broken, patience = true, time.After(brokenPatience)
			}
		case <-ended:
			if s.successor() && !s.c.StoreFails() && errors.Is(context.Cause(asking), context.Canceled) {
				return fmt.Errorf("%w, and %w", context.Cause(asking), errHandedOver)
			}
			ended, left, s.stopping, s.restBy = nil, s.share.Stop(context.Cause(asking)), true, time.Now().Add(restPatience)
			if cause := context.Cause(asking); errors.Is(cause, pipeline.ErrFenced) { // nothing of it is its own any more
				return cause
			}
			if s.c.StoreFails() { // nothing that they have could be recorded
				s.c.Log.Info(fmt.Sprintf("stopping: %v", context.Cause(asking)))
				broken, patience = true, time.After(brokenPatience)
				continue
			}
			s.c.Log.Info(fmt.Sprintf("stopping: %v. Queries stop now; what they have delivered whole is still written", context.Cause(asking)))
			patience = time.After(drainPatience)
			if err := s.sayStopping(ctx); err != nil {
				return err
			}
		case <-left:
			left, s.left = nil, true
			if s.c.StoreFails() {
				return context.Cause(asking)
			}
			if err := s.rest(ctx, asking); err != nil {
				return err
			}
		case <-patience:
			if !s.c.StoreFails() {
				s.c.Log.Warn(fmt.Sprintf("destinations did not write in %s what they had; a resume takes it from the row log", drainPatience))
			}
			return context.Cause(asking)
		}
		if s.allEnded() {
			return nil
		}
		if s.drained() {
			return context.Cause(asking)
		}
	}
}

// tickPatience bounds what the supervisor asks of the store at a time: meanwhile it hears of nothing, also not that
// it is to stop.
const tickPatience = 5 * time.Second

// tick does what is due: a sign of life, a trim, a look at the row log, commands that could not be published.
func (s *supervisor) tick(asking, ctx context.Context, renewed *time.Time, third time.Duration) error {
	short, cancel := context.WithTimeout(ctx, tickPatience)
	defer cancel()
	if asking.Err() == nil {
		defer context.AfterFunc(asking, cancel)()
	}
	if time.Since(*renewed) >= third {
		*renewed = time.Now()
		if err := s.renew(short); err != nil {
			return err
		}
		s.heed(short)
	}
	s.lookForWorkers()
	if s.c.StoreFails() || s.c.Lease != nil && s.c.Lease.Unsure() {
		s.missed()
		return nil // the next tick, then
	}
	if err := errors.Join(s.markRecords(short), s.reserve(short), s.trim(short), s.look(short), s.detachUnclaimed(short), s.freeClaims(short), s.judgeGone(short), s.retryRefused(short, time.Now()), s.commandAgain(), s.recall(short, third)); err != nil {
		return err
	}
	// With time of its own: over a slow network what comes before may have used up the tick's.
	public, over := context.WithTimeout(ctx, tickPatience)
	defer over()
	if asking.Err() == nil {
		defer context.AfterFunc(asking, over)()
	}
	s.publishCheckpoint(public, false)
	return nil
}

// lost ends this process's share of a run that another one has taken over: it tidies up after nothing of it.
func (s *supervisor) lost() error {
	return pipeline.Permanent(fmt.Errorf("run %s: %w; this process stops", s.m.Run, pipeline.ErrFenced))
}

// renew gives a sign of life. Only another owner, or a record that is none any more, ends the run here.
func (s *supervisor) renew(ctx context.Context) error {
	err := s.run.doc.Change(ctx, s.mine, s.keepAlive)
	switch {
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		return err
	case errors.Is(err, pipeline.ErrFenced):
		return s.lost()
	// Else it is said already, or the run is to stop.
	case err != nil && !s.c.StoreFails() && !errors.Is(err, context.Canceled):
		s.c.Log.Warn("the lease of the run could not be renewed; trying again", "error", err)
	}
	return nil
}

func (r *run) stamp(e pipeline.Event) pipeline.Event {
	e.Job, e.Run, e.Time = r.m.JobID, r.m.Run, time.Now().UTC()
	return e
}
