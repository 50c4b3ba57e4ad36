package screen

import "time"

// window is the time over which a rate is measured: long enough to be calm, short enough to show a change.
const window = 3 * time.Second

// pace measures how fast a count grows, from readings at the times of frames.
type pace struct {
	readings []reading // the oldest first
	grew     time.Time // when a reading was larger than the one before it
}

type reading struct {
	at   time.Time
	rows int64
}

// note takes a reading.
func (p *pace) note(at time.Time, rows int64) {
	if n := len(p.readings); n == 0 || rows > p.readings[n-1].rows {
		p.grew = at
	}
	p.readings = append(p.readings, reading{at, rows})
	for len(p.readings) > 2 && at.Sub(p.readings[1].at) >= window {
		p.readings = append(p.readings[:0], p.readings[1:]...)
	}
}

// rate is in the last window: rows in a time, 0 rows where there was none.
func (p *pace) rate() (rows int64, took time.Duration) {
	if len(p.readings) < 2 {
		return 0, 0
	}
	first, last := p.readings[0], p.readings[len(p.readings)-1]
	return last.rows - first.rows, last.at.Sub(first.at)
}

// still is for how long nothing has come.
func (p *pace) still(at time.Time) time.Duration {
	if p.grew.IsZero() {
		return 0
	}
	return at.Sub(p.grew)
}
