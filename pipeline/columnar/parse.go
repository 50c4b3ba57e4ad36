package columnar

import "bytes"

// ParseMoment reads the text that a value of a column declared as Date, Time, Timestamp or Instant has in a batch that became text:
// microseconds as the kind counts them (of a date: those at its midnight) and 0 to 999 nanoseconds. ok is false for any other text,
// also for one that says the same in other words: what is read is written again as the same bytes. So one odd value, such as
// infinity, leaves its neighbours in the batch what they are.
func ParseMoment(s []byte, kind Kind) (micros, nanos int64, ok bool) {
	rest := s
	var days, sec, frac int64
	negative := false
	if kind == Time {
		rest, negative = bytes.CutPrefix(rest, []byte("-"))
	} else if days, rest, ok = cutDate(rest); !ok {
		return 0, 0, false
	}
	if kind == Timestamp || kind == Instant {
		if rest, ok = bytes.CutPrefix(rest, []byte(" ")); !ok {
			return 0, 0, false
		}
	}
	if kind != Date {
		if sec, frac, rest, ok = cutClock(rest); !ok {
			return 0, 0, false
		}
	}
	if negative {
		sec, frac = -sec, -frac
	}
	micros = days*MicrosPerDay + sec*1_000_000 + floorDiv(frac, 1000)
	nanos = frac - floorDiv(frac, 1000)*1000
	var again [64]byte
	if kind == Instant {
		rest, ok = bytes.CutSuffix(rest, []byte(utcOffset))
	}
	return micros, nanos, ok && len(rest) == 0 && bytes.Equal(AppendMoment(again[:0], kind, micros, nanos, 0), s)
}

// utcOffset is how the text of an instant ends in UTC.
const utcOffset = "+00:00"

// cutDate reads the date that s begins with, as days since 1970-01-01.
func cutDate(s []byte) (days int64, rest []byte, ok bool) {
	s, negative := bytes.CutPrefix(s, []byte("-"))
	year, s, _ := cutNumber(s, 6)
	month, s, ok1 := cutNumber(bytes.TrimPrefix(s, []byte("-")), 2)
	day, s, ok2 := cutNumber(bytes.TrimPrefix(s, []byte("-")), 2)
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, nil, false
	}
	if negative {
		year = -year
	}
	return Days(year, int(month), int(day)), s, true
}

// cutClock reads the time that s begins with, in seconds and nanoseconds.
func cutClock(s []byte) (sec, frac int64, rest []byte, ok bool) {
	hours, s, ok1 := cutNumber(s, 9)
	minutes, s, ok2 := cutNumber(bytes.TrimPrefix(s, []byte(":")), 2)
	seconds, s, ok3 := cutNumber(bytes.TrimPrefix(s, []byte(":")), 2)
	if !ok1 || !ok2 || !ok3 {
		return 0, 0, nil, false
	}
	if len(s) > 0 && s[0] == '.' {
		var after []byte
		if frac, after, ok = cutNumber(s[1:], 9); !ok {
			return 0, 0, nil, false
		}
		for range 9 - (len(s) - 1 - len(after)) {
			frac *= 10
		}
		s = after
	}
	return hours*3600 + minutes*60 + seconds, frac, s, true
}

// cutNumber reads the digits that s begins with, at most this many.
func cutNumber(s []byte, most int) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(s) && i < most && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0
}
