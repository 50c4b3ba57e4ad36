package parquet

import "github.com/apache/arrow-go/v18/arrow/memory"

// WithMemory makes the options use an allocator of a test.
func WithMemory(o Options, m memory.Allocator) Options {
	o.memory = m
	return o
}
