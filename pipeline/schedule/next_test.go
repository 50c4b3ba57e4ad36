package schedule_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"fanmill/pipeline/schedule"
)

func parse(t *testing.T, text string) schedule.Spec {
	t.Helper()
	s, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := schedule.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// What is known of days on which clocks do something odd. Instants are UTC.
func TestNextOnOddDays(t *testing.T) {
	for _, c := range []struct {
		spec, zone, after string
		want              []string // instants; with "for", also what the fields say, where no clock shows that
	}{
		{"30 2 * * *", "Europe/Berlin", "2027-03-26T12:00Z", []string{"2027-03-27T01:30Z", "2027-03-28T01:00Z for 2027-03-28 02:30", "2027-03-29T00:30Z"}},
		{"30 2 * * *", "Europe/Berlin", "2027-10-30T12:00Z", []string{"2027-10-31T00:30Z", "2027-11-01T01:30Z"}},
		{"*/15 2 * * *", "Europe/Berlin", "2027-03-28T00:00Z", []string{"2027-03-28T01:00Z for 2027-03-28 02:00", "2027-03-29T00:00Z"}},
		{"*/30 * * * *", "Europe/Berlin", "2027-10-31T00:00Z", []string{"2027-10-31T00:30Z", "2027-10-31T02:00Z"}},
		{"0 3 * * *", "Europe/Berlin", "2027-10-30T12:00Z", []string{"2027-10-31T02:00Z"}},
		{"30 0 * * 1", "Africa/Cairo", "2027-04-26T00:00Z", []string{"2027-05-02T21:30Z", "2027-05-09T21:30Z"}},
		{"30 0 * * 5", "Africa/Cairo", "2027-04-29T00:00Z", []string{"2027-04-29T22:00Z for 2027-04-30 00:30", "2027-05-06T21:30Z"}},
		{"0 0 * * *", "Asia/Beirut", "2027-03-27T00:00Z", []string{"2027-03-27T22:00Z for 2027-03-28 00:00", "2027-03-28T21:00Z"}},
		{"0 0 * * *", "America/Santiago", "2027-09-04T12:00Z", []string{"2027-09-05T04:00Z for 2027-09-05 00:00", "2027-09-06T03:00Z"}},
		{"30 23 * * *", "America/Santiago", "2027-04-03T12:00Z", []string{"2027-04-04T02:30Z", "2027-04-05T03:30Z"}},
		{"30 1 * * *", "Asia/Kolkata", "2026-12-31T00:00Z", []string{"2026-12-31T20:00Z", "2027-01-01T20:00Z"}},
		{"10 2 * * *", "Australia/Lord_Howe", "2027-10-02T00:00Z", []string{"2027-10-02T15:30Z for 2027-10-03 02:10", "2027-10-03T15:10Z"}},
		{"45 1 * * *", "Australia/Lord_Howe", "2027-04-03T12:00Z", []string{"2027-04-03T14:45Z", "2027-04-04T15:15Z"}},
		{"30 1 * * *", "Pacific/Apia", "2011-12-29T00:00Z", []string{"2011-12-29T11:30Z", "2011-12-30T10:00Z for 2011-12-30 01:30", "2011-12-30T11:30Z"}},
		{"0 0 * * *", "Pacific/Apia", "2011-12-29T00:00Z", []string{"2011-12-29T10:00Z", "2011-12-30T10:00Z for 2011-12-30 00:00", "2011-12-31T10:00Z"}},
		{"0 6 29 2 *", "UTC", "2096-03-01T00:00Z", []string{"2104-02-29T06:00Z"}},
		{"0 6 13 * 5", "UTC", "2027-08-10T00:00Z", []string{"2027-08-13T06:00Z", "2027-08-20T06:00Z"}},
	} {
		at, err := time.Parse("2006-01-02T15:04Z07:00", c.after)
		if err != nil {
			t.Fatal(err)
		}
		s, z := parse(t, c.spec), zone(t, c.zone)
		for _, want := range c.want {
			slot := s.Next(at, z)
			got := slot.At.UTC().Format("2006-01-02T15:04Z07:00")
			if slot.Shifted {
				got += " for " + slot.Wall.String()
			}
			if got != want {
				t.Errorf("%s in %s after %s: %s, want %s", c.spec, c.zone, at.UTC(), got, want)
			}
			at = slot.At
		}
	}
}

// oddZones have put their clocks forward and back in all ways that there are: at midnight, by half an hour, twice a
// year for Ramadan, by a date, for good.
var oddZones = strings.Fields(`UTC Europe/Berlin Europe/London Europe/Dublin Europe/Lisbon Europe/Chisinau Europe/Istanbul Atlantic/Azores America/New_York
America/St_Johns America/Sao_Paulo America/Santiago America/Havana America/Asuncion America/Scoresbysund America/Los_Angeles America/Caracas America/Mexico_City
Africa/Cairo Africa/Casablanca Africa/El_Aaiun Africa/Juba Asia/Beirut Asia/Gaza Asia/Jerusalem Asia/Tehran Asia/Amman Asia/Kolkata Asia/Kathmandu Asia/Pyongyang
Australia/Lord_Howe Australia/Sydney Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Norfolk Pacific/Easter Antarctica/Troll`)

// oddSpec is a spec, and what its fields mean in the words of the test.
type oddSpec struct {
	text string
	on   func(t time.Time) bool // of a wall, as if it were UTC
}

var oddSpecs = []oddSpec{
	{"30 1 * * *", func(t time.Time) bool { return t.Hour() == 1 && t.Minute() == 30 }},
	{"30 2 * * *", func(t time.Time) bool { return t.Hour() == 2 && t.Minute() == 30 }},
	{"0 0 * * *", func(t time.Time) bool { return t.Hour() == 0 && t.Minute() == 0 }},
	{"*/15 0-3,23 * 3-5,9-11 *", func(t time.Time) bool {
		return t.Minute()%15 == 0 && (t.Hour() <= 3 || t.Hour() == 23) && t.Month()%6 >= 3 && t.Month()%6 <= 5
	}},
	{"30 0 * * mon", func(t time.Time) bool { return t.Hour() == 0 && t.Minute() == 30 && t.Weekday() == time.Monday }},
	{"15,45 22-23,0-3/2 * 3,4,9-11 fri-7", func(t time.Time) bool {
		return t.Minute()%30 == 15 && (t.Hour() >= 22 || t.Hour() == 0 || t.Hour() == 2) && strings.Contains("Mar Apr Sep Oct Nov", t.Format("Jan")) && strings.Contains("Fri Sat Sun", t.Format("Mon"))
	}},
	{"0 6 1,15 * 1-5", func(t time.Time) bool {
		return t.Hour() == 6 && t.Minute() == 0 && (t.Day() == 1 || t.Day() == 15 || t.Weekday() >= 1 && t.Weekday() <= 5)
	}},
}

// Over ten years and the one in which a day was left out, every slot is where somebody finds it who looks at the clock
// all the time, and notes when it shows a time for the first time that it has not shown or passed before.
func TestNextAgreesWithWhoWatchesTheClock(t *testing.T) {
	apia, decade := fieldsSay(2011, 2012), fieldsSay(2025, 2035)
	for _, name := range oddZones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watchClock(t, zone(t, name), apia)
			watchClock(t, zone(t, name), decade)
		})
	}
}

// look is how often somebody looks: all zones have put their clocks by multiples of it.
const look = 15 * time.Minute

// said is which specs have a slot at each wall, as a set of bits, in steps of look.
type said struct {
	from time.Time
	bits []uint8
}

func fieldsSay(fromYear, toYear int) said {
	s := said{from: time.Date(fromYear, 5, 30, 0, 0, 0, 0, time.UTC)}
	for w, end := s.from, time.Date(toYear, 6, 3, 0, 0, 0, 0, time.UTC); w.Before(end); w = w.Add(look) {
		bits := uint8(0)
		for i, spec := range oddSpecs {
			if spec.on(w) {
				bits |= 1 << i
			}
		}
		s.bits = append(s.bits, bits)
	}
	return s
}

func watchClock(t *testing.T, z *time.Location, fields said) {
	from, to := fields.from.Add(48*time.Hour), fields.from.Add(time.Duration(len(fields.bits))*look-48*time.Hour)
	specs := make([]schedule.Spec, len(oddSpecs))
	next := make([]time.Time, len(oddSpecs))
	for i, s := range oddSpecs {
		specs[i] = parse(t, s.text)
		next[i] = specs[i].Next(from, z).At
	}
	shows := func(at time.Time) int {
		_, offset := at.In(z).Zone()
		return int((at.Sub(fields.from) + time.Duration(offset)*time.Second) / look)
	}
	latest := shows(from)
	for at := from.Add(look); at.Before(to); at = at.Add(look) {
		due := uint8(0)
		for now := shows(at); latest < now; {
			latest++
			due |= fields.bits[latest]
		}
		for i, s := range oddSpecs {
			is := due>>i&1 == 1
			if is != next[i].Equal(at) {
				t.Fatalf("%s: at %s: due is %t; Next says %s", s.text, at.In(z), is, next[i].In(z))
			}
			if is {
				next[i] = specs[i].Next(at, z).At
			}
		}
	}
}

// From any second on, Next is the same as from the slot before it.
func TestNextBetweenSlots(t *testing.T) {
	s, z := parse(t, "*/20 1-3 * * *"), zone(t, "Europe/Berlin")
	for _, day := range []string{"2027-03-28", "2027-10-31"} {
		at, _ := time.Parse(time.DateOnly, day)
		last := s.Next(at.Add(-24*time.Hour), z).At
		for end := at.Add(6 * time.Hour); at.Before(end); at = at.Add(13 * time.Second) {
			for n := s.Next(last, z).At; !n.After(at); n = s.Next(last, z).At {
				last = n
			}
			if got, want := s.Next(at, z).At, s.Next(last, z).At; !got.Equal(want) {
				t.Fatalf("after %s: %s, after the slot %s before it: %s", at, got, last, want)
			}
		}
	}
}

func TestMissed(t *testing.T) {
	s, z := parse(t, "0 6 * * 1-5"), zone(t, "Europe/Berlin")
	friday := time.Date(2027, 3, 26, 5, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		until time.Time
		limit int
		want  int
	}{
		{friday, 10, 0},
		{time.Date(2027, 3, 29, 3, 59, 59, 0, time.UTC), 10, 0},
		{time.Date(2027, 3, 29, 4, 0, 0, 0, time.UTC), 10, 1},
		{time.Date(2027, 4, 5, 12, 0, 0, 0, time.UTC), 10, 6},
		{time.Date(2028, 4, 5, 12, 0, 0, 0, time.UTC), 10, 10},
	} {
		if got := s.Missed(friday, c.until, z, c.limit); got != c.want {
			t.Errorf("until %s: %d, want %d", c.until, got, c.want)
		}
	}
}

func TestWallAsText(t *testing.T) {
	var w schedule.Wall
	if err := w.UnmarshalText([]byte("2027-03-28 02:30")); err != nil {
		t.Fatal(err)
	}
	if text, err := w.MarshalText(); err != nil || string(text) != "2027-03-28 02:30" {
		t.Errorf("%s, %v", text, err)
	}
	if w.Exists(zone(t, "Europe/Berlin")) || !w.Exists(time.UTC) {
		t.Errorf("%s exists in UTC, and not in Berlin", w)
	}
}
