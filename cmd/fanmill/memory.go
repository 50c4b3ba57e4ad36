package main

import (
	"os"
	"runtime/debug"
)

// What the process may hold before the garbage collector works harder, in bytes: a share for the embedded server, the destinations and
// the batches they have in hand, and one for each connection asked at a time. It is far above what is in use at any moment (see
// docs/performance.md), so the collector has room; without it, memory would grow to twice the use before it begins.
const (
	memoryBase          = 96 << 20
	memoryPerConnection = 12 << 20
)

// limitMemory sets the soft limit. GOMEMLIMIT in the environment wins.
func limitMemory(parallel int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryBase + int64(parallel)*memoryPerConnection)
	}
}
