package sheets

import (
	"strconv"

	"fanmill/pipeline/columnar"
)

// Cells of dates and times, and of batches in which some value is none of the column's kind.

// appendMixed appends a value of a batch in which some value is none of the column's kind.
func (e *encoder) appendMixed(dst []byte, v *columnar.View, k, i int) ([]byte, error) {
	s, is := v.Bytes(i), e.forms[k]
	switch class := v.Classes[i]; {
	case class == columnar.ClassNumber && is == formNumber:
		if exactNumber(s) {
			return append(append(append(dst, numberStart...), s...), cellEnd...), nil
		}
		e.long(k)
	case class == columnar.ClassFloat && is == formNumber:
		if f, err := strconv.ParseFloat(string(s), 64); err == nil && f-f == 0 {
			return append(strconv.AppendFloat(append(dst, numberStart...), f, 'g', -1, 64), cellEnd...), nil
		}
	case class == columnar.ClassBool && is == formBool:
		return append(append(append(dst, boolStart...), s...), cellEnd...), nil
	case class == columnar.ClassMoment && is == formMoment:
		start := len(dst)
		out, ok, err := e.appendMixedMoment(append(dst, numberStart...), s, k)
		if err != nil || ok {
			return append(out, cellEnd...), err
		}
		dst = out[:start]
	}
	e.stray(k)
	return e.appendText(dst, v, k, i)
}

func (e *encoder) appendMixedMoment(dst, s []byte, k int) (_ []byte, ok bool, err error) {
	kind := e.cols[k].Kind
	micros, nanos, ok := columnar.ParseMoment(s, kind)
	if !ok {
		return dst, false, nil
	}
	if nanos != 0 {
		if err := e.lose(k, LossNanos); err != nil {
			return dst, false, err
		}
		micros += nanos / 500
	}
	dst, ok = e.appendMicros(dst, kind, micros)
	return dst, ok, nil
}

// appendMoment appends a date or time as a serial number.
func (e *encoder) appendMoment(dst []byte, v *columnar.View, k, i int) (_ []byte, ok bool, err error) {
	var micros int64
	kind, rounded := v.Kind, false
	switch kind {
	case columnar.Date:
		dst, ok = appendDay(dst, int64(v.Ints[i]))
		return dst, ok, nil
	case columnar.TimeNano, columnar.TimestampNano, columnar.InstantNano:
		kind = microKind(kind)
		micros, rounded = microsOf(v.Longs[i])
	default:
		micros = v.Longs[i]
	}
	if dst, ok = e.appendMicros(dst, kind, micros); ok && rounded {
		err = e.lose(k, LossNanos)
	}
	return dst, ok, err
}

func (e *encoder) appendMicros(dst []byte, kind columnar.Kind, micros int64) ([]byte, bool) {
	switch kind {
	case columnar.Date:
		return appendDay(dst, micros/columnar.MicrosPerDay)
	case columnar.Time:
		return appendClock(dst, micros)
	case columnar.Instant:
		micros += e.clock.Offset(micros) * 1_000_000
	}
	return appendStamp(dst, micros)
}
