package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// triggerNote is what became of a trigger that has no run of its own, for whoever publishes it once more: it was
// cancelled before its run began, or it had another one resumed. It goes when the oldest runs go.
type triggerNote struct {
	Job       string `json:"job"`
	Run       string `json:"run,omitempty"` // that it had resumed, whose record names the trigger, too
	Cancelled bool   `json:"cancelled,omitempty"`
}

// noteSuffix ends the keys of notes, after a trigger's id.
const noteSuffix = ".trigger"

func noteKey(id string) string { return Token(id) + noteSuffix }

// note keeps what became of a trigger.
func (n *Node) note(ctx context.Context, id string, t triggerNote) error {
	data, err := EncodeRecord(t)
	if err == nil {
		_, err = n.Stores.Runs.Put(ctx, noteKey(id), data)
	}
	if err != nil {
		return fmt.Errorf("note trigger %s: %w", id, err)
	}
	return nil
}

// noted is what became of a trigger; nothing if that is not known, or cannot be read.
func (n *Node) noted(ctx context.Context, id string) (t triggerNote, _ error) {
	e, err := n.Stores.Runs.Get(ctx, noteKey(id))
	if errors.Is(err, ErrNoKey) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	err = DecodeRecord(e.Key, e.Value, &t)
	if errors.Is(err, ErrForeign) {
		n.Log.Warn(fmt.Sprintf("what became of trigger %s cannot be read; it is taken for a new one", id), "error", err)
		return triggerNote{}, nil
	}
	return t, err
}

// resumed is the run that a trigger of this id had resumed, by its note; nil if there is none.
func (n *Node) resumed(ctx context.Context, id string, t triggerNote) (*Cell[RunRecord], error) {
	if t.Run == "" {
		return nil, nil
	}
	cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(t.Run))
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrForeign) || err == nil && !slices.Contains(cell.Value().Triggers, id) { // it came to nothing
		return nil, nil
	}
	return cell, err
}

// become is what became of the trigger of an id, as the store has it: an empty answer if it is not known. own is the
// run that it began or had resumed; nil if it was cancelled before that.
func (n *Node) become(ctx context.Context, id string) (own *Cell[RunRecord], _ Answer, err error) {
	var t triggerNote
	own, err = LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(id))
	switch {
	case errors.Is(err, ErrForeign): // whoever has the trigger's turn makes the record anew
		return nil, Answer{}, nil
	case errors.Is(err, ErrNoKey):
		own = nil
		if t, err = n.noted(ctx, id); err == nil {
			own, err = n.resumed(ctx, id, t)
		}
	}
	switch {
	case err != nil:
		return nil, Answer{}, err
	case own != nil:
		return own, Answer{Run: runOf(own), Job: own.Value().Job, State: string(own.Value().State)}, nil
	case t.Cancelled:
		return nil, Answer{Run: id, Job: t.Job, State: StoppedCancelled}, nil
	}
	return nil, Answer{}, nil
}

// forgetNotes removes what is known of triggers for as long as runs are.
func (n *Node) forgetNotes(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	entries, err := n.Stores.Runs.Watch(watching, "*"+noteSuffix)
	if err != nil {
		stop()
		return err
	}
	defer func() {
		stop()
		for range entries { // the store closes it
		}
	}()
	for e := range entries {
		switch {
		case e.Key == "": // what there is has come
			return nil
		case e.Deleted || time.Since(e.Modified) < keepRunsFor:
			continue
		}
		if err := n.Stores.Runs.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return watchEnded(ctx, "notes of triggers")
}
