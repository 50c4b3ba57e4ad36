package pipeline

import (
	"errors"
	"time"
)

// Scope is how much of a destination an error of its receiver is about. What a *RejectError is about, one connection,
// has no scope: it is decided before anything is sent.
type Scope uint8

const (
	// OfMoment may pass: the same request is tried again.
	OfMoment Scope = iota
	// OfRequest is about one request: the receiver will never take it as it is. It becomes a dead letter, and others go
	// on.
	OfRequest
	// OfTarget is about every request alike: a revoked token, an address that moved. Nothing more is sent; what is left
	// is owed, and a resume sends it.
	OfTarget
)

func (s Scope) String() string { return [...]string{"moment", "request", "target"}[s] }

// Trouble is an error of a receiver with its scope. The loop of the destination decides what follows; a sink never
// tries again by itself.
type Trouble struct {
	Scope Scope
	After time.Duration // not before this much time has passed, as the receiver asked; 0 if it did not
	Err   error
}

func (t *Trouble) Error() string { return t.Err.Error() }

func (t *Trouble) Unwrap() error { return t.Err }

// TroubleOf returns the trouble in an error's chain. Any other error is one of the moment.
func TroubleOf(err error) *Trouble {
	var t *Trouble
	if errors.As(err, &t) {
		return t
	}
	return &Trouble{Err: err}
}
