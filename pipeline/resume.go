package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// resume continues an unfinished run under its own id, log and paths. This process owns it already.
func (n *Node) resume(ctx context.Context, job *Job, t Trigger, cell *Cell[RunRecord]) (*run, error) {
	id := runOf(cell)
	old, err := LoadManifest(ctx, n.Stores.Runs, id)
	if err != nil {
		return nil, err
	}
	r := &run{Node: n, job: job, cell: cell}
	if err := n.dropCommands(ctx, id); err != nil {
		return nil, err
	}
	records := make([]CommitRecord, len(old.Destinations))
	for i, d := range old.Destinations {
		if records[i], err = n.Records.Load(ctx, id, d.ID); err != nil {
			return nil, fmt.Errorf("read commit record: %w", err)
		}
	}
	changed, err := r.merge(old, t, records)
	if err != nil {
		return nil, err
	}
	state, err := r.reopenLog(ctx, records)
	if err != nil {
		return nil, err
	}
	ask, err := r.lacking(ctx, records, changed)
	if err != nil {
		return nil, err
	}
	for i, d := range r.m.Destinations {
		if err := r.reopenRecord(ctx, d.ID, &records[i], ask, state.ID); err != nil {
			return nil, err
		}
	}
	// Last: a crash before this finds the same changes again.
	if err := r.putManifest(ctx); err != nil {
		return nil, err
	}
	for i, c := range r.m.Connections {
		cell, ok := ask[i]
		switch {
		case !ok:
		case len(t.Connections) > 0 && !slices.Contains(t.Connections, c.ID):
			r.leftOut = append(r.leftOut, leftOut{c.ID, cell})
		default:
			r.wanted = append(r.wanted, c.ID)
		}
	}
	rec := cell.Value()
	rec.State, rec.Resumes, rec.Cleaned = RunRunning, rec.Resumes+1, false
	if err := cell.Write(ctx, rec); err != nil {
		return nil, err
	}
	r.logResume(records)
	return r, nil
}

// logResume tells what is skipped: the lines that users search for.
func (r *run) logResume(records []CommitRecord) {
	var names []string
	for i, c := range r.m.Connections {
		if settledEverywhere(records, i) {
			names = append(names, c.Name)
		}
	}
	r.Log.Info(fmt.Sprintf("⏩ Resuming job: Skipping %d already-completed connections", len(names)))
	for _, name := range names {
		r.Log.Info("⏭️ Skipping already-completed connection: " + name)
	}
}

func settledEverywhere(records []CommitRecord, i int) bool {
	for _, rec := range records {
		if _, ok := rec.Settled[i]; !ok {
			return false
		}
	}
	return true
}

// merge compares the job with the run's manifest and adds new connections at its end. What may not change is refused, all at
// once. It returns the connections whose query changed.
func (r *run) merge(old *Manifest, t Trigger, records []CommitRecord) (map[int]bool, error) {
	paths, err := r.Resolve(r.job, old.Run, old.Created)
	if err != nil {
		return nil, Permanent(err)
	}
	now, err := NewManifest(r.job, old.Run, old.Created, old.LogMaxBytes, nil, paths)
	if err != nil {
		return nil, err
	}
	for _, id := range t.Connections {
		if _, err := r.job.Connection(id); err != nil {
			return nil, Permanent(err)
		}
	}
	var refused []string
	refuse := func(format string, args ...any) { refused = append(refused, fmt.Sprintf(format, args...)) }
	if now.TimeZone != old.TimeZone {
		refuse("timeZone was %q, is %q", old.TimeZone, now.TimeZone)
	}
	for i := range old.Destinations {
		was := &old.Destinations[i]
		if is := now.Destination(was.ID); is == nil {
			refuse("destination %s is gone", was.ID)
		} else if !was.same(is) {
			refuse("destination %s was %s %s (%s), is %s %s (%s), or its options changed", was.ID, was.Type, was.Path, was.Mode, is.Type, is.Path, is.Mode)
		}
	}
	for i := range now.Destinations {
		if old.Destination(now.Destinations[i].ID) == nil {
			refuse("destination %s is new", now.Destinations[i].ID)
		}
	}
	changed := map[int]bool{}
	for i, was := range old.Connections {
		k := now.Index(was.ID)
		if k < 0 {
			refuse("connection %s is gone", was.ID)
			continue
		}
		is := now.Connections[k]
		if was.Driver != is.Driver {
			refuse("connection %s had the driver %q, has %q", was.ID, was.Driver, is.Driver)
		}
		if was.Name != is.Name {
			refuse("connection %s was named %q, is %q", was.ID, was.Name, is.Name)
		}
		if slices.Equal(was.Queries, is.Queries) {
			continue
		}
		sameShape := slices.EqualFunc(was.Queries, is.Queries, func(a, b ManifestQuery) bool { return a.Name == b.Name })
		if !sameShape || slices.ContainsFunc(records, func(rec CommitRecord) bool { _, ok := rec.Settled[i]; return ok }) {
			refuse("the query of connection %s changed, and its rows are delivered already", was.ID)
			continue
		}
		changed[i] = true
	}
	if len(refused) > 0 {
		return nil, Permanent(fmt.Errorf("run %s cannot be resumed, the job has changed since it began: %s. Undo that, or start over without --resume", old.Run, strings.Join(refused, "; ")))
	}
	merged := *old
	merged.Connections = slices.Clone(old.Connections)
	for i := range changed {
		merged.Connections[i] = now.Connections[now.Index(old.Connections[i].ID)]
	}
	for _, c := range now.Connections {
		if old.Index(c.ID) < 0 && (!old.Selected && len(t.Connections) == 0 || slices.Contains(t.Connections, c.ID)) {
			merged.Connections = append(merged.Connections, c)
		}
	}
	r.m = &merged
	return changed, nil
}

// reopenLog opens the run's row log if it is the one that every record was written against and still holds what each
// needs. Otherwise the store was lost, rolled back or trimmed past a detached destination, and a new generation begins: positions in
// the old one would skip rows silently.
func (r *run) reopenLog(ctx context.Context, records []CommitRecord) (LogState, error) {
	rec := r.cell.Value()
	log, err := r.RowLogs.Open(ctx, r.m.Run, rec.Generation)
	if err != nil && !errors.Is(err, ErrNoLog) {
		return LogState{}, fmt.Errorf("open row log: %w", err)
	}
	if err == nil {
		state, err := log.State(ctx)
		if err != nil {
			return LogState{}, fmt.Errorf("look at row log: %w", err)
		}
		if !slices.ContainsFunc(records, func(c CommitRecord) bool { return r.lacks(&c) && !fits(&c, state) }) {
			r.log = log
			return state, nil
		}
	}
	if err == nil || rec.State != RunPartial && rec.State != RunFailed { // those end without a log
		r.Log.Warn(fmt.Sprintf("the row log of run %s is not the one its destinations know; its unfinished connections are asked again", r.m.Run))
	}
	// The number is recorded before the log is made: two logs of one number never exist.
	if err := r.RowLogs.Delete(ctx, r.m.Run, rec.Generation); err != nil {
		return LogState{}, fmt.Errorf("delete row log: %w", err)
	}
	rec.Generation++
	if err := r.cell.Write(ctx, rec); err != nil {
		return LogState{}, err
	}
	if r.log, err = r.RowLogs.Create(ctx, r.m, rec.Generation); err != nil {
		return LogState{}, fmt.Errorf("create row log: %w", err)
	}
	return r.log.State(ctx)
}

// lacks reports whether a destination has something left to do.
func (r *run) lacks(c *CommitRecord) bool {
	return c.State != RecordFinished || len(c.Settled) < len(r.m.Connections)
}

// fits reports whether a record can go on reading this log.
func fits(c *CommitRecord, s LogState) bool {
	if c.Log.Stream == "" {
		return c.Seq == 0 && s.First <= 1
	}
	return c.Log.Same(s.ID) && s.Last >= c.Seq && s.First <= c.Seq+1
}

// lacking finds the connections to be asked again, and marks their records so. Frames of the attempts so far no longer count for
// whoever lacks them. A connection whose eof is in the log is not asked while every destination that lacks it will take it from there.
func (r *run) lacking(ctx context.Context, records []CommitRecord, changed map[int]bool) (map[int]*Cell[ConnRecord], error) {
	ask := map[int]*Cell[ConnRecord]{}
	for i, c := range r.m.Connections {
		needed, refused, floor := false, false, 0
		for k := range records {
			if _, ok := records[k].Settled[i]; !ok {
				needed = true
				_, f := records[k].Failed[i]
				refused = refused || f
				floor = max(floor, records[k].Floor[i])
			}
		}
		if !needed {
			continue
		}
		last, err := r.log.LastFrame(ctx, c.ID)
		if err != nil {
			return nil, fmt.Errorf("look for the rows of %s: %w", c.ID, err)
		}
		if last != nil && last.Kind == FrameEOF && last.Attempt >= floor && !refused && !changed[i] {
			continue
		}
		cell, err := loadConn(ctx, r.Stores.Runs, r.m.Run, c.ID)
		if err != nil {
			return nil, err
		}
		next := cell.Value()
		next.State, next.Attempts, next.Error, next.Owner = ConnPending, 0, "", r.Owner.Token
		if err := cell.Write(ctx, next); err != nil {
			return nil, err
		}
		ask[i] = cell
	}
	return ask, nil
}

// reopenRecord takes a destination's record from its former owner and prepares it for the resumed run.
func (r *run) reopenRecord(ctx context.Context, id string, rec *CommitRecord, ask map[int]*Cell[ConnRecord], log LogID) error {
	if !r.lacks(rec) {
		return nil
	}
	return r.Records.Reset(ctx, r.m.Run, id, func(c *CommitRecord) {
		if !c.Log.Same(log) {
			c.Log, c.Seq, c.Parts = log, 0, nil
		}
		if c.State != RecordFinishing || len(ask) > 0 {
			c.State = RecordOpen
		}
		c.Error, c.Lost = "", false
		for i, cell := range ask {
			if _, ok := c.Settled[i]; ok {
				continue
			}
			delete(c.Failed, i)
			c.Floor[i] = cell.Value().Attempt + 1
		}
		c.Parts = slices.DeleteFunc(c.Parts, func(p PartState) bool { _, ok := ask[p.Connection]; return ok })
		*rec = *c
	})
}
