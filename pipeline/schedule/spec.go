// Package schedule says when something is due: the five fields of a crontab, in a zone. It knows no clock, no store and
// no run.
package schedule

import (
	"fmt"
	"math/bits"
	"time"
)

// Spec are the five fields of a crontab: minute, hour, day of the month, month, day of the week. Parse makes it.
type Spec struct {
	text string
	// Bit n is the value n.
	minutes, hours, days, months, weekdays uint64
	anyDay, anyWeekday                     bool // the field is *
}

// String is the text that the spec was made from, with single spaces.
func (s Spec) String() string { return s.text }

// Slot is one time of a schedule.
type Slot struct {
	At   time.Time // when it is due
	Wall Wall      // what the fields say
	// Shifted: a clock of the zone does not show Wall on that day, as it is put forward over it; At is the first instant
	// after it.
	Shifted bool
}

// horizon is further away than the next slot of any spec: 29 February comes after eight years where a century has none.
const horizon = 9

// Next is the first slot after an instant. Several slots that a clock that is put forward leaves at one instant are
// one, the last of them. So are the two times at which a clock that is put back shows the same: the first of them.
func (s Spec) Next(after time.Time, zone *time.Location) Slot {
	from := WallOf(after, zone)
	// Every wall up to from was reached at after, or before.
	day := time.Date(from.Year, from.Month, from.Day, 0, 0, 0, 0, time.UTC)
	minute := from.Hour*60 + from.Minute + 1
	for end := day.AddDate(horizon, 0, 0); day.Before(end); day, minute = day.AddDate(0, 0, 1), 0 {
		if !s.onDay(day) {
			continue
		}
		for m, ok := s.onMinute(minute); ok; m, ok = s.onMinute(m + 1) {
			w := Wall{day.Year(), day.Month(), day.Day(), m / 60, m % 60}
			if at := w.In(zone); at.After(after) {
				return Slot{At: at, Wall: w, Shifted: WallOf(at, zone) != w}
			}
		}
	}
	panic(fmt.Sprintf("the schedule %q has no slot after %s", s.text, after)) // Parse refuses those
}

// Missed counts the slots after an instant, up to and including another one. It counts no further than limit.
func (s Spec) Missed(after, until time.Time, zone *time.Location, limit int) int {
	n := 0
	for at := s.Next(after, zone).At; !at.After(until) && n < limit; at = s.Next(at, zone).At {
		n++
	}
	return n
}

// onDay reports whether the spec has slots on a day. Where both fields of days are given, either will do.
func (s Spec) onDay(day time.Time) bool {
	if s.months>>int(day.Month())&1 == 0 {
		return false
	}
	ofMonth, ofWeek := s.days>>day.Day()&1 == 1, s.weekdays>>int(day.Weekday())&1 == 1
	if s.anyDay || s.anyWeekday {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}

// onMinute is the first minute of a day, from one on, at which the spec has a slot.
func (s Spec) onMinute(from int) (int, bool) {
	for hour, minute := from/60, from%60; hour < 24; hour, minute = hour+1, 0 {
		if s.hours>>hour&1 == 0 {
			continue
		}
		if left := s.minutes >> minute << minute; left != 0 {
			return hour*60 + bits.TrailingZeros64(left), true
		}
	}
	return 0, false
}
