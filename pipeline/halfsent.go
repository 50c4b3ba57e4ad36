package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What a trigger that asks for a new run does where the job's unfinished one has sent some of its rows.
const (
	UnfinishedResume    = "resume"    // goes on with that run
	UnfinishedStartOver = "startOver" // gives it up: receivers get the rows that they have once more, under other keys
)

// errHalfSent refuses a new run.
var errHalfSent = errors.New("a new run would deliver the same rows once more")

// overUnfinished decides what a trigger for a new run does with the job's unfinished one, of which nothing was touched
// yet: go on with it (resume), give it up (neither), or nothing at all (an error). Only where rows were sent is that a
// question: a file is replaced whole, and so are the rows of a document that are not appended.
func (n *Coordinator) overUnfinished(ctx context.Context, job *Job, t Trigger, last *Cell[RunRecord]) (resume bool, _ error) {
	if t.StartOver || job.OnUnfinished == UnfinishedStartOver {
		return false, nil
	}
	m, err := LoadManifest(ctx, n.Stores.Runs, RunOf(last))
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrNoKey) {
		return false, nil // nobody can go on with it
	}
	if err != nil {
		return false, err
	}
	sent, err := n.halfSent(ctx, m)
	if err != nil || len(sent) == 0 {
		return false, err
	}
	if job.OnUnfinished == UnfinishedResume && t.ID == "" { // whoever names a run means that one
		n.Log.Info(fmt.Sprintf("job %s has an unfinished run, %s, that has sent %s; it goes on, as the job's onUnfinished says", job.ID, m.Run, strings.Join(sent, ", ")))
		return true, nil
	}
	return false, Permanent(fmt.Errorf("job %s has an unfinished run, %s, that has sent %s, and not all: %w; go on with it (--resume, \"resume\": true), or give it up with --start-over (\"startOver\": true); \"onUnfinished\": %q or %q in the job says it once and for all",
		job.ID, m.Run, strings.Join(sent, ", "), errHalfSent, UnfinishedResume, UnfinishedStartOver))
}

// halfSent tells of the destinations of a run that have got some of what they are to get, and not all.
func (n *Coordinator) halfSent(ctx context.Context, m *Manifest) (all []string, _ error) {
	for i := range m.Destinations {
		d := &m.Destinations[i]
		if kind := n.Sinks[d.Type]; kind == nil || kind.Traits.Target == TargetFile {
			continue
		}
		rec, err := n.Records.Load(ctx, m.Run, d.ID)
		switch {
		case errors.Is(err, ErrForeign), errors.Is(err, ErrNoKey):
			continue // what was sent nobody knows
		case err != nil:
			return nil, err
		}
		switch {
		case rec.State == RecordFinished || rec.State == RecordAbandoned:
		case rec.Delivery != nil && rec.Delivery.Sent > 0:
			all = append(all, fmt.Sprintf("%d of %s to %s", rec.Delivery.Sent, counted(rec.Delivery.Requests, "request"), d.Where()))
		case n.Sinks[d.Type].Traits.Target == TargetDocument && d.Mode == "append" && len(rec.Settled) > 0:
			all = append(all, fmt.Sprintf("the rows of %d of %s to %s", len(rec.Settled), counted(len(m.Connections), "connection"), d.Where()))
		}
	}
	return all, nil
}
