package pipeline

// Answer is what a process says to whoever published a trigger or a cancellation and waits for an answer.
type Answer struct {
	Run       string `json:"run,omitempty"`
	Job       string `json:"job,omitempty"`
	State     string `json:"state,omitempty"`     // queued, running, cancelling, or how the run ended
	Duplicate bool   `json:"duplicate,omitempty"` // the run was asked for before, by the same Nats-Msg-Id
	Skipped   bool   `json:"skipped,omitempty"`   // the job is running, and its onOverlap is skip
	Error     string `json:"error,omitempty"`
	// Stream and Seq make the answer a publish acknowledgement to JetStream clients.
	Stream string `json:"stream,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
}

// States of an answer that are not states of a run.
const (
	AnswerQueued     = "queued"
	AnswerCancelling = "cancelling"
)
