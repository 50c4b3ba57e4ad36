package xlsx

import (
	"math"
	"strconv"

	"fanmill/pipeline/columnar"
)

// Dates are serial numbers: whole days, and the time as the fraction of a day. Day 1 is 1900-01-01, but Excel counts a 29
// February 1900 that never was, so only from 1900-03-01 on do all programs agree; earlier dates, and those after 9999, are
// ISO 8601 text.
//
// What is written is the double nearest to the serial number, as Excel itself would store it, in the fewest digits that
// read back as that double. It is within half a microsecond of the time until 2079-06-05, so that rounding to
// microseconds gives the time back exactly; later microseconds that a double cannot tell apart are written as text.
// Excel shows milliseconds at most.
const (
	serialOfEpoch = 25569     // 1970-01-01
	firstSerial   = 61        // 1900-03-01
	lastSerial    = 2_958_465 // 9999-12-31
	coarseSerial  = 65536     // from here on doubles are more than a microsecond apart
)

// appendDate writes a day counted from 1970-01-01.
func appendDate(buf []byte, days int64) []byte {
	if serial := days + serialOfEpoch; serial >= firstSerial && serial <= lastSerial {
		return append(strconv.AppendInt(append(buf, dateStart...), serial, 10), numberEnd...)
	}
	return append(columnar.AppendDate(append(buf, exactStart...), days), textEnd...)
}

// appendStamp writes row i of a Timestamp or Instant column, which a wall clock shows as micros since 1970.
func appendStamp(buf []byte, v *columnar.View, i int, micros int64, clock *columnar.Clock) []byte {
	days := micros / columnar.MicrosPerDay
	part := micros - days*columnar.MicrosPerDay
	if part < 0 {
		days, part = days-1, part+columnar.MicrosPerDay
	}
	serial := days + serialOfEpoch
	if serial < firstSerial || serial > lastSerial || serial >= coarseSerial && part%1000 != 0 && !holdsMicros(serial, part) {
		return append(v.AppendText(append(buf, exactStart...), i, clock), textEnd...)
	}
	start := stampStart
	if part%1_000_000 != 0 {
		start = stampMillisStart
	}
	return append(appendSerial(append(buf, start...), serial, part), numberEnd...)
}

// holdsMicros reports whether the double nearest to the serial number, rounded to microseconds, is the same time again.
func holdsMicros(serial, part int64) bool {
	return int64(math.Round((nearest(serial, part)-float64(serial))*columnar.MicrosPerDay)) == part
}

// nearest is the serial number of part microseconds into a day. Until 2185 both operands are exact, so the quotient is
// the double nearest to the truth.
func nearest(serial, part int64) float64 {
	return float64(serial*columnar.MicrosPerDay+part) / columnar.MicrosPerDay
}

func appendSerial(buf []byte, serial, part int64) []byte {
	if part == 0 {
		return strconv.AppendInt(buf, serial, 10)
	}
	return strconv.AppendFloat(buf, nearest(serial, part), 'f', -1, 64)
}

// appendTime writes microseconds since midnight. What is not a time of day (a duration, 24:00:00) is text.
func appendTime(buf []byte, micros int64) []byte {
	switch {
	case micros < 0:
		return append(columnar.AppendTime(append(append(buf, exactStart...), '-'), -micros), textEnd...)
	case micros >= columnar.MicrosPerDay:
		return append(columnar.AppendTime(append(buf, exactStart...), micros), textEnd...)
	}
	start := timeStart
	if micros%1_000_000 != 0 {
		start = timeMillisStart
	}
	return append(appendSerial(append(buf, start...), 0, micros), numberEnd...)
}
