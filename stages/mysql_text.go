package stages

import (
	"encoding/binary"
	"strconv"

	"fanmill/pipeline/columnar"
)

// widened appends the text of a value to a column that has no room for it as it is, or is mixed since another had
// none, or is announced as another type than the rows now have, as that of a parameter in a select list, which is
// known only when there is a value.
func (c *mysqlCell) widened(v []byte) bool {
	text, ok := c.text(c.buf[:0], v)
	if c.buf = text; !ok {
		return false
	}
	announced := c.to.Declared().Kind
	if announced == columnar.Text {
		c.to.Bytes(text)
		return true
	}
	c.to.Retype(columnar.Mixed)
	class := c.class(v)
	if announced != columnar.Unknown && announced != c.kind && !(announced.Number() && c.kind.Number()) {
		class = columnar.ClassStray
	}
	if class == columnar.ClassStray && c.coding == myBool {
		c.strays++
	}
	c.to.Mixed(class, text)
	return true
}

// class says what a value of the rows' type is in a mixed column of it.
func (c *mysqlCell) class(v []byte) columnar.Class {
	switch c.coding {
	case myText, myBits, myBinary:
		return columnar.ClassText
	case myBool:
		if v[0] > 1 {
			return columnar.ClassStray
		}
		return columnar.ClassBool
	case myFlag:
		return columnar.ClassBool
	case myFloat4, myFloat8:
		return columnar.ClassFloat
	case myDate, myDateTime, myInstant:
		if _, _, real, _ := c.moment(v); !real {
			return columnar.ClassStray
		}
		return columnar.ClassMoment
	case myTime:
		if micros, _ := mysqlClock(v); micros < 0 || micros >= columnar.MicrosPerDay {
			return columnar.ClassStray
		}
		return columnar.ClassMoment
	default:
		return columnar.ClassNumber
	}
}

// text appends the text that a value has in a CSV, whatever its neighbours are.
func (c *mysqlCell) text(dst, v []byte) (_ []byte, ok bool) {
	view := columnar.View{Column: columnar.Column{Kind: c.kind}, Offsets: []int32{0, int32(len(v))}, Data: v}
	switch c.coding {
	case myText:
		return append(dst, v...), true
	case myDecimal, myNumeric:
		return appendPlain(dst, v)
	case myBool:
		if v[0] > 1 {
			return strconv.AppendInt(dst, int64(int8(v[0])), 10), true
		}
		return strconv.AppendBool(dst, v[0] == 1), true
	case myFlag:
		flag, ok := mysqlFlag(v)
		return strconv.AppendBool(dst, flag), ok
	case myBits:
		return c.bits(dst, v)
	case myDate, myDateTime, myInstant:
		return c.momentText(dst, v)
	case myTime:
		micros, ok := mysqlClock(v)
		return columnar.AppendTime(dst, micros), ok
	case myFloat4:
		view.Ints = []int32{int32(binary.LittleEndian.Uint32(v))}
	case myFloat8:
		view.Longs = []int64{int64(binary.LittleEndian.Uint64(v))}
	case myBinary:
	default:
		view.Longs = []int64{c.integer(v)}
	}
	return view.AppendText(dst, 0, nil), true
}

// momentText appends a date, or a date and time, with the digits that MySQL has, also of days that do not exist.
func (c *mysqlCell) momentText(dst, v []byte) (_ []byte, ok bool) {
	days, micros, real, ok := c.moment(v)
	if !ok {
		return dst, false
	}
	if real && c.coding == myInstant {
		return append(columnar.AppendTimestamp(dst, days*columnar.MicrosPerDay+micros-c.zone), "+00:00"...), true
	}
	var date [4]byte
	copy(date[:], v)
	year := binary.LittleEndian.Uint16(date[:])
	for _, n := range []int{int(year) / 100, int(year) % 100, -1, int(date[2]), -1, int(date[3])} {
		if n < 0 {
			dst = append(dst, '-')
			continue
		}
		dst = append(dst, byte('0'+n/10), byte('0'+n%10))
	}
	if c.coding == myDate {
		return dst, true
	}
	return columnar.AppendTime(append(dst, ' '), micros), true
}

// bits appends a bit(n) as n binary digits, which is what PostgreSQL calls it.
func (c *mysqlCell) bits(dst, v []byte) (_ []byte, ok bool) {
	if c.width > 64 || len(v) > 8 || len(v) < (c.width+7)/8 {
		return dst, false
	}
	var value uint64
	for _, b := range v {
		value = value<<8 | uint64(b)
	}
	for i := c.width - 1; i >= 0; i-- {
		dst = append(dst, '0'+byte(value>>uint(i)&1))
	}
	return dst, true
}

// appendPlain appends a number's text without the zeros that ZEROFILL puts before it.
func appendPlain(dst, v []byte) (_ []byte, ok bool) {
	if len(v) > 0 && v[0] == '-' {
		dst, v = append(dst, '-'), v[1:]
	}
	for len(v) > 1 && v[0] == '0' && v[1] != '.' {
		v = v[1:]
	}
	return append(dst, v...), len(v) > 0
}
