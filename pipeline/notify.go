package pipeline

import (
	"context"
	"encoding/json"
	"slices"
)

// NotifyTarget is somebody who is told how the runs of a job end. References in its options stay references.
type NotifyTarget struct {
	ID        string          `json:"id"` // unique within the job and stable from run to run
	Type      string          `json:"type"`
	On        []NoticeEvent   `json:"on"`
	LateAfter string          `json:"lateAfter,omitempty"` // of NoticeLate: the time of day, 15:04, in the job's time zone
	Options   json.RawMessage `json:"options,omitempty"`   // the keys of its kind
}

// Wants reports whether the target is to be told of an event.
func (t *NotifyTarget) Wants(event NoticeEvent) bool { return slices.Contains(t.On, event) }

// Decode reads the target's options into a struct with JSON tags, after the defaults of their table, with references
// replaced by expand where the table says so.
func (t *NotifyTarget) Decode(table []Option, expand func(string) (string, error), into any) error {
	raw, err := expandOptions(t.Options, table, expand)
	if err != nil {
		return err
	}
	return DecodeOptions(raw, table, into)
}

// NoticeEvent is what a notice is about.
type NoticeEvent string

// The events of a job that somebody may be told of.
const (
	NoticeComplete  NoticeEvent = "complete"
	NoticePartial   NoticeEvent = "partial"
	NoticeFailed    NoticeEvent = "failed"
	NoticeRecovered NoticeEvent = "recovered" // complete, after the last that was told was bad
	NoticeLate      NoticeEvent = "late"      // not complete by a time of day
)

// NoticeEvents are all events, in the order in which people read of them.
func NoticeEvents() []NoticeEvent {
	return []NoticeEvent{NoticeComplete, NoticePartial, NoticeFailed, NoticeRecovered, NoticeLate}
}

// DefaultNoticeEvents are what a target is told of that does not say: all but what goes well.
func DefaultNoticeEvents() []NoticeEvent {
	return []NoticeEvent{NoticePartial, NoticeFailed, NoticeRecovered, NoticeLate}
}

// Bad reports whether somebody has to do something.
func (e NoticeEvent) Bad() bool {
	return e == NoticePartial || e == NoticeFailed || e == NoticeLate
}

// NotifyKind is one kind of target, as its own file registers it: all that the rest of fanmill needs to know of it.
type NotifyKind struct {
	Name        string   // the "type" of a job file
	Label       string   // what people call it
	Description string   // one sentence, for the schema
	Options     []Option // the keys beside id, type, on and lateAfter
	// Check reports every mistake that the options' table does not show, without touching anything. References in the
	// texts are references still. An error with a method Key() string is shown at that key. nil checks nothing.
	Check func(t *NotifyTarget) error
	// Send makes one attempt to tell a target, with references replaced by spec.Expand. The answer is what the receiver
	// said, in words for people. The error is a *Trouble, whose scope says whether another attempt is of use, or one that
	// Missing knows. Neither has a secret in it.
	Send func(ctx context.Context, spec NotifySpec) (answer string, err error)
	// Probe looks whether the target can be reached, and sends nothing. nil probes nothing.
	Probe func(ctx context.Context, spec NotifySpec) error
}

// NotifySpec is what a kind makes an attempt from.
type NotifySpec struct {
	Target *NotifyTarget
	Notice *Notice // of Send
	Expand func(text string) (string, error)
}
