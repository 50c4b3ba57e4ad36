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
