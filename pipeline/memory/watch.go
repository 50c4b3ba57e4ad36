package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Memory watches the resident memory of this process. While it is over the threshold the queries of all runs pause, and
// what can be given back to the system is. If that does not help for Patience, the runs are stopped as by Ctrl-C: what
// is delivered stays, a resume goes on from there. A Memory serves every run of the process, one after the other and at
// once.
type Watch struct {
	WatchOptions

	mu      sync.Mutex
	over    int           // readings, one after the other
	open    chan struct{} // closed while queries may go on
	peak    int64
	since   time.Time
	paused  time.Duration
	stops   map[int]context.CancelCauseFunc
	stopSeq int
}

// ErrMemory ends a run whose process holds more memory than it may.
var ErrMemory = errors.New("stopped for memory")

// MemoryOptions say when and how a Memory acts.
type WatchOptions struct {
	Threshold int64                 // bytes
	Resident  func() (int64, error) // reads the resident memory, in bytes
	Every     time.Duration         // between two readings
	Patience  int                   // readings over the threshold, one after the other, before the runs are stopped
	Budget    *Budget               // of the rows; to say what held the memory
	Parallel  int                   // connections asked at a time in a run; to say what to change
	Log       *slog.Logger
	Show      func(resident, threshold int64) // sees every reading; may be nil
}

// NewMemory makes a Memory that reads nothing yet: Run does.
func NewWatch(o WatchOptions) *Watch {
	m := &Watch{WatchOptions: o, open: make(chan struct{}), stops: map[int]context.CancelCauseFunc{}}
	close(m.open)
	return m
}

// Run reads the memory until ctx ends.
func (m *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(m.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.Look()
		}
	}
}

// Look takes one reading and acts on it. A system that does not tell is no reason to stop anything.
func (m *Watch) Look() (resident int64) {
	resident, err := m.Resident()
	if err != nil {
		m.Log.Debug("the resident memory could not be read", "error", err)
		return 0
	}
	if m.Show != nil {
		m.Show(resident, m.Threshold)
	}
	m.mu.Lock()
	m.peak = max(m.peak, resident)
	if resident <= m.Threshold {
		if m.over > 0 {
			m.over = 0
			m.paused += time.Since(m.since)
			close(m.open)
			m.Log.Info("memory is below the threshold again; queries go on: " + Line(resident, m.Threshold))
		}
		m.mu.Unlock()
		return resident
	}
	first := m.over == 0
	if first {
		m.open, m.since = make(chan struct{}), time.Now()
	}
	m.over++
	tooLong := m.over > m.Patience
	m.mu.Unlock()
	if first {
		m.Log.Warn("memory is over the threshold; queries pause until it is given back: " + Line(resident, m.Threshold))
	}
	debug.FreeOSMemory() // collects, and gives back
	if tooLong {
		m.stop(resident)
	}
	return resident
}

// stop ends all runs under way and begins anew.
func (m *Watch) stop(resident int64) {
	cause := m.cause(resident)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over <= m.Patience { // meanwhile another reading has stopped them, or found that it need not be
		return
	}
	m.over = 0
	m.paused += time.Since(m.since)
	close(m.open)
	for _, stop := range m.stops {
		stop(cause)
	}
	clear(m.stops)
}

// cause says what held the memory, and which setting to change.
func (m *Watch) cause(resident int64) error {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	queries, sinks := m.Budget.Held()
	return fmt.Errorf("%w: %s resident, the threshold is %s, and pausing the queries for %s did not help. Rows in memory: %s in queries, %s in destinations, of a budget of %s; %s live in Go's heap, %s in all of Go's memory. "+
		"Raise MEMORY_THRESHOLD_MB, or ask fewer connections at a time (--parallel, now %d)",
		ErrMemory, megabytes(resident), megabytes(m.Threshold), (time.Duration(m.Patience) * m.Every).Round(time.Millisecond),
		megabytes(queries), megabytes(sinks), megabytes(m.Budget.Size()), megabytes(int64(s.HeapAlloc)), megabytes(int64(s.Sys-s.HeapReleased)), m.Parallel)
}

// Wait returns when queries may go on.
func (m *Watch) Wait(ctx context.Context) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	open := m.open
	m.mu.Unlock()
	select {
	case <-open:
		return nil
	default:
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Guard has stop called when runs are stopped for memory, until release.
func (m *Watch) Guard(stop context.CancelCauseFunc) (release func()) {
	if m == nil {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopSeq++
	id := m.stopSeq
	m.stops[id] = stop
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.stops, id)
	}
}

// Measured is the largest reading, the threshold, in bytes, and how long queries stood still.
func (m *Watch) Measured() (peak, threshold int64, paused time.Duration) {
	if m == nil {
		return 0, 0, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak, m.Threshold, m.paused
}

// MemoryLine is the line that users look for.
func Line(resident, threshold int64) string {
	return fmt.Sprintf("💾 Memory usage: %s / %s (%.1f%%)", megabytes(resident), megabytes(threshold), 100*float64(resident)/float64(max(threshold, 1)))
}

func megabytes(n int64) string { return fmt.Sprintf("%dMB", (n+1<<19)>>20) }
