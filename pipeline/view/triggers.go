package view

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Noted is what became of a trigger; nothing if that is not known, or cannot be read.
func (v *View) Noted(ctx context.Context, id string) (checkpoint.TriggerNote, error) {
	t, err := checkpoint.LoadTriggerNote(ctx, v.Runs, id)
	if errors.Is(err, pipeline.ErrForeign) {
		v.pass(fmt.Errorf("what became of trigger %s cannot be read; it is taken for a new one: %w", id, err))
		return checkpoint.TriggerNote{}, nil
	}
	return t, err
}

// Left is how a trigger was answered that got no run: it was cancelled, skipped or refused. false is for one of which
// the store does not know that.
func (v *View) Left(ctx context.Context, id string) (a pipeline.Answer, ok bool, _ error) {
	t, err := v.Noted(ctx, id)
	switch {
	case err != nil:
		return a, false, err
	case t.Cancelled:
		return pipeline.Answer{Run: id, Job: t.Job, State: pipeline.StoppedCancelled}, true, nil
	case t.Skipped:
		return pipeline.Answer{Job: t.Job, Skipped: true, Error: pipeline.ErrOverlap.Error()}, true, nil
	case t.Refused != "":
		return pipeline.Answer{Error: t.Refused}, true, nil
	}
	return a, false, nil
}

// ResumedBy is the run that a trigger of this id had resumed, by its note; nil if there is none.
func (v *View) ResumedBy(ctx context.Context, id string, t checkpoint.TriggerNote) (*checkpoint.Document[checkpoint.RunRecord], error) {
	if t.Run == "" {
		return nil, nil
	}
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, v.Runs, checkpoint.RunKey(t.Run))
	// It came to nothing.
	if errors.Is(err, pipeline.ErrNoKey) || errors.Is(err, pipeline.ErrForeign) || err == nil && !slices.Contains(doc.Value().Triggers, id) {
		return nil, nil
	}
	return doc, err
}

// Became is what became of the trigger of an id, as the store has it: an empty answer if it is not known. own is the
// run that it began or had resumed; nil if it was cancelled before that.
func (v *View) Became(ctx context.Context, id string) (own *checkpoint.Document[checkpoint.RunRecord], _ pipeline.Answer, err error) {
	var t checkpoint.TriggerNote
	own, err = checkpoint.LoadDocument[checkpoint.RunRecord](ctx, v.Runs, checkpoint.RunKey(id))
	switch {
	case errors.Is(err, pipeline.ErrForeign): // whoever has the trigger's turn makes the record anew
		return nil, pipeline.Answer{}, nil
	case errors.Is(err, pipeline.ErrNoKey):
		own = nil
		if t, err = v.Noted(ctx, id); err == nil {
			own, err = v.ResumedBy(ctx, id, t)
		}
	}
	switch {
	case err != nil:
		return nil, pipeline.Answer{}, err
	case own != nil:
		return own, pipeline.Answer{Run: checkpoint.RunOf(own), Job: own.Value().Job, State: string(own.Value().State)}, nil
	case t.Cancelled:
		return nil, pipeline.Answer{Run: id, Job: t.Job, State: pipeline.StoppedCancelled}, nil
	}
	return nil, pipeline.Answer{}, nil
}
