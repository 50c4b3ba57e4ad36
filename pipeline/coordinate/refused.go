package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A connection that a worker cannot ask, as its process lacks a variable, or as the database does not let it in, waits
// for another worker: its command is published again, after pauses that grow, so that workers without the variable do
// not throw it at each other. It fails once no worker is left that might have what it needs.

// refusal is a connection that a worker has refused and nobody asks.
type refusal struct {
	doc   *checkpoint.Document[checkpoint.ConnRecord] // as of the last refusal
	pause time.Duration
	due   time.Time // when its command is published again; zero while it is published
	all   time.Time // since when all workers that live have refused it; zero while one has not
}

// The pauses before a command is published again that was refused.
const (
	refusedPause    = time.Second
	refusedPauseMax = 30 * time.Second
)

// refused notes that a worker has refused a connection.
func (s *supervisor) refused(ctx context.Context, id string, doc *checkpoint.Document[checkpoint.ConnRecord], now time.Time) error {
	r := s.refusals[id]
	if r == nil {
		r = &refusal{}
		s.refusals[id] = r
	}
	if r.doc = doc; s.stopping || r.due.IsZero() && !s.queue.out[id] { // it waits for its turn to be published
		return nil
	}
	r.pause = min(max(2*r.pause, refusedPause), refusedPauseMax)
	r.due = now.Add(r.pause)
	s.queue.ended(id) // nobody is on its server for it
	if err := s.giveUpRefused(ctx, id, r, now); err != nil {
		return err
	}
	return s.ask()
}

// retryRefused publishes again what is due, and gives up what nobody can ask.
func (s *supervisor) retryRefused(ctx context.Context, now time.Time) error {
	if s.stopping || len(s.refusals) == 0 {
		return nil
	}
	for id, r := range s.refusals {
		if r.due.IsZero() {
			continue
		}
		if err := s.giveUpRefused(ctx, id, r, now); err != nil {
			return err
		}
		if s.refusals[id] != nil && !now.Before(r.due) {
			r.due = time.Time{}
			rec := r.doc.Value()
			s.queue.again(id, rec.Suspicion())
		}
	}
	return s.ask()
}

// giveUpRefused gives a connection up that all workers have refused: after two leases, in which another one may come,
// or at once where this process is the only one. A login that two have tried is given up at once, and so is one that
// the only worker has: another one that comes has the same password, as a rule.
func (s *supervisor) giveUpRefused(ctx context.Context, id string, r *refusal, now time.Time) error {
	workers, rec := s.c.Workers(), r.doc.Value()
	if all := rec.RefusedBy(workers); !all && !rec.Denied() {
		r.all = time.Time{}
		return nil
	}
	if r.all.IsZero() {
		r.all = now
	}
	alone := len(workers) == 1 && (workers[0] == s.c.Owner.Token || rec.Refused[len(rec.Refused)-1].Login)
	if !alone && !rec.Denied() && now.Sub(r.all) < 2*time.Duration(s.c.Owner.LeaseMS)*time.Millisecond {
		return nil
	}
	rec.Forsake()
	err := r.doc.Write(ctx, rec)
	switch {
	case err == nil:
		delete(s.refusals, id)
	case errors.Is(err, pipeline.ErrForeign), pipeline.IsPermanent(err):
		return err
	case !errors.Is(err, pipeline.ErrConflict): // else somebody has written it meanwhile, and it is seen soon
		s.c.Log.Warn(fmt.Sprintf("no process can ask connection %s, and its state could not be written; trying again", id), "error", err)
	}
	return nil
}
