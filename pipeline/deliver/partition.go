package deliver

import (
	"context"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// closeWhole delivers what closes a destination in partitions, once all of these have ended. It is claimed from the
// beginning of the run, so that whoever has it is known, and reads no row.
//
// One whose partitions are not all finished ends as the worst of them, and closes nothing: a resume, which brings what
// is missing, does.
func (v *delivery) closeWhole(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := v.awaitPartitions(ctx); err != nil {
			return err
		}
		v.sender.end()
		return nil
	})
	g.Go(func() error { return v.sender.run(ctx) })
	return g.Wait()
}

// awaitPartitions waits until the partitions of the destination have ended for this incarnation of the run, and keeps
// their records. The watch says when to look; what counts is read then, as a watch may be late.
func (v *delivery) awaitPartitions(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := v.d.Records.Watch(ctx, v.m.Run)
	if err != nil {
		return fmt.Errorf("watch the partitions of %s: %w", v.dest.Where(), err)
	}
	defer func() {
		cancel()
		for range changes { // the store closes it
		}
	}()
	left := map[string]*pipeline.ManifestDestination{}
	for _, d := range v.m.PartsOf(v.dest.Whole()) {
		if d.Shared() {
			left[pipeline.Token(d.ID)] = d
		}
	}
	for len(left) > 0 {
		u, ok := <-changes
		if !ok {
			return pipeline.WatchEnded(ctx, "commit records")
		}
		d := left[u.Destination]
		if d == nil {
			continue
		}
		if u.Err != nil {
			return u.Err
		}
		if v.over(&u.Record) {
			delete(left, u.Destination)
		}
	}
	if err := v.lookAtPartitions(ctx); err != nil {
		return err
	}
	return v.worst()
}

// over reports whether a partition has ended for the incarnation of the run that this claim is for. One that was
// finished before that has nothing more to do.
func (v *delivery) over(rec *checkpoint.CommitRecord) bool {
	return rec.State == pipeline.RecordFinished || rec.Ended() && rec.Opened.Incarnation == v.claim.Record().Opened.Incarnation
}

// lookAtPartitions reads the records of the partitions, and why they lack connections.
func (v *delivery) lookAtPartitions(ctx context.Context) error {
	records, reasons := map[string]checkpoint.CommitRecord{}, map[string]string{}
	for _, d := range v.m.PartsOf(v.dest.Whole()) {
		if !d.Shared() {
			continue
		}
		rec, err := v.d.Records.Load(ctx, v.m.Run, d.ID)
		if err != nil {
			return fmt.Errorf("look at partition %d of %s: %w", d.Partition.Number, v.dest.Where(), err)
		}
		why, err := v.d.Records.Errors(ctx, v.m.Run, d.ID)
		if err != nil {
			return fmt.Errorf("look at partition %d of %s: %w", d.Partition.Number, v.dest.Where(), err)
		}
		records[d.ID] = rec
		maps.Copy(reasons, why)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.partitions = records
	maps.Copy(v.errors, reasons)
	return nil
}

// worst is how the destination ends if some partition is not finished; nil if all are.
func (v *delivery) worst() error {
	whole := checkpoint.Whole(v.m, v.dest.Whole(), v.partitions)
	for _, d := range v.m.PartsOf(v.dest.Whole()) {
		if d.Shared() && v.partitions[d.ID].State == pipeline.RecordDetached {
			return pipeline.Permanent(fmt.Errorf("%s", whole.Error))
		}
	}
	for _, d := range v.m.PartsOf(v.dest.Whole()) {
		if d.Shared() && v.partitions[d.ID].State == pipeline.RecordOwing {
			return &pipeline.Owing{Reason: whole.Error}
		}
	}
	for _, d := range v.m.PartsOf(v.dest.Whole()) {
		if rec := v.partitions[d.ID]; d.Shared() && !v.over(&rec) { // a resume has opened it since
			return fmt.Errorf("partition %d of %s goes on", d.Partition.Number, v.dest.Where())
		}
	}
	return nil
}

// records are those that the report of the destination is made of, by id: its own, and those of its partitions where it
// closes them, as they were last looked at.
func (v *delivery) records() map[string]checkpoint.CommitRecord {
	all := map[string]checkpoint.CommitRecord{}
	v.mu.Lock()
	maps.Copy(all, v.partitions)
	v.mu.Unlock()
	all[v.dest.ID] = v.claim.Record()
	return all
}

// untold reports whether the partitions have delivered connections that nothing has closed yet: those of earlier rounds
// stand in the outbox, beside what closed them.
func (v *delivery) untold() bool {
	told := v.outbox.allocated()
	for i := range v.delivered() {
		if !told[i] {
			return true
		}
	}
	return false
}

// delivered are the connections that the partitions have delivered.
func (v *delivery) delivered() map[int]pipeline.Settlement {
	return checkpoint.Whole(v.m, v.dest.Whole(), v.records()).Settled
}

// closedRounds is how many rounds of the destination are closed: what a partition sends now belongs to the next one.
func (v *delivery) closedRounds(ctx context.Context) (int, error) {
	closing := pipeline.PartitionID(v.dest.Whole(), 0)
	rec, err := v.d.Records.Load(ctx, v.m.Run, closing)
	if err != nil {
		return 0, fmt.Errorf("look what %s has closed: %w", v.dest.Where(), err)
	}
	return rec.Commits, nil
}
