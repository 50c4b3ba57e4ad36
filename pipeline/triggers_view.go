package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Noted is what became of a trigger; nothing if that is not known, or cannot be read.
func (v *View) Noted(ctx context.Context, id string) (TriggerNote, error) {
	t, err := LoadTriggerNote(ctx, v.Runs, id)
	if errors.Is(err, ErrForeign) {
		v.pass(fmt.Errorf("what became of trigger %s cannot be read; it is taken for a new one: %w", id, err))
		return TriggerNote{}, nil
	}
	return t, err
}

// Left is how a trigger was answered that got no run: it was cancelled, skipped or refused. false is for one of which
// the store does not know that.
func (v *View) Left(ctx context.Context, id string) (a Answer, ok bool, _ error) {
	t, err := v.Noted(ctx, id)
	switch {
	case err != nil:
		return a, false, err
	case t.Cancelled:
		return Answer{Run: id, Job: t.Job, State: StoppedCancelled}, true, nil
	case t.Skipped:
		return Answer{Job: t.Job, Skipped: true, Error: errOverlap.Error()}, true, nil
	case t.Refused != "":
		return Answer{Error: t.Refused}, true, nil
	}
	return a, false, nil
}

// ResumedBy is the run that a trigger of this id had resumed, by its note; nil if there is none.
func (v *View) ResumedBy(ctx context.Context, id string, t TriggerNote) (*Cell[RunRecord], error) {
	if t.Run == "" {
		return nil, nil
	}
	cell, err := LoadCell[RunRecord](ctx, v.Runs, RunKey(t.Run))
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrForeign) || err == nil && !slices.Contains(cell.Value().Triggers, id) { // it came to nothing
		return nil, nil
	}
	return cell, err
}

// Became is what became of the trigger of an id, as the store has it: an empty answer if it is not known. own is the
// run that it began or had resumed; nil if it was cancelled before that.
func (v *View) Became(ctx context.Context, id string) (own *Cell[RunRecord], _ Answer, err error) {
	var t TriggerNote
	own, err = LoadCell[RunRecord](ctx, v.Runs, RunKey(id))
	switch {
	case errors.Is(err, ErrForeign): // whoever has the trigger's turn makes the record anew
		return nil, Answer{}, nil
	case errors.Is(err, ErrNoKey):
		own = nil
		if t, err = v.Noted(ctx, id); err == nil {
			own, err = v.ResumedBy(ctx, id, t)
		}
	}
	switch {
	case err != nil:
		return nil, Answer{}, err
	case own != nil:
		return own, Answer{Run: RunOf(own), Job: own.Value().Job, State: string(own.Value().State)}, nil
	case t.Cancelled:
		return nil, Answer{Run: id, Job: t.Job, State: StoppedCancelled}, nil
	}
	return nil, Answer{}, nil
}
