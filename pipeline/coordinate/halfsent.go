package coordinate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// errHalfSent refuses a new run.
var errHalfSent = errors.New("a new run would deliver the same rows once more")

// overUnfinished decides what a trigger for a new run does with the job's unfinished one, of which nothing was touched
// yet: go on with it (resume), give it up (neither), or nothing at all (an error). Only where rows were sent is that a
// question: a file is replaced whole, and so are the rows of a document that are not appended.
func (n *Coordinator) overUnfinished(ctx context.Context, job *pipeline.Job, t spec.Request, last *checkpoint.Document[checkpoint.RunRecord]) (resume bool, _ error) {
	if t.StartOver || job.OnUnfinished == pipeline.UnfinishedStartOver {
		return false, nil
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(last))
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) {
		return false, nil // nobody can go on with it
	}
	if err != nil {
		return false, err
	}
	sent, err := n.halfSent(ctx, m)
	if err != nil || len(sent) == 0 {
		return false, err
	}
	if job.OnUnfinished == pipeline.UnfinishedResume && t.ID == "" { // whoever names a run means that one
		n.Log.Info(fmt.Sprintf("job %s has an unfinished run, %s, that has sent %s; it goes on, as the job's onUnfinished says", job.ID, m.Run, strings.Join(sent, ", ")))
		return true, nil
	}
	return false, pipeline.Permanent(fmt.Errorf("job %s has an unfinished run, %s, that has sent %s, and not all: %w; go on with it (--resume, \"resume\": true), or give it up with --start-over (\"startOver\": true); \"onUnfinished\": %q or %q in the job says it once and for all",
		job.ID, m.Run, strings.Join(sent, ", "), errHalfSent, pipeline.UnfinishedResume, pipeline.UnfinishedStartOver))
}

// halfSent tells of the destinations of a run that have got some of what they are to get, and not all.
func (n *Coordinator) halfSent(ctx context.Context, m *pipeline.Manifest) (all []string, _ error) {
	wholes := m.Wholes()
	for i := range wholes {
		d := &wholes[i]
		if kind := n.Sinks[d.Type]; kind == nil || kind.Traits.Target == pipeline.TargetFile {
			continue
		}
		records := map[string]checkpoint.CommitRecord{}
		for _, part := range m.PartsOf(d.ID) {
			rec, err := n.Records.Load(ctx, m.Run, part.ID)
			switch {
			case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey):
				continue // what was sent nobody knows
			case err != nil:
				return nil, err
			}
			records[part.ID] = rec
		}
		rec := checkpoint.Whole(m, d.ID, records)
		switch {
		case rec.State == pipeline.RecordFinished || rec.State == pipeline.RecordAbandoned:
		case rec.Delivery != nil && rec.Delivery.Sent > 0:
			all = append(all, fmt.Sprintf("%d of %s to %s", rec.Delivery.Sent, pipeline.Counted(rec.Delivery.Requests, "request"), d.Where()))
		case n.Sinks[d.Type].Traits.Target == pipeline.TargetDocument && d.Mode == "append" && len(rec.Settled) > 0:
			all = append(all, fmt.Sprintf("the rows of %d of %s to %s", len(rec.Settled), pipeline.Counted(len(m.Connections), "connection"), d.Where()))
		}
	}
	return all, nil
}
