package post

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/pipeline"
)

// ErrDamaged is a section whose bytes are not those recorded. Nothing of it was accepted: either nothing was sent, or
// the request was broken off before its end.
var ErrDamaged = errors.New("the request's bytes are not those recorded")

// Phase is what an attempt is doing.
type Phase uint8

const (
	Waiting     Phase = iota + 1 // for the governor
	Authorizing                  // asking for a token
	Verifying                    // reading and signing the section
	Connecting                   // proxy, TCP, TLS
	Uploading                    // sending the request
	Answering                    // waiting for the answer's header
	Reading                      // reading the answer
)

func (p Phase) String() string {
	return [...]string{"", "waiting for a slot", "asking for a token", "verifying the bytes", "connecting", "sending",
		"waiting for the answer", "reading the answer"}[p]
}

// Failure is why an attempt failed, inside of a *pipeline.Trouble. Its text has no secret, and what it wraps cannot be
// reached but by errors.Is: a foreign error's own text may have one.
type Failure struct {
	Phase   Phase
	Receipt Receipt // what was known: status, answer, how often the request was on the wire
	// MayHaveArrived says that the receiver may have read the body, or a part of it, and acted on it: whether the key
	// counts as used. False where nothing of the body was sent, or the receiver's answer rules it out.
	MayHaveArrived bool

	text  string
	cause error
	scope pipeline.Scope
}

func (f *Failure) Error() string { return f.text }

// Is finds what the cause is, and the kinds that the scope stands for.
func (f *Failure) Is(target error) bool {
	ended := errors.Is(f.cause, context.Canceled)
	switch target {
	case pipeline.ErrPermanent:
		return f.scope != pipeline.OfMoment
	case pipeline.ErrTransient:
		return f.scope == pipeline.OfMoment && !ended
	}
	return errors.Is(f.cause, target)
}

// FailureOf returns the failure in an error's chain, or nil.
func FailureOf(err error) *Failure {
	var f *Failure
	errors.As(err, &f)
	return f
}

// trouble makes an error of this package. what is the operation and its object.
func (c *Client) trouble(phase Phase, scope pipeline.Scope, after time.Duration, maybe bool, cause error, what, format string, args ...any) error {
	text := escaped(c.mask.text(what + ": " + fmt.Sprintf(format, args...)))
	return &pipeline.Trouble{Scope: scope, After: after,
		Err: &Failure{Phase: phase, MayHaveArrived: maybe, text: text, cause: cause, scope: scope}}
}
