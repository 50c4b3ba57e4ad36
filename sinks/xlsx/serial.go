package xlsx

import (
	"math"
	"strconv"

	"fanmill/pipeline/columnar"
)

// Dates are serial numbers: whole days, and the time as the fraction of a day. Day 1 is 1900-01-01, but Excel counts
// a 29 February 1900 that never was, so only from 1900-03-01 on do all programs agree; earlier dates, and those after
// 9999, are ISO 8601 text.
//
// What is written is the double nearest to the serial number, as Excel itself would store it, in the fewest digits
// that read back as that double. It is within half a microsecond of the time until 2079-06-05, so that rounding to
// microseconds gives the time back exactly; later microseconds that a double cannot tell apart are written as text.
// Excel shows milliseconds at most.
const (
	serialOfEpoch = 25569     // 1970-01-01
	firstSerial   = 61        // 1900-03-01
	lastSerial    = 2_958_465 // 9999-12-31
	coarseSerial  = 65536     // from here on doubles are more than a microsecond apart
)

// appendDate writes a day counted from 1970-01-01.
func (w *cellWriter) appendDate(buf []byte, c *cellColumn, k, i int, days int64) []byte {
	if serial := days + serialOfEpoch; serial >= firstSerial && serial <= lastSerial {
		return append(strconv.AppendInt(append(buf, c.start...), serial, 10), numberEnd...)
	}
	w.stray(k, i)
	return append(columnar.AppendDate(append(buf, textStart...), days), textEnd...)
}

// appendStamp writes row i of a Timestamp or Instant column, which a wall clock shows as micros since 1970.
func (w *cellWriter) appendStamp(buf []byte, c *cellColumn, k, i int, micros int64) []byte {
	serial, part := serialOf(micros)
	if !holds(serial, part) {
		w.stray(k, i)
		return append(c.view.AppendText(append(buf, textStart...), i, &w.clock), textEnd...)
	}
	start := c.start
	if part%1_000_000 != 0 {
		start = c.fine
	}
	return append(appendSerial(append(buf, start...), serial, part), numberEnd...)
}

// serialOf is the day and the microseconds into it.
func serialOf(micros int64) (serial, part int64) {
	days := micros / columnar.MicrosPerDay
	part = micros - days*columnar.MicrosPerDay
	if part < 0 {
		days, part = days-1, part+columnar.MicrosPerDay
	}
	return days + serialOfEpoch, part
}

// holds reports whether a cell holds the time as a number.
func holds(serial, part int64) bool {
	return serial >= firstSerial && serial <= lastSerial && (serial < coarseSerial || part%1000 == 0 || holdsMicros(serial, part))
}

// appendStampNano writes row i of a column of nanoseconds, which a wall clock shows offset seconds later.
func (w *cellWriter) appendStampNano(buf []byte, c *cellColumn, k, i int, offset int64) ([]byte, error) {
	micros, finer := microsOf(c.view.Longs[i])
	micros += offset * 1_000_000 // in microseconds: the wall clock may be past what 64 bits of nanoseconds reach
	buf, ok, err := w.appendFine(buf, c, k, i, micros, finer)
	if err == nil && !ok {
		w.stray(k, i)
		buf = append(c.view.AppendText(append(buf, textStart...), i, &w.clock), textEnd...)
	}
	return buf, err
}

// appendFine writes a time of a wall clock, micros and finer nanoseconds since 1970, if a cell holds it as a number:
// what is finer than a microsecond is rounded, and counted.
func (w *cellWriter) appendFine(buf []byte, c *cellColumn, k, i int, micros, finer int64) (_ []byte, ok bool, err error) {
	before, _ := serialOf(micros) // not by what it is rounded to: that may be the first day that is a number
	serial, part := serialOf(micros + finer/500)
	if before < firstSerial || !holds(serial, part) {
		return buf, false, nil
	}
	if finer != 0 {
		if err := w.lose(k, i, LossNanos, 0); err != nil {
			return buf, false, err
		}
	}
	start := c.start
	if part%1_000_000 != 0 {
		start = c.fine
	}
	return append(appendSerial(append(buf, start...), serial, part), numberEnd...), true, nil
}

// appendMoment writes row i of a column of dates or times whose batch has its values as texts because one of them,
// such as infinity, is none.
func (w *cellWriter) appendMoment(buf []byte, c *cellColumn, k, i int) ([]byte, error) {
	s, kind := c.view.Bytes(i), c.moment
	micros, nanos, ok := columnar.ParseMoment(s, kind)
	if !ok && kind == columnar.Timestamp { // which a value with a zone may stand among
		kind = columnar.Instant
		micros, nanos, ok = columnar.ParseMoment(s, kind)
	}
	switch {
	case !ok: // past the years that 64 bits of microseconds reach
		w.stray(k, i)
		return w.appendText(buf, s, k, i, textStart, textKeep)
	case kind == columnar.Date:
		return w.appendDate(buf, c, k, i, micros/columnar.MicrosPerDay), nil // a whole number of days
	case kind == columnar.Time:
		return w.appendFineTime(buf, c, k, i, micros, nanos)
	}
	var offset int64
	if kind == columnar.Instant {
		offset = w.clock.Offset(micros)
	}
	buf, ok, err := w.appendFine(buf, c, k, i, micros+offset*1_000_000, nanos)
	if err == nil && !ok {
		w.stray(k, i)
		buf = append(columnar.AppendMoment(append(buf, textStart...), kind, micros, nanos, offset), textEnd...)
	}
	return buf, err
}

// microsOf is a time in whole microseconds, rounded down, and the nanoseconds beyond: 0 to 999.
func microsOf(nanos int64) (micros, finer int64) {
	micros, finer = nanos/1000, nanos%1000
	if finer < 0 {
		micros, finer = micros-1, finer+1000
	}
	return micros, finer
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
func (w *cellWriter) appendTime(buf []byte, c *cellColumn, k, i int, micros int64) []byte {
	if micros < 0 || micros >= columnar.MicrosPerDay {
		w.stray(k, i)
		return append(columnar.AppendTime(append(buf, textStart...), micros), textEnd...)
	}
	start := c.start
	if micros%1_000_000 != 0 {
		start = c.fine
	}
	return append(appendSerial(append(buf, start...), 0, micros), numberEnd...)
}

// appendTimeNano writes row i of a column of nanoseconds since midnight.
func (w *cellWriter) appendTimeNano(buf []byte, c *cellColumn, k, i int) ([]byte, error) {
	micros, finer := microsOf(c.view.Longs[i])
	return w.appendFineTime(buf, c, k, i, micros, finer)
}

// appendFineTime writes microseconds and finer nanoseconds since midnight: what is finer than a microsecond is
// rounded, and counted, unless the cell is a text, which has it all. The last instant of a day is not rounded to the
// next.
func (w *cellWriter) appendFineTime(buf []byte, c *cellColumn, k, i int, micros, finer int64) ([]byte, error) {
	if finer == 0 {
		return w.appendTime(buf, c, k, i, micros), nil
	}
	if micros < 0 || micros >= columnar.MicrosPerDay {
		w.stray(k, i)
		return append(columnar.AppendMoment(append(buf, textStart...), columnar.Time, micros, finer, 0), textEnd...), nil
	}
	if err := w.lose(k, i, LossNanos, 0); err != nil {
		return buf, err
	}
	return w.appendTime(buf, c, k, i, min(micros+finer/500, columnar.MicrosPerDay-1)), nil
}
