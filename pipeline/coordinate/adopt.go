package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// A run whose coordinator is gone while others work on it is adopted: its record gets another owner, and a later
// epoch, and that is all that changes. Workers keep what they have, as their records are opened for the same
// incarnation and row log; the epoch fences the former coordinator alone. A run that nobody works on is taken over
// and resumed.

// handover is what an adopted run has under way.
type handover struct {
	taken    map[string]bool // connections that a worker has
	claimed  map[string]bool // destinations that a process has which lives, or that have ended
	unmarked []string        // destinations whose records do not say yet that the run has another coordinator
}

// Orphans lists the runs whose coordinator is gone, for this process to go on with: of triggers, as what fanmill run
// asks of itself is nobody else's. A job that a trigger has brought along comes again with that.
func (n *Coordinator) Orphans(ctx context.Context) (all []*checkpoint.Document[checkpoint.RunRecord], _ error) {
	docs, err := checkpoint.RunRecords(ctx, n.Stores.Runs, n.pass)
	if err != nil {
		return nil, fmt.Errorf("look for runs without a coordinator: %w", err)
	}
	for _, doc := range docs {
		if rec := doc.Value(); rec.Trigger == 0 || rec.Inline {
			continue
		}
		gone, err := n.coordinatorGone(ctx, doc)
		if err != nil {
			return nil, err
		}
		if gone {
			all = append(all, doc)
		}
	}
	return all, nil
}

// coordinatorGone reports whether the process is gone that coordinates a run.
func (n *Coordinator) coordinatorGone(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) (bool, error) {
	rec := doc.Value()
	if n.Peers == nil || rec.State != pipeline.RunRunning || rec.Owner.Token == n.Owner.Token {
		return false, nil
	}
	if rec.HandedOver {
		return true, nil
	}
	return n.Peers.Gone(ctx, rec.Owner.Token)
}

// orphaned reports whether a run can be adopted: its coordinator has handed it over, or is gone while others work on
// it.
func (n *Coordinator) orphaned(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) (bool, error) {
	if gone, err := n.coordinatorGone(ctx, doc); err != nil || !gone {
		return false, err
	}
	if rec := doc.Value(); rec.HandedOver {
		return true, nil
	}
	return n.workedOn(ctx, checkpoint.RunOf(doc))
}

// workedOn reports whether a process that lives has a connection or a destination of a run in hand.
func (n *Coordinator) workedOn(ctx context.Context, run string) (bool, error) {
	live := n.Peers.Live()
	if len(live) == 0 {
		return false, nil
	}
	conns, err := checkpoint.ConnRecords(ctx, n.Stores.Runs, run, n.pass)
	if err != nil {
		return false, err
	}
	for _, doc := range conns {
		rec := doc.Value()
		if rec.State == checkpoint.ConnRunning && slices.ContainsFunc(live, func(p checkpoint.ProcessRecord) bool { return p.Owner.Token == rec.Owner }) {
			return true, nil
		}
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) {
		return false, nil // nobody can go on with it
	}
	if err != nil {
		return false, err
	}
	for _, d := range m.Destinations {
		rec, err := n.Records.Load(ctx, run, d.ID)
		switch {
		case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey):
			continue
		case err != nil:
			return false, err
		}
		if !rec.Ended() && claimed(rec, live) {
			return true, nil
		}
	}
	return false, nil
}

// claimed reports whether one of these processes has a destination. A claim has a token of its own.
func claimed(rec checkpoint.CommitRecord, live []checkpoint.ProcessRecord) bool {
	return rec.Token != "" && slices.ContainsFunc(live, func(p checkpoint.ProcessRecord) bool { return p.Owner.Host == rec.Host && p.Owner.PID == rec.PID })
}

// adopt makes this process the coordinator of a run that is orphaned, and that goes on. nil, without an error, is a
// run that cannot go on so, as its row log is gone: it is to be taken over.
func (n *Coordinator) adopt(ctx context.Context, def *spec.Definition, t spec.Request, doc *checkpoint.Document[checkpoint.RunRecord]) (_ *run, err error) {
	id, rec := checkpoint.RunOf(doc), doc.Value()
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, id)
	if err != nil {
		return nil, err
	}
	log, err := n.RowLogs.Open(ctx, id, rec.Generation)
	if errors.Is(err, pipeline.ErrNoLog) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open row log: %w", err)
	}
	n, leave := n.following(def.Job, id, m.Wholes())
	defer func() { leave(err) }()
	r := &run{c: n, def: def, job: def.Job, m: m, doc: doc, log: log, asker: t.Run, suspect: map[string]checkpoint.Suspicion{}}
	if err := r.underWay(ctx); err != nil {
		return nil, err
	}
	r.span = n.spanOf(ctx, id, rec.Resumes)
	was, handedOver := rec.Owner, rec.HandedOver
	rec.Adopt(n.Owner)
	if err := doc.Write(ctx, rec); errors.Is(err, pipeline.ErrConflict) { // over what was judged, and nothing later
		return nil, n.lostTo(ctx, doc)
	} else if err != nil {
		return nil, err
	}
	why := "is gone"
	if handedOver {
		why = "is being stopped"
	}
	n.Log.Warn(fmt.Sprintf("process %d on %s, which coordinated run %s, %s; this process goes on with that, and whoever works on it keeps what he has", was.PID, was.Host, id, why))
	return r, nil
}

// underWay finds out what of a run is under way, and what is still to be asked.
func (r *run) underWay(ctx context.Context) error {
	r.handover = &handover{taken: map[string]bool{}, claimed: map[string]bool{}}
	records, live := make([]checkpoint.CommitRecord, len(r.m.Destinations)), r.c.Peers.Live()
	for i, d := range r.m.Destinations {
		rec, err := r.c.Records.Load(ctx, r.m.Run, d.ID)
		if err != nil {
			return err
		}
		records[i], r.handover.claimed[d.ID] = rec, rec.Ended() || claimed(rec, live)
		r.handover.unmarked = append(r.handover.unmarked, d.ID)
	}
	conns, err := checkpoint.ConnRecords(ctx, r.c.Stores.Runs, r.m.Run, r.c.pass)
	if err != nil {
		return err
	}
	for i, c := range r.m.Connections {
		doc := conns[checkpoint.ConnKey(r.m.Run, c.ID)]
		if doc == nil {
			continue // the supervisor says so, if somebody lacks it
		}
		rec := doc.Value()
		switch {
		case rec.State == checkpoint.ConnRunning:
			r.handover.taken[c.ID] = true
		case rec.State != checkpoint.ConnPending, !r.lackedBy(records, i):
			continue
		}
		r.wanted, r.suspect[c.ID] = append(r.wanted, c.ID), rec.Suspicion()
	}
	return nil
}

// lackedBy reports whether some destination lacks a connection that it is to get.
func (r *run) lackedBy(records []checkpoint.CommitRecord, connection int) bool {
	for k := range records {
		if r.m.Destinations[k].Takes(connection) && !records[k].Has(connection) {
			return true
		}
	}
	return false
}

// markRecords writes into the records of an adopted run's destinations that it has another coordinator: what the
// former one still writes there, when it wakes, is refused. Claims go on: they see that and write again. What the
// former one has written before that counts as if the run had been adopted later.
func (s *supervisor) markRecords(ctx context.Context) error {
	h := s.run.handover
	for h != nil && len(h.unmarked) > 0 {
		if err := s.c.Records.Adopt(ctx, s.m.Run, h.unmarked[0], s.run.fixed.Opened()); errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) {
			return err
		} else if err != nil {
			s.c.Log.Debug("a record does not say yet that its run has another coordinator; trying again", "destination", h.unmarked[0], "error", err)
			return nil
		}
		h.unmarked = h.unmarked[1:]
	}
	return nil
}
