package main

import (
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"fanmill/pipeline/memory"

	"github.com/shirou/gopsutil/v4/process"
)

// The soft limit of memory, in bytes: what is live is about 50 MB, and 2 to 3 MB for each connection asked at a time,
// nearly all of it bytes without pointers, so that a collection is cheap.
const (
	memoryBase          = 112 << 20
	memoryPerConnection = 4 << 20
)

// limitMemory makes the garbage collector run before the process holds much more than it needs. Without a limit it
// waits until there is as much garbage as live memory, and the embedded server's buffers of what it has just stored
// stay in pools for two collections after they were dropped. It stays under the threshold, above which queries pause.
// GOMEMLIMIT in the environment wins.
func (s *settings) limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(min(memoryBase+int64(s.parallel)*memoryPerConnection, s.threshold()*7/8))
	}
}

func (s *settings) threshold() int64 { return int64(s.env.MemoryThresholdMB) << 20 }

// budget is what rows may take: half of what the threshold leaves beside what the process takes anyway, within bounds
// that a connection needs and that more would not make faster.
func (s *settings) budget() *memory.Budget {
	const process, least, most = 96 << 20, 16 << 20, 512 << 20
	return memory.NewBudget(min(max((s.threshold()-process)/2, least), most))
}

// How the resident memory is read: twice a second, and ten seconds over the threshold are too long. Tests read
// something else.
var (
	resident       = residentMemory
	memoryEvery    = 500 * time.Millisecond
	memoryPatience = 20
)

func residentMemory() (int64, error) {
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		return 0, err
	}
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, err
	}
	return int64(info.RSS), nil
}

// readings passes readings of the memory on to whoever shows them at the moment, and keeps the last one.
type readings struct {
	to   atomic.Pointer[func(resident, threshold int64)]
	last atomic.Pointer[reading]
}

// reading is what was read of the memory, in bytes.
type reading struct {
	resident, threshold int64
	at                  time.Time
}

// age is how long ago the last reading was; 0 if there was none yet.
func (r *readings) age() time.Duration {
	if last := r.last.Load(); last != nil {
		return time.Since(last.at)
	}
	return 0
}

func (r *readings) show(f func(resident, threshold int64)) {
	if f == nil {
		r.to.Store(nil)
		return
	}
	r.to.Store(&f)
}

func (r *readings) read(resident, threshold int64) {
	r.last.Store(&reading{resident, threshold, time.Now()})
	if f := r.to.Load(); f != nil {
		(*f)(resident, threshold)
	}
}
