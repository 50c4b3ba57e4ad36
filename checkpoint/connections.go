package checkpoint

import (
	"context"
	"errors"

	"fanmill/pipeline"
)

// LoadConn reads a connection's record; one that does not exist yet is empty.
func LoadConn(ctx context.Context, runs pipeline.KV, run, connection string) (*Document[ConnRecord], error) {
	key := ConnKey(run, connection)
	doc, err := LoadDocument[ConnRecord](ctx, runs, key)
	if errors.Is(err, pipeline.ErrNoKey) {
		return &Document[ConnRecord]{kv: runs, key: key}, nil
	}
	return doc, err
}

// ReadConnRecord reads an entry of a connection's record. The error is ErrForeign: it is gone, or cannot be read.
func ReadConnRecord(runs pipeline.KV, e pipeline.KVEntry) (*Document[ConnRecord], error) {
	if e.Deleted {
		return nil, deleted(e.Key)
	}
	return DocumentOf[ConnRecord](runs, e)
}

// ReleaseConn gives a connection back that a process has and does not ask to the end. One that it has no more is left
// as it is.
func ReleaseConn(ctx context.Context, runs pipeline.KV, run, connection, owner string, incarnation int) error {
	for {
		doc, err := LoadDocument[ConnRecord](ctx, runs, ConnKey(run, connection))
		if errors.Is(err, pipeline.ErrNoKey) {
			return nil // the run is over
		}
		if err != nil {
			return err
		}
		next := doc.Value()
		if !next.Release(owner, incarnation) {
			return nil
		}
		if err := doc.Write(ctx, next); !errors.Is(err, pipeline.ErrConflict) || errors.Is(err, pipeline.ErrForeign) || ctx.Err() != nil {
			return err
		}
	}
}
