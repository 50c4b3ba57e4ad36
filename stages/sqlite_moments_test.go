package stages

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// What programs write is read as the moment that they mean; what has more than one meaning, or none, is not read.
func TestMomentForms(t *testing.T) {
	for s, want := range map[string]string{
		// Without a zone.
		"2024-02-29": "2024-02-29 00:00:00", "2024-02-29 13:45": "2024-02-29 13:45:00", "2024-02-29T13:45:06": "2024-02-29 13:45:06",
		"2024-02-29 13:45:06.0": "2024-02-29 13:45:06", "2024-02-29T13:45:06.1234567": "2024-02-29 13:45:06.1234567",
		"2024-02-29t13:45:06.123456789": "2024-02-29 13:45:06.123456789", "2024-02-29 13:45:06,123": "2024-02-29 13:45:06.123",
		"2024-02-29 00:00:00.000000000000": "2024-02-29 00:00:00", "0000-01-01 00:00": "0000-01-01 00:00:00", "9999-12-31T23:59:59.999": "9999-12-31 23:59:59.999",
		// With one.
		"2024-02-29T13:45:06Z": "2024-02-29 13:45:06+00:00", "2024-02-29t13:45:06.123z": "2024-02-29 13:45:06.123+00:00", "2024-02-29 13:45:06 Z": "2024-02-29 13:45:06+00:00",
		"2024-02-29 13:45:06+00:00": "2024-02-29 13:45:06+00:00", "2024-02-29 13:45:06 +00:00": "2024-02-29 13:45:06+00:00",
		"2024-02-29T13:45:06+0530": "2024-02-29 08:15:06+00:00", "2024-02-29T13:45:06.000+0000": "2024-02-29 13:45:06+00:00",
		"2024-02-29 13:45:06 -0330": "2024-02-29 17:15:06+00:00", "2024-02-29 13:45:06-03": "2024-02-29 16:45:06+00:00", "2024-02-29 13:45+14": "2024-02-28 23:45:00+00:00",
		"2024-02-29T13:45:06.1234567+05:30": "2024-02-29 08:15:06.1234567+00:00", "1883-01-01T12:00:00+05:53:28": "1883-01-01 06:06:32+00:00",
		"2024-02-29 13:45:06 UTC": "2024-02-29 13:45:06+00:00", "2024-02-29 13:45:06.5 GMT": "2024-02-29 13:45:06.5+00:00",
		"2024-02-29 13:45:06.123 +0000 UTC": "2024-02-29 13:45:06.123+00:00", "2024-02-29 13:45:06 +0530 IST": "2024-02-29 08:15:06+00:00",
		"2024-02-29 13:45:06.123456789 +0530 IST m=+0.012345678": "2024-02-29 08:15:06.123456789+00:00", "2024-02-29 13:45:06 -0300 -03": "2024-02-29 16:45:06+00:00",
		"2024-02-29 13:45:06 +0545 +0545 m=-3600.000000001": "2024-02-29 08:00:06+00:00", "2024-02-29 13:45:06 +1000 ChST": "2024-02-29 03:45:06+00:00",
		"2024-02-29T13:45:06+05:30[Asia/Kolkata]": "2024-02-29 08:15:06+00:00", "2024-02-29T13:45Z[UTC]": "2024-02-29 13:45:00+00:00",
		"0000-01-01 00:00+05:30": "-0001-12-31 18:30:00+00:00",
	} {
		m, ok := parseMoment([]byte(s))
		kind := columnar.Timestamp
		if m.zoned {
			kind = columnar.Instant
		}
		if got := string(columnar.AppendMoment(nil, kind, m.utc(), m.nanos, 0)); !ok || got != want {
			t.Errorf("%q is %s, %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", "2024", "2024-02", "2024-2-29", "24-02-29", "2024/02/29", "2024.02.29", "29.02.2024", "29/02/2024 13:45", "02/29/2024", "20240229", "20240229T134506Z", "1709214306", "1709214306123",
		"2460370.07", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-01", "2024-02-00", "0000-00-00", "0000-00-00 00:00:00", " 2024-02-29", "2024-02-29 ", "2024-02-29T", "2024-02-29Z", "2024-02-29+05:30",
		"2024-02-29  13:45", "2024-02-29 T13:45", "2024-02-29 1:45", "2024-02-29 13", "2024-02-29 24:00", "2024-02-29 13:60", "2024-02-29 13:45:60", "2024-02-29 13:45:06.", "2024-02-29 13:45:06.1234567891",
		"2024-02-29 01:45 PM", "2024-02-29 01:45:06 pm", "2024-02-29 01:45:06 +0530 PM", "0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00 +0000 BC", "0044-03-15 12:00:00 +0000 BCE", "2024-02-29 13:45:06 IST",
		"2024-02-29 13:45:06 Asia/Kolkata", "2024-02-29 13:45:06 +0530 UTC", "2024-02-29 13:45:06 +0530 +0545", "2024-02-29 13:45:06 +0530 ", "2024-02-29 13:45:06 +0530 IST ", "2024-02-29 13:45:06 +05:30 IST",
		"2024-02-29 13:45:06 +0530 IST m=0.1", "2024-02-29 13:45:06 +0530 IST m=+1", "2024-02-29 13:45:06 m=+0.1", "2024-02-29 13:45:06+15:00", "2024-02-29 13:45:06+05:60", "2024-02-29 13:45:06+5:30", "2024-02-29 13:45:06+",
		"2024-02-29 13:45:06Z+00:00", "2024-02-29 13:45:06Z Z", "2024-02-29 13:45:06 utc", "2024-02-29 13:45:06UTC", "2024-02-29T13:45:06[Asia/Kolkata]", "2024-02-29T13:45:06+05:30[]", "2024-02-29T13:45:06+05:30[Asia/Kolkata",
		"2024-02-29T13:45:06+05:30[a b]", "2024-02-29T13:45:06+053", "2024-02-29T13:45:06+053015", "12024-02-29", "-0044-03-15", "Thu Feb 29 13:45:06 2024", "2024-02-29\x0013:45", "2024-02-29 13:45\n", "n/a", "infinity", "now",
	} {
		if m, ok := parseMoment([]byte(s)); ok {
			t.Errorf("%q is %+v", s, m)
		}
	}
}

// A day may have a time if that is midnight, on whatever clock; with any other it is no day.
func TestDayForms(t *testing.T) {
	for s, ok := range map[string]bool{
		"2024-02-29": true, "2024-02-29 00:00": true, "2024-02-29 00:00:00": true, "2024-02-29T00:00:00": true, "2024-02-29t00:00:00.0000000": true, "2024-02-29T00:00:00Z": true,
		"2024-02-29T00:00:00.000Z": true, "2024-02-29 00:00:00 +0000 UTC": true, "2024-02-29 00:00:00+05:30": true, "2024-02-29 00:00:00 +0530 IST": true,
		"2024-02-29 00:00:01": false, "2024-02-29 12:00": false, "2024-02-29 23:59:59.999": false, "2024-02-28T18:30:00Z": false, "2024-02-29 00:00:00.000000001": false, "2024-02-29 24:00:00": false,
		"2024-02-29T": false, "2024-02-30 00:00:00": false, "2024-02-29 00:00:00 AM": false,
	} {
		if days, _, got := parseISO([]byte(s), columnar.Date); got != ok || ok && string(columnar.AppendDate(nil, days)) != "2024-02-29" {
			t.Errorf("%q is the day %s, %v, want %v", s, columnar.AppendDate(nil, days), got, ok)
		}
	}
}

// momentLayouts are the ways of the libraries to write a moment, by Go's names of them; "" is time.Time's own.
var momentLayouts = []string{"", "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.000000000-0700", "2006-01-02 15:04:05.999999999 -07:00",
	"2006-01-02 15:04:05.999999999-07:00:00", "2006-01-02 15:04:05.999999999 -0700"}

// Whoever wrote a moment, in whatever zone: it is read as that moment, to the nanosecond.
func TestMomentsComeBack(t *testing.T) {
	zones := []string{"UTC", "Asia/Kolkata", "America/Sao_Paulo", "America/St_Johns", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Guam"}
	rapid.Check(t, func(t *rapid.T) {
		loc := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "minutes"))
		from := int64(-62_000_000_000) // the year 5
		if rapid.Bool().Draw(t, "a zone's own") {
			var err error
			if loc, err = time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone")); err != nil {
				t.Fatal(err)
			}
			from = 0 // before were offsets with seconds, which most layouts cut
		}
		at := time.Unix(rapid.Int64Range(from, 253_370_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(loc)
		layout := rapid.SampledFrom(momentLayouts).Draw(t, "layout")
		text := at.Format(layout)
		if layout == "" {
			text = at.String()
		}
		if m, ok := parseMoment([]byte(text)); !ok || !m.zoned || !time.UnixMicro(m.utc()).Add(time.Duration(m.nanos)).Equal(at) {
			t.Fatalf("%q is %+v, %v", text, m, ok)
		}
		const bare = "2006-01-02 15:04:05.999999999"
		text = at.Format(bare)
		if m, ok := parseMoment([]byte(text)); !ok || m.zoned || time.UnixMicro(m.utc()).Add(time.Duration(m.nanos)).UTC().Format(bare) != text {
			t.Fatalf("%q is %+v, %v", text, m, ok)
		}
	})
}

// Whatever is read says a moment that its text has: the same digits in the same order, and nothing left over.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2024-02-29 13:45:06.123 +0530 IST m=+0.01", "2024-02-29T13:45:06+05:30[Asia/Kolkata]", "2024-02-29 13:45:06 UTC", "2024-02-29T00:00:00.000Z", "2024-02-29 13:45:06-03"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseMoment([]byte(s))
		if !ok {
			return
		}
		wall := string(columnar.AppendMoment(nil, columnar.Timestamp, m.days*columnar.MicrosPerDay+m.micros, m.nanos, 0))
		if !strings.HasPrefix(s, wall[:10]) || len(s) > 10 && s[11:16] != wall[11:16] {
			t.Errorf("%q is %s", s, wall)
		}
		if m.zoned {
			wall += fmt.Sprintf("%+03d:%02d:%02d", m.east/3600_000_000, abs(m.east/60_000_000%60), abs(m.east/1_000_000%60))
		}
		again, ok := parseMoment([]byte(wall))
		if sign := m.east < 0 && m.east > -3600_000_000; !sign && (!ok || again != m) { // -00:30 has no sign in this test's words
			t.Errorf("%q is %s, which is %+v, not %+v", s, wall, again, m)
		}
	})
}

func abs(n int64) int64 { return max(n, -n) }
