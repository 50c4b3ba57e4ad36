package pipeline

import (
	"context"

	"fanmill/pipeline/columnar"
)

// Driver is one kind of database. It holds no state; each stage file registers one.
type Driver interface {
	// Open connects, describes every query and is ready to stream. Errors are classified (Transient, Permanent),
	// carry the database's own message and never a password; one of a setting that keeps branches out (encryption,
	// certificates) names the setting that would connect, and its risk. It ends soon after ctx does.
	Open(ctx context.Context, r Request) (Session, error)
	// Host names the server that a dsn leads to, as host or host:port in lower case, so that branches that share one
	// can be spared; "" for a file, or if it cannot be told.
	Host(dsn string) string
}

// Request is what an attempt asks of a database.
type Request struct {
	DSN      string // expanded
	Queries  []Query
	Snapshot bool // all queries see one state of the database, where it can promise that; else Open fails, saying so (Permanent)
	// Together has all queries see one state of the database where it can promise that, and fails nowhere else.
	Together bool
	// NoRun describes alone: where a query would have to run for that, Open fails with ErrMustRun.
	NoRun bool
}

// NotingSession is a Session that may have something to say of the values that it streamed.
type NotingSession interface {
	Session
	// Notes are for the readers of what query q returned, a few lines at most: what may not be as in the database.
	// They are asked for once when Stream has returned nil.
	Notes(q int) []string
}

// Session is one attempt's connection to a database.
type Session interface {
	// Columns describes the result of query q. The types are what the database declares; a batch may widen one.
	Columns(q int) []columnar.Column
	// Stream runs query q and appends its rows to b, calling emit whenever due(b) says that the batch is full, and once
	// more for the rest (also for a batch that is empty: emit ignores it). emit resets b. Memory stays that of a batch
	// whatever the result's size. It returns as soon as emit fails or ctx ends, with that error wrapped.
	Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error
	// Server names the database's product and version, such as "PostgreSQL 15.8".
	Server() string
	// Close cancels what still runs, on the server too, and gives the connection up: it is never used again.
	Close() error
}

// Rehearser is a Session that can find out more than describing a query tells, such as a missing right or a param
// that does not fit, without running it.
type Rehearser interface {
	Rehearse(ctx context.Context, q int) error
}

// Warner is a Session that may know of a query that it means something else here than it seems to.
type Warner interface {
	// Warnings are about query q, a line each, with what to write instead. They are the same for all sessions that
	// are set up alike.
	Warnings(q int) []string
}
