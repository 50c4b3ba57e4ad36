package pipeline

import (
	"context"
	"errors"
)

// LoadConn reads a connection's record; one that does not exist yet is empty.
func LoadConn(ctx context.Context, runs KV, run, connection string) (*Cell[ConnRecord], error) {
	key := ConnKey(run, connection)
	cell, err := LoadCell[ConnRecord](ctx, runs, key)
	if errors.Is(err, ErrNoKey) {
		return &Cell[ConnRecord]{kv: runs, key: key}, nil
	}
	return cell, err
}
