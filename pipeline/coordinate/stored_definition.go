package coordinate

import (
	"context"
	"errors"
	"fmt"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// A run that goes on by itself, as its process ended, goes on as it was: with the job that it began with, or that
// somebody resumed it with. What has become of the job file since is for the next run, or for who asks for a resume.

// DefinitionOf is the job by which the unfinished run of a trigger goes on that was delivered before; nil if it has no
// such run, or the store does not have its job.
func (n *Coordinator) DefinitionOf(ctx context.Context, job, trigger string) (*spec.Definition, error) {
	last, _, err := n.LastRun(ctx, job)
	if err != nil {
		return nil, err
	}
	own, err := n.RunOfTrigger(ctx, job, trigger, last)
	if err != nil || own == nil || own.Value().Inline || !own.Value().State.Resumable() {
		return nil, err
	}
	return n.storedDefinition(ctx, own)
}

// asBegun is the job that a run goes by; now, which is the job as it is, where the store does not have that.
func (n *Coordinator) asBegun(ctx context.Context, now *spec.Definition, doc *checkpoint.Document[checkpoint.RunRecord]) (*spec.Definition, error) {
	def, err := n.storedDefinition(ctx, doc)
	if err != nil || def != nil {
		return def, err
	}
	return now, nil
}

// storedDefinition is the job that a run goes by; nil if the store does not have it: an earlier version of fanmill
// began the run, or another program has damaged it, which is said.
func (n *Coordinator) storedDefinition(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) (*spec.Definition, error) {
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(doc))
	var s *spec.Stored
	if err == nil {
		s, err = spec.LoadFor(ctx, n.Stores.Runs, m, doc.Value().Resumes)
	}
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return nil, nil
	case errors.Is(err, pipeline.ErrForeign):
		n.pass(fmt.Errorf("run %s goes on with its job as that is now: %w", checkpoint.RunOf(doc), err))
		return nil, nil
	case err != nil:
		return nil, err
	}
	def := s.Definition(m, n.Jobs)
	def.Inline = doc.Value().Inline
	return def, nil
}
