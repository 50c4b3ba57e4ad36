package screen

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Numbers are written one way everywhere: 1,234,567 rows, 12,345 rows/s, 12.3 MB, 1m 23s.

// Count is a number with its thousands separated: 1,234,567.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	head := (len(digits)-1)%3 + 1
	out := sign + digits[:head]
	for ; head < len(digits); head += 3 {
		out += "," + digits[head:head+3]
	}
	return out
}

// Of counts things: 1 row, 1,234 rows.
func Of(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Count(n) + " " + thing
}

// Rate is rows in a time, by the second: 12,345 rows/s. It is "" where there is no time to divide by.
func Rate(rows int64, took time.Duration) string {
	if took <= 0 {
		return ""
	}
	return Count(int64(math.Round(float64(rows)/took.Seconds()))) + " rows/s"
}

// Size is a number of bytes: 512 B, 12.3 MB. As in the settings, 1 MB is 1,048,576 bytes.
func Size(n int64) string {
	if n < 1<<10 && n > -1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KB", "MB", "GB", "TB"} {
		v /= 1 << 10
		if math.Abs(v) < 1023.95 { // what would be written as 1024.0 is 1.0 of the next unit
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// Duration is a time span to the precision that matters to a reader: 350ms, 1.2s, 42s, 1m 23s, 2h 05m, 3d 04h.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-d)
	}
	switch {
	case d < 999500*time.Microsecond:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + "ms"
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	}
	m := (s + 30) / 60
	if m < 24*60 {
		return fmt.Sprintf("%dh %02dm", m/60, m%60)
	}
	return fmt.Sprintf("%dd %02dh", m/60/24, m/60%24)
}

// clock is a time span that passes while one looks: in whole seconds, begun ones not counted.
func clock(d time.Duration) string {
	if d = max(d, 0).Truncate(time.Second); d < 10*time.Second {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	return Duration(d)
}

// millis is a Duration of milliseconds.
func millis(ms int64) string { return Duration(time.Duration(ms) * time.Millisecond) }

// share is a part of a whole: 38%.
func share(part, whole int64) string {
	return strconv.Itoa(int(math.Round(100*float64(part)/float64(max(whole, 1))))) + "%"
}
