package schedule

import (
	"fmt"
	"time"
)

// Wall is what a clock on a wall shows, to the minute; of which zone, its user says.
type Wall struct {
	Year         int
	Month        time.Month
	Day          int
	Hour, Minute int
}

// WallOf is what a clock of the zone shows at an instant.
func WallOf(at time.Time, zone *time.Location) Wall {
	at = at.In(zone)
	return Wall{at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute()}
}

// String is 2027-03-28 02:30.
func (w Wall) String() string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d", w.Year, w.Month, w.Day, w.Hour, w.Minute)
}

// MarshalText implements encoding.TextMarshaler.
func (w Wall) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Wall) UnmarshalText(text []byte) error {
	t, err := time.Parse("2006-01-02 15:04", string(text))
	*w = WallOf(t, time.UTC)
	return err
}

// furthest is more than any zone was ever away from UTC.
const furthest = 30 * time.Hour

// In is the first instant at which a clock of the zone shows w or a later time. So a time that does not exist, as the
// clock is put forward over it, is the first instant after it, and one that comes twice is the first of the two.
// Of two walls the later one is never earlier.
func (w Wall) In(zone *time.Location) time.Time {
	asUTC := time.Date(w.Year, w.Month, w.Day, w.Hour, w.Minute, 0, 0, time.UTC)
	at := asUTC.Add(-furthest).In(zone)
	for {
		_, end := at.ZoneBounds()
		_, offset := at.Zone()
		reached := asUTC.Add(-time.Duration(offset) * time.Second).In(zone)
		switch {
		case reached.Before(at): // the clock was put forward over it
			return at
		case end.IsZero() || reached.Before(end):
			return reached
		}
		at = end
	}
}

// Exists reports whether a clock of the zone ever shows w.
func (w Wall) Exists(zone *time.Location) bool { return WallOf(w.In(zone), zone) == w }
