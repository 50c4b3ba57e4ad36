package main

import (
	"sync"
	"time"

	"fanmill/pipeline/coordinate"

	"fanmill/internal/web"
	"fanmill/pipeline"
)

// liveRuns is what this process alone knows of runs: rows as they are read, the memory, how the row log fills. It
// keeps that of the last few runs.
type liveRuns struct {
	memory *readings
	fill   func(run string) *web.Fill // how full a run's row log is; nil if that is not known

	mu    sync.Mutex
	runs  map[string]*liveRun
	order []string // the oldest first
}

// keptLive is how many runs are remembered.
const keptLive = 20

type liveRun struct {
	here        bool // this process carries it out
	rows        map[string]*liveRows
	memory, log series
}

// liveRows is how far an attempt is.
type liveRows struct {
	rows, seen, rate int64
	at               time.Time // of seen
}

func newLiveRuns(memory *readings, fill func(string) *web.Fill) *liveRuns {
	return &liveRuns{memory: memory, fill: fill, runs: map[string]*liveRun{}}
}

// of is a run; the oldest one is forgotten for it. The lock is held.
func (l *liveRuns) of(run string) *liveRun {
	r := l.runs[run]
	if r == nil {
		r = &liveRun{rows: map[string]*liveRows{}}
		l.runs[run] = r
		l.order = append(l.order, run)
		if len(l.order) > keptLive {
			delete(l.runs, l.order[0])
			l.order = l.order[1:]
		}
	}
	return r
}

// follow lets a follower of a run tell how far its attempts are, and looks at memory and row log until the run is over
// here.
func (l *liveRuns) follow(run string, f coordinate.Follower) coordinate.Follower {
	l.mu.Lock()
	l.of(run).here = true
	l.mu.Unlock()
	over := make(chan struct{})
	go l.sample(run, over)
	rows, event, done := f.Rows, f.Event, f.Done
	f.Done = func(o *coordinate.Outcome, err error) {
		close(over)
		if done != nil {
			done(o, err)
		}
	}
	f.Rows = func(connection string, n int64) {
		l.read(run, connection, n)
		if rows != nil {
			rows(connection, n)
		}
	}
	f.Event = func(e pipeline.Event) {
		if e.Kind == pipeline.EventConnected {
			l.read(run, e.Connection, 0)
		}
		if event != nil {
			event(e)
		}
	}
	return f
}

// sample adds to the charts of a run until it is over.
func (l *liveRuns) sample(run string, over <-chan struct{}) {
	tick := time.NewTicker(seriesEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			l.charts(run, true, l.fill(run))
		}
	}
}

func (l *liveRuns) read(run, connection string, rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(run)
	c := r.rows[connection]
	if c == nil || rows < c.rows { // another attempt
		c = &liveRows{at: time.Now()}
		r.rows[connection] = c
	}
	c.rows = rows
}

// rateOver is the least time that a rate is of.
const rateOver = 900 * time.Millisecond

// progress is how many rows a connection's attempt has read, and how many in a second of late.
func (l *liveRuns) progress(run, connection string) (rows, rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[run]
	if r == nil || r.rows[connection] == nil {
		return 0, 0
	}
	c := r.rows[connection]
	if took := time.Since(c.at); took >= rateOver {
		c.rate = int64(float64(c.rows-c.seen) / took.Seconds())
		c.seen, c.at = c.rows, time.Now()
	}
	return c.rows, c.rate
}

// charts are those of a run, to which what is now is added while the run goes on. What another process holds in memory
// nobody knows here.
func (l *liveRuns) charts(run string, going bool, log *web.Fill) (memory *web.Fill, out []web.Chart) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[run]
	if r == nil && !going {
		return nil, []web.Chart{}
	}
	r = l.of(run)
	now := time.Now()
	last := l.memory.last.Load()
	if last != nil && r.here {
		memory = &web.Fill{Bytes: last.resident, Max: last.threshold}
		if going {
			r.memory.add(now, last.resident, last.threshold)
		}
	}
	if going && log != nil {
		r.log.add(now, log.Bytes, log.Max)
	}
	return memory, append(r.memory.chart("Memory"), r.log.chart("Row log")...)
}

// series are values over time. When there are too many, two neighbours become one, the larger.
type series struct {
	every  time.Duration
	max    int64
	points []web.Point
}

const (
	seriesEvery  = time.Second
	seriesPoints = 240
)

func (s *series) add(now time.Time, bytes, bound int64) {
	s.max = bound
	if s.every == 0 {
		s.every = seriesEvery
	}
	if n := len(s.points); n > 0 && now.Sub(s.points[n-1].At) < s.every {
		return
	}
	s.points = append(s.points, at(now, bytes))
	if len(s.points) < seriesPoints {
		return
	}
	for i := range len(s.points) / 2 {
		a, b := s.points[2*i], s.points[2*i+1]
		if b.Bytes > a.Bytes {
			a.Bytes = b.Bytes
		}
		s.points[i] = a
	}
	s.points, s.every = s.points[:len(s.points)/2], s.every*2
}

func (s *series) chart(name string) []web.Chart {
	if len(s.points) == 0 {
		return []web.Chart{}
	}
	return []web.Chart{{Name: name, Max: s.max, Points: append([]web.Point{}, s.points...)}}
}
