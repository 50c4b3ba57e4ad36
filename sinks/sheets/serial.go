package sheets

import (
	"math"
	"strconv"

	"fanmill/pipeline/columnar"
)

// Dates are serial numbers: days since 1899-12-30, the time as the fraction of a day, in a double.
// [developers.google.com/workspace/sheets/api/guides/formats] Unlike Excel, Google has no 29 February 1900.
const (
	serialOfEpoch = 25569     // 1970-01-01
	lastSerial    = 2_958_465 // 9999-12-31
)

// appendDay appends a day counted from 1970-01-01; ok is false if the sheet has no number for it.
func appendDay(dst []byte, days int64) (_ []byte, ok bool) {
	serial := days + serialOfEpoch
	if serial < 0 || serial > lastSerial {
		return dst, false
	}
	return strconv.AppendInt(dst, serial, 10), true
}

// appendStamp appends microseconds of a wall clock since 1970; ok is false if no double is that very time.
func appendStamp(dst []byte, micros int64) (_ []byte, ok bool) {
	days := micros / columnar.MicrosPerDay
	part := micros - days*columnar.MicrosPerDay
	if part < 0 {
		days, part = days-1, part+columnar.MicrosPerDay
	}
	if part == 0 {
		return appendDay(dst, days)
	}
	serial := days + serialOfEpoch
	if serial < 0 || serial > lastSerial {
		return dst, false
	}
	f := float64(serial) + float64(part)/columnar.MicrosPerDay
	back := math.Round((f - float64(serial)) * columnar.MicrosPerDay)
	if int64(back) != part && part%1000 != 0 { // milliseconds are told apart until 9999
		return dst, false
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64), true
}

// appendClock appends microseconds since midnight; ok is false if that is no time of day.
func appendClock(dst []byte, micros int64) (_ []byte, ok bool) {
	if micros < 0 || micros >= columnar.MicrosPerDay {
		return dst, false
	}
	return strconv.AppendFloat(dst, float64(micros)/columnar.MicrosPerDay, 'f', -1, 64), true
}

// microsOf is a time in whole microseconds, rounded half up, and whether that is another time.
func microsOf(nanos int64) (micros int64, rounded bool) {
	micros, finer := nanos/1000, nanos%1000
	if finer < 0 {
		micros, finer = micros-1, finer+1000
	}
	return micros + finer/500, finer != 0
}

// microKind is the kind in microseconds of one in nanoseconds.
func microKind(k columnar.Kind) columnar.Kind {
	switch k {
	case columnar.TimeNano:
		return columnar.Time
	case columnar.TimestampNano:
		return columnar.Timestamp
	default:
		return columnar.Instant
	}
}
