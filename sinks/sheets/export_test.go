package sheets

import "testing"

// MostCells sets the limit of cells for a test.
func MostCells(t testing.TB, n int64) { change(t, &mostCells, n) }

// BatchBytes sets what a client's batches have at most.
func (c *Client) BatchBytes(n int) { c.batch = n }

func change[T any](t testing.TB, to *T, value T) {
	old := *to
	*to = value
	t.Cleanup(func() { *to = old })
}
