package pipeline

import (
	"context"
	"errors"
	"time"
)

// Alarms are messages that the store's server publishes at an instant, by its own clock: for each schedule of a job at
// most one. An alarm that goes off goes to TopicDue, where a stream keeps it until somebody is done with it, and is set
// no more. One that is lost on the way, by a server that is killed, is set anew by whoever misses it; one that goes off
// twice names the same time.
type Alarms interface {
	// Open makes what is missing for alarms. The error is ErrNoAlarms where the server is too old for them.
	Open(ctx context.Context) error
	// Alarm is what is set for a schedule. Its At is zero if nothing is.
	Alarm(ctx context.Context, job, schedule string) (Alarm, error)
	// Set sets an alarm in place of the one that was seen, and of no other: else the error is ErrConflict. It is durable
	// when nil is returned. One whose time has come goes off at once.
	Set(ctx context.Context, job, schedule string, at time.Time, seen Alarm) error
	// Cancel has the alarm of a schedule go off no more.
	Cancel(ctx context.Context, job, schedule string) error
	// Now is the time of the server by which alarms go off.
	Now(ctx context.Context) (time.Time, error)
}

// Alarm is one that is set.
type Alarm struct {
	At       time.Time
	Revision uint64 // 0 of none
}

// Due is the payload of an alarm.
type Due struct {
	Job      string    `json:"job"`
	Schedule string    `json:"schedule"` // Schedule.ID
	At       time.Time `json:"at"`       // for when it was set
}

// ErrNoAlarms is a server that has none.
var ErrNoAlarms = errors.New("schedules need a later NATS server")
