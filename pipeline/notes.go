package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// triggerNote is what became of a trigger that has no run of its own, for whoever publishes it once more, and for
// itself, should it be delivered again as its acknowledgement was lost: it was cancelled before its run began, had
// another one resumed, was skipped or refused. It is written before the trigger is acknowledged, and goes when the
// oldest runs go.
type triggerNote struct {
	Job       string `json:"job"`
	Run       string `json:"run,omitempty"` // that it had resumed, whose record names the trigger, too
	Cancelled bool   `json:"cancelled,omitempty"`
	// What was skipped or refused may be published again under its id, and be right then: these are of the one message
	// at Seq in the stream of triggers alone.
	Skipped bool   `json:"skipped,omitempty"`
	Refused string `json:"refused,omitempty"` // why
	Seq     uint64 `json:"seq,omitempty"`
}

// of reports whether the note says what became of the message at seq, and of no other of its id.
func (t *triggerNote) of(seq uint64) bool {
	return seq != 0 && t.Seq == seq && (t.Skipped || t.Refused != "")
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

// Left is how a trigger was answered that got no run: it was cancelled, skipped or refused. false is for one of which
// the store does not know that.
func (n *Node) Left(ctx context.Context, id string) (a Answer, ok bool, _ error) {
	t, err := n.noted(ctx, id)
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
