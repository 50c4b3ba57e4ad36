package memstore_test

import (
	"testing"

	"fanmill/internal/memstore"
	"fanmill/internal/porttest"
	"fanmill/pipeline"
)

// The store in memory keeps to what the pipeline asks of a store, as the real one does.
func TestKV(t *testing.T) {
	porttest.KV(t, func(*testing.T) pipeline.KV { return &memstore.KV{} })
}

// So do its row logs.
func TestRowLogs(t *testing.T) {
	porttest.RowLogs(t, func(*testing.T) pipeline.RowLogs { return &memstore.Logs{} })
}
