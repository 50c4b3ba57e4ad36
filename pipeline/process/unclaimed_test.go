package process_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// awayRecords let nobody claim a destination whose id is in away: its files are somewhere else.
type awayRecords struct {
	checkpoint.Records
	mu   sync.Mutex
	away map[string]bool
}

func (r *awayRecords) Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string, look checkpoint.Look) (checkpoint.Claim, error) {
	r.mu.Lock()
	away := r.away[destination]
	r.mu.Unlock()
	if away {
		return nil, pipeline.Transient(errors.New("its files are on another host"))
	}
	c, err := r.Records.Claim(ctx, run, destination, incarnation, owner, previous, look)
	if err != nil {
		return nil, err
	}
	return leavingClaim{Claim: c, r: r, id: destination}, nil
}

// leavingClaim gives no sign of life once its destination is away.
type leavingClaim struct {
	checkpoint.Claim
	r  *awayRecords
	id string
}

func (c leavingClaim) Renew(ctx context.Context, age time.Duration) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.r.away[c.id] {
		return nil
	}
	return c.Claim.Renew(ctx, age)
}

// Sequence 17: a destination that nobody claims does not hold the run for ever, which waits for all claims before the
// first query. The others get all, though they wait as long, with claims that live; a resume brings it what it
// lacks. Meanwhile the run's record says by when it is given up, and no longer than that.
func TestUnclaimedBeforeTheFirstQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS, w.node.Timeout = 1500, 2*time.Second
	records := &awayRecords{Records: w.node.Records, away: map[string]bool{"away": true}}
	w.node.Records = records
	w.connect("a", of(5, 10))
	w.deliverTo("here", "away")
	var said sync.WaitGroup
	w.observe(func(e pipeline.Event) {
		if e.Kind == pipeline.EventStarted {
			said.Go(func() {
				before := time.Now()
				w.untilRecord(e.Run, func(r checkpoint.RunRecord) bool {
					until, ok := r.Unclaimed["away"]
					if ok && (len(r.Unclaimed) > 1 || until.Before(before.Add(-time.Second)) || until.After(time.Now().Add(w.node.Timeout))) {
						t.Errorf("it says %v", r.Unclaimed)
					}
					return ok
				})
			})
		}
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	said.Wait()
	w.observe(nil)
	w.exact("here", "a")
	rec, err := w.node.Records.Load(t.Context(), out.Run, "away")
	if err != nil || rec.State != pipeline.RecordDetached || !strings.Contains(rec.Error, "no process has claimed it for 2s") {
		t.Errorf("its record is %+v, %v", rec, err)
	}
	run, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey(out.Run))
	if err != nil || len(run.Value().Unclaimed) > 0 {
		t.Errorf("the run's record is %+v, %v", run.Value(), err)
	}
	records.mu.Lock()
	records.away = nil
	records.mu.Unlock()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("away", "a")
}

// The same with one whose claim gives no sign of life any more, while its run has little data: the row log never fills.
func TestUnclaimedAfterTheFirstQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS, w.node.Timeout = 1500, 2*time.Second
	records := &awayRecords{Records: w.node.Records, away: map[string]bool{}}
	w.node.Records = records
	hung, detached := make(chan struct{}), make(chan struct{})
	stands := sync.OnceFunc(func() { close(hung) })
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "away" && step == "append" {
			records.mu.Lock()
			records.away["away"] = true
			records.mu.Unlock()
			stands()
			<-detached
			return pipeline.Transient(errBroken)
		}
		return nil
	})
	w.observe(func(e pipeline.Event) {
		if e.Kind == pipeline.EventDetached {
			close(detached)
		}
	})
	w.connect("a", of(5, 10))
	w.connect("b", waiting(of(5, 10), hung)) // is asked while it stands still
	w.deliverTo("here", "away")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("here", "a", "b")
	rec, err := w.node.Records.Load(t.Context(), out.Run, "away")
	if err != nil || rec.State != pipeline.RecordDetached || !strings.Contains(rec.Error, "no sign of life for 2s") {
		t.Errorf("its record is %+v, %v", rec, err)
	}
}
