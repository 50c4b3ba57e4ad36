package parquet

import "fanmill/pipeline/columnar"

// putMoment appends to a column of dates, times or timestamps.
func (c *converter) putMoment(t *target, v *columnar.View, i int) (reason, bool) {
	micros, nanos, ok := moment(v, i, t.kind)
	if !ok {
		return notOfKind, false
	}
	out := &c.out.view
	switch t.kind {
	case columnar.Date:
		out.Ints = append(out.Ints, int32(floorDiv(micros, columnar.MicrosPerDay)))
	case columnar.Time:
		if micros < 0 || micros >= columnar.MicrosPerDay {
			return tooLarge, false
		}
		out.Longs = append(out.Longs, micros)
	default:
		out.Longs = append(out.Longs, micros)
	}
	if nanos != 0 {
		return cutToMicros, true
	}
	return kept, true
}

// moment is row i in microseconds as kind counts them, those of a date at its midnight, and 0 to 999 nanoseconds. ok is
// false if the value is none of the kind. A date is also a timestamp, its midnight; a wall clock is no instant, nor the
// other way round.
func moment(v *columnar.View, i int, kind columnar.Kind) (micros, nanos int64, ok bool) {
	switch {
	case v.Kind == columnar.Mixed:
		if v.Classes[i] == columnar.ClassMoment {
			if micros, nanos, ok = columnar.ParseMoment(v.Bytes(i), kind); ok {
				return micros, nanos, true
			}
			if kind == columnar.Timestamp {
				return columnar.ParseMoment(v.Bytes(i), columnar.Date)
			}
		}
		return 0, 0, false
	case v.Kind == columnar.Date && (kind == columnar.Date || kind == columnar.Timestamp):
		return int64(v.Ints[i]) * columnar.MicrosPerDay, 0, true
	case v.Kind == kind:
		return v.Longs[i], 0, true
	case kind.Nano() != 0 && v.Kind == kind.Nano():
		micros = floorDiv(v.Longs[i], 1000)
		return micros, v.Longs[i] - micros*1000, true
	default:
		return 0, 0, false
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
