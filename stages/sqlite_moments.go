package stages

import (
	"bytes"
	"fmt"
	"strings"

	"fanmill/pipeline/columnar"
)

// Dates and times are texts in SQLite, and every program writes them in its own way. Those that say one moment, and
// no other, are read: all that SQLite documents [SQLite, "Date And Time Functions" 2], and what the usual libraries
// write:
//
//	2024-02-29T13:45:06.123Z                     JavaScript, Java, .NET; also with t and z [RFC 3339]
//	2024-02-29T13:45:06.1234567+05:30            .NET "o"; Python, PHP, Java; also +0530 (Jackson), +05 (PostgreSQL), +05:53:28 (Python)
//	2024-02-29 13:45:06.123 +05:30               Sequelize
//	2024-02-29 13:45:06.123 +0530 IST m=+0.01    Go's Time.String; Ruby and Java end it after +0530
//	2024-02-29 13:45:06 UTC                      Ruby, BigQuery
//	2024-02-29T13:45:06+05:30[Asia/Kolkata]      Java's ZonedDateTime [RFC 9557]
//	2024-02-29 13:45:06,123                      Python's and Java's logs
//
// Nothing else is: days before months, years of two digits, AM and PM, and numbers of seconds have more than one
// meaning.

// parseISO reads a text as a value of kind: days for a Date, microseconds for the others and the nanoseconds (0 to 999)
// beyond. A Date may have a time if that is midnight, on whatever clock it is told. ok is false for all other texts,
// for days that do not exist, for more than nanoseconds, and where a zone is missing (Instant) or would be lost (Time,
// Timestamp).
func parseISO(b []byte, kind columnar.Kind) (v, nanos int64, ok bool) {
	if kind == columnar.Time {
		p := isoText{b: b}
		micros, nanos := p.clock()
		return micros, nanos, p.done()
	}
	m, ok := parseMoment(b)
	switch {
	case !ok:
		return 0, 0, false
	case kind == columnar.Date:
		return m.days, 0, m.micros == 0 && m.nanos == 0
	default:
		return m.utc(), m.nanos, m.zoned == (kind == columnar.Instant)
	}
}

// sqliteMoment is a moment as it is written.
type sqliteMoment struct {
	days, micros, nanos int64 // since 1970; of the day; beyond these
	east                int64 // microseconds
	zoned               bool
}

// utc is the moment in microseconds since 1970, on the clock of UTC if it has a zone.
func (m *sqliteMoment) utc() int64 { return m.days*columnar.MicrosPerDay + m.micros - m.east }

// parseMoment reads a date, with or without a time.
func parseMoment(b []byte) (m sqliteMoment, ok bool) {
	p := isoText{b: b}
	if m.days = p.date(); len(p.b) > 0 && !p.bad {
		if c := p.b[0]; c != ' ' && c != 'T' && c != 't' {
			return m, false
		}
		p.b = p.b[1:]
		m.micros, m.nanos = p.clock()
		if len(p.b) > 0 && !p.bad {
			m.east, m.zoned = p.zone()
		}
	}
	return m, p.done()
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

// digit reports whether a digit is next.
func (p *isoText) digit() bool { return len(p.b) > 0 && p.b[0] >= '0' && p.b[0] <= '9' }

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
	if !p.skip('.') && !p.skip(',') {
		return micros, 0
	}
	p.bad = p.bad || !p.digit()
	for unit := int64(100_000_000); p.digit(); unit /= 10 {
		digit := int64(p.b[0] - '0')
		p.bad = p.bad || unit == 0 && digit != 0
		nanos += digit * unit
		p.b = p.b[1:]
	}
	return micros + nanos/1000, nanos % 1000
}

// zone reads what tells the zone, and whatever says it once more, as microseconds east of UTC.
func (p *isoText) zone() (east int64, found bool) {
	if p.skip(' ') {
		for _, word := range [2]string{"UTC", "GMT"} {
			if rest, ok := bytes.CutPrefix(p.b, []byte(word)); ok {
				p.b = rest
				return 0, true
			}
		}
		p.bad = p.bad || len(p.b) == 0
	}
	if p.skip('Z') || p.skip('z') {
		p.region()
		return 0, true
	}
	east, bare, found := p.offset()
	if !found {
		return 0, false // what is there is none, and nobody reads it
	}
	if bare {
		p.goName(east)
	} else {
		p.region()
	}
	return east, true
}

// offset reads +HH:MM, +HH:MM:SS, +HHMM or +HH, if there is one, as microseconds east of UTC; bare is +HHMM.
func (p *isoText) offset() (east int64, bare, found bool) {
	sign := int64(1)
	if p.skip('-') {
		sign = -1
	} else if !p.skip('+') {
		return 0, false, false
	}
	east = p.digits(2, 0, 14) * 3600
	switch {
	case p.skip(':'):
		if east += p.digits(2, 0, 59) * 60; p.skip(':') {
			east += p.digits(2, 0, 59)
		}
	case p.digit():
		bare = true
		east += p.digits(2, 0, 59) * 60
	}
	return sign * east * 1_000_000, bare, true
}

// region reads [Asia/Kolkata], if it is there: the offset before it has said which moment it is.
func (p *isoText) region() {
	if !p.skip('[') {
		return
	}
	end := bytes.IndexByte(p.b, ']')
	if end < 1 {
		p.bad = true
		return
	}
	for _, c := range p.b[:end] {
		p.bad = p.bad || !wordByte(c) && c != '/' && c != '+' && c != '-'
	}
	p.b = p.b[end+1:]
}

// goName reads what Go adds to an offset, if it is there: the zone's name, and the reading of another clock. A name is
// an abbreviation of at least three letters, of which the last is a capital, or the offset again. So it is not PM, BC
// or BCE, with which the moment would be another one.
func (p *isoText) goName(east int64) {
	if len(p.b) == 0 {
		return
	}
	p.must(' ')
	name, clock, more := bytes.Cut(p.b, []byte{' '})
	if len(name) > 0 && (name[0] == '+' || name[0] == '-') {
		again := isoText{b: name}
		same, _, _ := again.offset()
		p.bad = p.bad || !again.done() || same != east
	} else {
		p.bad = p.bad || len(name) < 3 || len(name) > 6 || !capital(name[0]) || !capital(name[len(name)-1]) || string(name) == "BCE"
		for _, c := range name {
			p.bad = p.bad || !capital(c) && !capital(c-'a'+'A')
		}
		if s := string(name); s == "UTC" || s == "GMT" {
			p.bad = p.bad || east != 0
		}
	}
	if p.b = nil; more {
		p.b = clock
		p.monotonic()
	}
}

// monotonic reads m=+0.012345678.
func (p *isoText) monotonic() {
	p.must('m')
	p.must('=')
	if !p.skip('-') {
		p.must('+')
	}
	p.number()
	p.must('.')
	p.number()
}

// number reads a digit or more.
func (p *isoText) number() {
	p.bad = p.bad || !p.digit()
	for p.digit() {
		p.b = p.b[1:]
	}
}

func capital(c byte) bool { return c >= 'A' && c <= 'Z' }

// zoneNotes names the columns in which some dates and times have a zone and some have none, in one line.
func zoneNotes(cols []sqliteCells) []string {
	const limit = 4
	var named []string
	more := 0
	for i := range cols {
		c := &cols[i]
		switch {
		case c.zoned == 0 || c.bare == 0:
		case len(named) == limit:
			more++
		default:
			named = append(named, fmt.Sprintf("%s (%d of %d)", c.declared.Name, c.zoned, c.zoned+c.bare))
		}
	}
	if len(named) == 0 {
		return nil
	}
	if more > 0 {
		named = append(named, fmt.Sprintf("%d columns more", more))
	}
	return []string{"dates and times with a time zone, which are shown in the job's, beside others without one, which are shown as they are: " + strings.Join(named, ", ")}
}
