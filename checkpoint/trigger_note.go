package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"fanmill/pipeline"
)

// TriggerNote is what became of a trigger that has no run of its own, for whoever publishes it once more, and for
// itself, should it be delivered again as its acknowledgement was lost: it was cancelled before its run began, had
// another one resumed, was skipped or refused. It is written before the trigger is acknowledged, and goes when the
// oldest runs go.
type TriggerNote struct {
	Job       string `json:"job"`
	Run       string `json:"run,omitempty"` // that it had resumed, whose record names the trigger, too
	Cancelled bool   `json:"cancelled,omitempty"`
	// What was skipped or refused may be published again under its id, and be right then: these are of the one message
	// at Seq in the stream of triggers alone.
	Skipped bool   `json:"skipped,omitempty"`
	Refused string `json:"refused,omitempty"` // why
	Seq     uint64 `json:"seq,omitempty"`
	// Scheduled: a schedule has asked for it. That is noted before the trigger is published.
	Scheduled *pipeline.Scheduled `json:"scheduled,omitempty"`
}

// Of reports whether the note says what became of the message at seq, and of no other of its id.
func (t *TriggerNote) Of(seq uint64) bool {
	return seq != 0 && t.Seq == seq && (t.Skipped || t.Refused != "")
}

// NoteSuffix ends the keys of notes, after a trigger's id.
const NoteSuffix = ".trigger"

func noteKey(id string) string { return pipeline.Token(id) + NoteSuffix }

// NoteScheduled keeps that a schedule is about to publish a trigger. What is known of the trigger already stays.
func NoteScheduled(ctx context.Context, runs pipeline.KV, id, job string, s pipeline.Scheduled) error {
	data, err := EncodeRecord(TriggerNote{Job: job, Scheduled: &s})
	if err == nil {
		if _, err = runs.Create(ctx, noteKey(id), data); errors.Is(err, pipeline.ErrConflict) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("note trigger %s: %w", id, err)
	}
	return nil
}

// NoteTrigger keeps what became of a trigger.
func NoteTrigger(ctx context.Context, runs pipeline.KV, id string, t TriggerNote) error {
	if before, err := LoadTriggerNote(ctx, runs, id); err == nil && t.Scheduled == nil {
		t.Scheduled = before.Scheduled
	}
	data, err := EncodeRecord(t)
	if err == nil {
		_, err = runs.Put(ctx, noteKey(id), data)
	}
	if err != nil {
		return fmt.Errorf("note trigger %s: %w", id, err)
	}
	return nil
}

// LoadTriggerNote is what became of a trigger; nothing if that is not known. ErrForeign is one that cannot be read.
func LoadTriggerNote(ctx context.Context, runs pipeline.KV, id string) (t TriggerNote, _ error) {
	e, err := runs.Get(ctx, noteKey(id))
	if errors.Is(err, pipeline.ErrNoKey) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	err = DecodeRecord(e.Key, e.Value, &t)
	return t, err
}
