package pipeline

import (
	"context"

	"fanmill/pipeline/columnar"
)

// Driver is one kind of database. It holds no state; each stage file registers one.
type Driver interface {
	// Open connects, describes every query and is ready to stream. dsn is expanded. Errors are classified (Transient,
	// Permanent), carry the database's own message and never a password.
	Open(ctx context.Context, dsn string, queries []Query) (Session, error)
}

// Session is one attempt's connection to a database.
type Session interface {
	// Columns describes the result of query q. The types are what the database declares; a batch may widen one.
	Columns(q int) []columnar.Column
	// Stream runs query q and appends its rows to b, calling emit whenever due(b) says that the batch is full, and once
	// more for the rest (also for a batch that is empty: emit ignores it). emit resets b. Memory stays that of a batch
	// whatever the result's size. It returns as soon as emit fails or ctx ends, with that error wrapped.
	Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error
	// Close cancels what still runs and gives the connection up.
	Close() error
}
