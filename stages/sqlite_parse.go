package stages

import (
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// parseDecimal reads [+-]digits[.digits] as an integer times 10^-scale, exactly; ok is false for anything else.
func parseDecimal(b []byte, precision, scale int32) (_ decimal128.Num, ok bool) {
	if !plainNumber(b) {
		return decimal128.Num{}, false
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	var hi, lo uint64
	left := scale  // decimals still missing
	after := false // behind the point
	for _, c := range b {
		if c == '.' {
			after = true
			continue
		}
		if after {
			if left == 0 {
				if c != '0' {
					return decimal128.Num{}, false
				}
				continue
			}
			left--
		}
		if hi, lo, ok = mulAdd(hi, lo, 10, uint64(c-'0')); !ok {
			return decimal128.Num{}, false
		}
	}
	for ; left > 0; left-- {
		if hi, lo, ok = mulAdd(hi, lo, 10, 0); !ok {
			return decimal128.Num{}, false
		}
	}
	return signed(hi, lo, negative, precision)
}

// plainNumber reports whether b is [+-]digits[.digits].
func plainNumber(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	digits, points := 0, 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && i > 0 && i < len(b)-1:
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}

// parseISO reads the text forms of dates and times that SQLite documents [SQLite, "Date And Time Functions" 2] as a value of
// kind: days for a Date, microseconds for the others and the nanoseconds (0 to 999) beyond. ok is false for other texts, for days
// that do not exist, for more than nanoseconds, and where a zone is missing (Instant) or would be lost (the others).
func parseISO(b []byte, kind columnar.Kind) (v, nanos int64, ok bool) {
	p := isoText{b: b}
	var days, micros, east int64
	zone := false
	switch kind {
	case columnar.Date:
		days = p.date()
		return days, 0, p.done()
	case columnar.Time:
		micros, nanos = p.clock()
		return micros, nanos, p.done()
	}
	days = p.date()
	if len(p.b) > 0 {
		if p.b[0] != ' ' && p.b[0] != 'T' {
			return 0, 0, false
		}
		p.b = p.b[1:]
		micros, nanos = p.clock()
		east, zone = p.zone()
	}
	if zone != (kind == columnar.Instant) {
		return 0, 0, false
	}
	return days*columnar.MicrosPerDay + micros - east, nanos, p.done()
}

// isoText is the text still to be read; bad is set by what does not fit, once and for all.
type isoText struct {
	b   []byte
	bad bool
}

func (p *isoText) done() bool { return !p.bad && len(p.b) == 0 }

// digits reads exactly n digits with a value between low and high.
func (p *isoText) digits(n int, low, high int64) int64 {
	if len(p.b) < n {
		p.bad = true
		return 0
	}
	var v int64
	for _, c := range p.b[:n] {
		if c < '0' || c > '9' {
			p.bad = true
			return 0
		}
		v = v*10 + int64(c-'0')
	}
	p.b = p.b[n:]
	p.bad = p.bad || v < low || v > high
	return v
}

// skip reads c if it is next.
func (p *isoText) skip(c byte) bool {
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *isoText) must(c byte) { p.bad = !p.skip(c) || p.bad }

// date reads YYYY-MM-DD.
func (p *isoText) date() int64 {
	y := p.digits(4, 0, 9999)
	p.must('-')
	m := p.digits(2, 1, 12)
	p.must('-')
	d := p.digits(2, 1, 31)
	if p.bad {
		return 0
	}
	days := columnar.Days(y, int(m), int(d))
	if _, month, _ := columnar.Civil(days); month != int(m) {
		p.bad = true // 31 February
	}
	return days
}

// clock reads HH:MM, HH:MM:SS or HH:MM:SS.FFF, with up to nine decimals and any number of zeros behind them.
func (p *isoText) clock() (micros, nanos int64) {
	micros = p.digits(2, 0, 23) * 3600_000_000
	p.must(':')
	micros += p.digits(2, 0, 59) * 60_000_000
	if !p.skip(':') {
		return micros, 0
	}
	micros += p.digits(2, 0, 59) * 1_000_000
	if !p.skip('.') {
		return micros, 0
	}
	if len(p.b) == 0 || p.b[0] < '0' || p.b[0] > '9' {
		p.bad = true
	}
	for unit := int64(100_000_000); len(p.b) > 0 && p.b[0] >= '0' && p.b[0] <= '9'; unit /= 10 {
		digit := int64(p.b[0] - '0')
		p.bad = p.bad || unit == 0 && digit != 0
		nanos += digit * unit
		p.b = p.b[1:]
	}
	return micros + nanos/1000, nanos % 1000
}

// zone reads Z, +HH:MM or -HH:MM, if there is one, as microseconds east of UTC.
func (p *isoText) zone() (east int64, found bool) {
	spaced := p.skip(' ')
	if p.skip('Z') || p.skip('z') {
		return 0, true
	}
	sign := int64(1)
	if p.skip('-') {
		sign = -1
	} else if !p.skip('+') {
		p.bad = p.bad || spaced
		return 0, false
	}
	h := p.digits(2, 0, 14)
	p.must(':')
	return sign * (h*60 + p.digits(2, 0, 59)) * 60_000_000, true
}
