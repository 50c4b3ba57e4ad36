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

// resume continues an unfinished run under its own id, log and paths. This process owns it already.
func (n *Coordinator) resume(ctx context.Context, def *spec.Definition, t spec.Request, doc *checkpoint.Document[checkpoint.RunRecord]) (_ *run, err error) {
	id := checkpoint.RunOf(doc)
	old, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, id)
	if err != nil {
		return nil, err
	}
	n, leave := n.following(def.Job, id, old.Wholes())
	defer func() { leave(err) }()
	r := &run{c: n, def: def, job: def.Job, doc: doc, asker: t.Run}
	if err := n.dropCommands(ctx, id); err != nil {
		return nil, err
	}
	was, records := doc.Value(), make([]checkpoint.CommitRecord, len(old.Destinations))
	for i, d := range old.Destinations {
		if records[i], err = n.loadRecord(ctx, old, d.ID, was.Opens()); err != nil {
			return nil, err
		}
	}
	var changed map[int]bool
	r.m, changed, err = spec.Merge(def, old, t.Trigger, n.Sinks, records)
	if err != nil {
		return nil, err
	}
	if err := n.holding(ctx, doc, func(ctx context.Context) error { return r.probeTargets(ctx, records) }); err != nil {
		return nil, err
	}
	if err := n.holding(ctx, doc, func(ctx context.Context) error { return r.describeAgain(ctx, records) }); err != nil {
		return nil, err
	}
	state, err := r.reopenLog(ctx, records, false)
	if err != nil {
		return nil, err
	}
	ask, err := r.lacking(ctx, records, changed, t.Connections)
	if errors.Is(err, errAttempts) { // their numbers would be given away a second time
		n.pass(err)
		if state, err = r.reopenLog(ctx, records, true); err != nil {
			return nil, err
		}
		ask, err = r.lacking(ctx, records, changed, t.Connections)
	}
	if err != nil {
		return nil, err
	}
	lacks := make([]bool, len(records)) // of the records as they are, before the first is opened
	for k := range records {
		lacks[k] = r.lacks(records, k)
	}
	for k := range records {
		if !lacks[k] {
			continue
		}
		if err := r.reopenRecord(ctx, &r.m.Destinations[k], &records[k], ask, state.ID); err != nil {
			return nil, err
		}
	}
	var told func()
	r.span, told = n.resumed(ctx, t.Trace, id, was)
	// The manifest comes last: a crash before it finds the same changes again.
	if err := r.putSpec(ctx, was.Opens()); err != nil {
		return nil, err
	}
	if err := r.putManifest(ctx); err != nil {
		return nil, err
	}
	r.suspect = map[string]checkpoint.Suspicion{}
	for i, c := range r.m.Connections {
		doc, ok := ask[i]
		switch {
		// The supervisor finds the latter, and says so in the row log.
		case !ok || doc.Value().State == checkpoint.ConnGivenUp:
		default:
			r.wanted = append(r.wanted, c.ID)
			rec := doc.Value()
			r.suspect[c.ID] = rec.Suspicion()
		}
	}
	has := t.Run != "" && t.Run != id && !slices.Contains(doc.Value().Triggers, t.Run)
	if has && t.Seq != 0 { // first: without the record's word it says nothing
		if err := checkpoint.NoteTrigger(ctx, n.Stores.Runs, t.Run, checkpoint.TriggerNote{Job: doc.Value().Job, Run: id}); err != nil {
			return nil, err
		}
	}
	resumes := ""
	if has {
		resumes = t.Run
	}
	err = doc.Change(ctx, checkpoint.Owned(doc), func(rec *checkpoint.RunRecord) { rec.Resume(t.Seq, t.Again, resumes) })
	if errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) {
		return nil, n.lostTo(ctx, doc)
	} else if err != nil {
		return nil, err
	}
	told()
	r.logResume(records)
	return r, nil
}

// logResume tells what is skipped: the lines that users search for.
func (r *run) logResume(records []checkpoint.CommitRecord) {
	var names []string
	for i, c := range r.m.Connections {
		if settledEverywhere(r.m, records, i) {
			names = append(names, c.Name)
		}
	}
	r.c.Log.Info(fmt.Sprintf("⏩ Resuming job: Skipping %d already-completed connections", len(names)))
	for _, name := range names {
		r.c.Log.Info("⏭️ Skipping already-completed connection: " + name)
	}
}

func settledEverywhere(m *pipeline.Manifest, records []checkpoint.CommitRecord, i int) bool {
	for k, rec := range records {
		if _, ok := rec.Settled[i]; !ok && m.Destinations[k].Takes(i) {
			return false
		}
	}
	return true
}

// reopenLog opens the run's row log if it is the one that every record was written against and still holds what each
// needs. Otherwise the store was lost, rolled back or trimmed past a detached destination, and a new generation
// begins: positions in the old one would skip rows silently. anew says that the present one is not to be read any
// more.
func (r *run) reopenLog(ctx context.Context, records []checkpoint.CommitRecord, anew bool) (pipeline.LogState, error) {
	rec := r.doc.Value()
	// Read by all to its end: whether or not whoever ended the run has already deleted it, and be it in a moment.
	spent := !slices.ContainsFunc(records, func(c checkpoint.CommitRecord) bool {
		return c.State != pipeline.RecordFinished && c.State != pipeline.RecordOwing
	})
	log, err := r.c.RowLogs.Open(ctx, r.m.Run, rec.Generation)
	if err != nil && !errors.Is(err, pipeline.ErrNoLog) {
		return pipeline.LogState{}, fmt.Errorf("open row log: %w", err)
	}
	if err == nil {
		state, err := log.State(ctx)
		if err != nil {
			return pipeline.LogState{}, fmt.Errorf("look at row log: %w", err)
		}
		if !anew && !spent && r.fit(records, state, rec.Trimmed) {
			r.log = log
			return state, nil
		}
	}
	if !anew && !spent && slices.ContainsFunc(records, func(c checkpoint.CommitRecord) bool { return c.Log.Stream != "" }) {
		r.c.Log.Warn(fmt.Sprintf("the row log of run %s is not the one its destinations know; its unfinished connections are asked again", r.m.Run))
	}
	// The number is recorded before the log is made: two logs of one number never exist.
	if err := r.c.RowLogs.Delete(ctx, r.m.Run, rec.Generation); err != nil {
		return pipeline.LogState{}, fmt.Errorf("delete row log: %w", err)
	}
	if err := r.doc.Change(ctx, checkpoint.Owned(r.doc), (*checkpoint.RunRecord).NextLog); err != nil {
		return pipeline.LogState{}, err
	}
	if r.log, err = r.c.RowLogs.Create(ctx, r.m, r.doc.Value().Generation); err != nil {
		return pipeline.LogState{}, fmt.Errorf("create row log: %w", err)
	}
	return r.log.State(ctx)
}

// lacks reports whether a destination, by its index, has something left to do. One that closes others has if they do.
func (r *run) lacks(records []checkpoint.CommitRecord, k int) bool {
	d, c := &r.m.Destinations[k], &records[k]
	if c.State != pipeline.RecordFinished || len(c.Settled) < d.Expects(r.m) {
		return true
	}
	for i := range r.m.Destinations {
		if o := &r.m.Destinations[i]; d.Closes() && o.Shared() && o.Whole() == d.Whole() && r.lacks(records, i) {
			return true
		}
	}
	return false
}

// fit reports whether every destination that has something left to read can go on reading this log.
func (r *run) fit(records []checkpoint.CommitRecord, s pipeline.LogState, trimmed uint64) bool {
	for k := range records {
		if !r.m.Destinations[k].Closes() && r.lacks(records, k) && !fits(&records[k], s, trimmed) {
			return false
		}
	}
	return true
}

// fits reports whether a record can go on reading this log, which may be trimmed up to a position at any moment: a
// former owner that sleeps may have said so, and wake. A log with a hole has lost frames, to a disk that was full or to
// somebody's hand.
func fits(c *checkpoint.CommitRecord, s pipeline.LogState, trimmed uint64) bool {
	if s.Holes > 0 || c.Seq < trimmed {
		return false
	}
	if c.Log.Stream == "" {
		return c.Seq == 0 && s.First <= 1
	}
	return c.Log.Same(s.ID) && s.Last >= c.Seq && s.First <= c.Seq+1
}

// lacking finds the connections to be asked again, and marks their records so. Frames of the attempts so far no
// longer count for whoever lacks them. A connection whose eof is in the log is not asked while every destination that
// lacks it will take it from there. chosen are those that somebody wants asked; empty is all. The others are left out.
func (r *run) lacking(ctx context.Context, records []checkpoint.CommitRecord, changed map[int]bool, chosen []string) (map[int]*checkpoint.Document[checkpoint.ConnRecord], error) {
	ask := map[int]*checkpoint.Document[checkpoint.ConnRecord]{}
	for i, c := range r.m.Connections {
		needed, refused, floor := false, false, 0
		for k := range records {
			if r.m.Destinations[k].Takes(i) && !records[k].Has(i) {
				needed = true
				_, f := records[k].Failed[i]
				refused = refused || f
				floor = max(floor, records[k].Floor[i])
			}
		}
		if !needed {
			continue
		}
		doc, damage := checkpoint.LoadConn(ctx, r.c.Stores.Runs, r.m.Run, c.ID)
		if damage != nil && !errors.Is(damage, pipeline.ErrForeign) {
			return nil, damage
		}
		last, err := r.log.LastFrame(ctx, c.ID, doc.Value().Attempt)
		if err != nil {
			return nil, fmt.Errorf("look for the rows of %s: %w", c.ID, err)
		}
		if delivered(last, floor) && !refused && !changed[i] {
			if damage == nil { // else nobody needs it
				err = found(ctx, doc, last)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		leftOut := len(chosen) > 0 && !slices.Contains(chosen, c.ID)
		if err := r.askAgain(ctx, records, i, last, doc, damage, leftOut); err != nil {
			return nil, err
		}
		ask[i] = doc
	}
	return ask, nil
}

// reopenRecord takes a destination's record from its former owner and prepares it for the resumed run.
func (r *run) reopenRecord(ctx context.Context, d *pipeline.ManifestDestination, rec *checkpoint.CommitRecord, ask map[int]*checkpoint.Document[checkpoint.ConnRecord], log pipeline.LogID) error {
	run, floors := r.doc.Value(), make(map[int]int, len(ask))
	for i, doc := range ask {
		if d.Takes(i) {
			floors[i] = doc.Value().Attempt + 1
		}
	}
	return r.c.Records.Reset(ctx, r.m.Run, d.ID, func(c *checkpoint.CommitRecord) {
		c.Reopen(run.Opens(), log, floors)
		if d.Closes() { // what the others bring is another round
			c.CloseAgain()
		}
		*rec = *c
	})
}
