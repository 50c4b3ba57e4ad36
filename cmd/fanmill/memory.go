package main

import (
	"os"
	"runtime/debug"
)

// The soft limit of memory, in bytes: what is live is about 50 MB, and 2 to 3 MB for each connection asked at a time, nearly all of
// it bytes without pointers, so that a collection is cheap.
const (
	memoryBase          = 112 << 20
	memoryPerConnection = 4 << 20
)

// limitMemory makes the garbage collector run before the process holds much more than it needs. Without a limit it waits until there is
// as much garbage as live memory, and the embedded server's buffers of what it has just stored stay in pools for two collections
// after they were dropped. GOMEMLIMIT in the environment wins.
func limitMemory(parallel int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryBase + int64(parallel)*memoryPerConnection)
	}
}
