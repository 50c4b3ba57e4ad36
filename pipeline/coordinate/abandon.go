package coordinate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Abandon gives up a job's unfinished run, and returns its id. A run that is going on is refused.
func (n *Coordinator) Abandon(ctx context.Context, job string) (string, error) {
	last, _, err := n.LastRun(ctx, job)
	switch {
	case err != nil:
		return "", err
	case last == nil || !last.Value().State.Resumable():
		return "", pipeline.Permanent(fmt.Errorf("job %s has no unfinished run", job))
	}
	if err := n.RefuseIfRunning(ctx, job, false); err != nil {
		return "", err
	}
	if err := n.takeOver(ctx, last); err != nil {
		return "", err
	}
	defer n.letGo(ctx, last)
	return checkpoint.RunOf(last), n.abandon(ctx, job, last, "")
}

// abandon gives up an unfinished run, which this process owns, in favour of a fresh one: its records first, so that
// nothing of it writes any more, then its log and parts. The artifact as published stays until the fresh run's first
// commit. hint is what else could have been done.
func (n *Coordinator) abandon(ctx context.Context, job string, doc *checkpoint.Document[checkpoint.RunRecord], hint string) error {
	id := checkpoint.RunOf(doc)
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, id)
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) {
		return n.abandonBare(ctx, job, doc, err)
	}
	if err != nil {
		return err
	}
	lacking, homes := map[int]bool{}, map[string][]string{} // connections that some destination lacks
	for _, d := range m.Destinations {
		var settled map[int]pipeline.Settlement
		homes[d.ID] = nil // as of a record that is gone
		err := n.Records.Reset(ctx, id, d.ID, func(c *checkpoint.CommitRecord) {
			c.Abandon()
			settled, homes[d.ID] = c.Settled, c.Homes
		})
		if errors.Is(err, pipeline.ErrForeign) {
			n.pass(err)
			err = n.Records.Replace(ctx, id, d.ID, checkpoint.CommitRecord{State: pipeline.RecordAbandoned})
		}
		for i := range m.Connections {
			if _, has := settled[i]; !has && d.Takes(i) {
				lacking[i] = true
			}
		}
		if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
			return fmt.Errorf("abandon run %s: %w", id, err)
		}
	}
	n.Log.Info(fmt.Sprintf("job %s has an unfinished run, %s, with %d of %d connections delivered everywhere; it is given up%s", job, id, len(m.Connections)-len(lacking), len(m.Connections), hint))
	if err := doc.Change(ctx, checkpoint.Owned(doc), (*checkpoint.RunRecord).Abandon); err != nil {
		return err
	}
	waits, err := n.clean(ctx, doc.Value(), m, homes, true)
	if err == nil {
		err = n.markCleaned(ctx, doc, waits)
	}
	if err == nil {
		n.askCleaners(ctx, m, waits)
	}
	if err != nil {
		n.Log.Warn(fmt.Sprintf("abandoned run %s could not be tidied up; the next start tries again", id), "error", err)
	}
	return nil
}

// abandonBare gives up a run whose manifest is gone: where its files are nobody knows. What is private of them is
// found by whoever writes them next.
func (n *Coordinator) abandonBare(ctx context.Context, job string, doc *checkpoint.Document[checkpoint.RunRecord], why error) error {
	n.Log.Warn(fmt.Sprintf("job %s has an unfinished run, %s, that cannot go on and is given up: %v", job, checkpoint.RunOf(doc), why))
	if err := errors.Join(n.dropCommands(ctx, checkpoint.RunOf(doc)), n.RowLogs.Delete(ctx, checkpoint.RunOf(doc), math.MaxInt)); err != nil {
		return err
	}
	return doc.Change(ctx, checkpoint.Owned(doc), func(r *checkpoint.RunRecord) {
		r.Abandon()
		r.Clean(nil)
	})
}
