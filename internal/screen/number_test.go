package screen_test

import (
	"testing"
	"time"

	"fanmill/internal/screen"
)

// Numbers are written one way, also where rounding carries into the next unit.
func TestNumbers(t *testing.T) {
	for _, c := range []struct{ seen, want string }{
		{screen.Count(0), "0"},
		{screen.Count(999), "999"},
		{screen.Count(1000), "1,000"},
		{screen.Count(1234567), "1,234,567"},
		{screen.Count(-123456), "-123,456"},
		{screen.Count(-1 << 63), "-9,223,372,036,854,775,808"},
		{screen.Of(1, "row"), "1 row"},
		{screen.Of(0, "row"), "0 rows"},
		{screen.Of(12345, "row"), "12,345 rows"},
		{screen.Rate(12345, time.Second), "12,345 rows/s"},
		{screen.Rate(5, 2*time.Second), "3 rows/s"},
		{screen.Rate(5, 0), ""},
		{screen.Size(0), "0 B"},
		{screen.Size(1023), "1023 B"},
		{screen.Size(1024), "1.0 KB"},
		{screen.Size(12_897_485), "12.3 MB"},
		{screen.Size(1<<20 - 1), "1.0 MB"},
		{screen.Size(1 << 30), "1.0 GB"},
		{screen.Size(5 << 50), "5120.0 TB"},
		{screen.Duration(0), "0ms"},
		{screen.Duration(350 * time.Millisecond), "350ms"},
		{screen.Duration(999_600 * time.Microsecond), "1.0s"},
		{screen.Duration(1234 * time.Millisecond), "1.2s"},
		{screen.Duration(9960 * time.Millisecond), "10s"},
		{screen.Duration(59_600 * time.Millisecond), "1m 00s"},
		{screen.Duration(83 * time.Second), "1m 23s"},
		{screen.Duration(3599_600 * time.Millisecond), "1h 00m"},
		{screen.Duration(125 * time.Minute), "2h 05m"},
		{screen.Duration(24*time.Hour - time.Second), "1d 00h"},
		{screen.Duration(76 * time.Hour), "3d 04h"},
		{screen.Duration(-83 * time.Second), "-1m 23s"},
		{screen.Clock(9990 * time.Millisecond), "9s"},
		{screen.Clock(-time.Second), "0s"},
		{screen.Clock(83900 * time.Millisecond), "1m 23s"},
	} {
		if c.seen != c.want {
			t.Errorf("%q, want %q", c.seen, c.want)
		}
	}
}
