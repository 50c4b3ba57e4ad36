package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateTokens are the days that a parameter may name, each from today; days are midnights in UTC, so that no change of clocks counts.
var dateTokens = map[string]func(today time.Time) time.Time{
	"today":           func(t time.Time) time.Time { return t },
	"yesterday":       func(t time.Time) time.Time { return t.AddDate(0, 0, -1) },
	"weekStart":       func(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }, // Monday [ISO 8601]
	"monthStart":      func(t time.Time) time.Time { return day(t.Year(), t.Month(), 1) },
	"monthEnd":        func(t time.Time) time.Time { return day(t.Year(), t.Month()+1, 0) },
	"lastMonthStart":  func(t time.Time) time.Time { return day(t.Year(), t.Month()-1, 1) },
	"lastMonthEnd":    func(t time.Time) time.Time { return day(t.Year(), t.Month(), 0) },
	"yearStart":       func(t time.Time) time.Time { return day(t.Year(), time.January, 1) },
	"fiscalYearStart": fiscalYearStart,
}

// fiscalYearStart is the first of April, with which the financial year begins in India.
func fiscalYearStart(t time.Time) time.Time {
	if t.Month() < time.April {
		return day(t.Year()-1, time.April, 1)
	}
	return day(t.Year(), time.April, 1)
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

var (
	tokenForm  = regexp.MustCompile(`^\{([A-Za-z]\w*)((?:[+-]\w*)*)\}$`)
	offsetForm = regexp.MustCompile(`^([+-]\d{1,4}[dwmy])*$`)
	offsetPart = regexp.MustCompile(`([+-]\d{1,4})([dwmy])`)
	dayForm    = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// isDate reports whether a text is meant as a date: a day or a token. The error says what is wrong with one that is.
func isDate(text string) (bool, error) {
	if dayForm.MatchString(text) {
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return true, fmt.Errorf("%q is not a day of the calendar", text)
		}
		return true, nil
	}
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		return false, nil
	}
	if dateTokens[m[1]] == nil {
		names := slices.Sorted(maps.Keys(dateTokens))
		if like := Closest(m[1], names); like != "" {
			return true, fmt.Errorf("%s is not a date fanmill knows; did you mean {%s}?", text, like)
		}
		return true, fmt.Errorf("%s is not a date fanmill knows; it knows {%s}", text, strings.Join(names, "}, {"))
	}
	if !offsetForm.MatchString(m[2]) {
		return true, fmt.Errorf("%s: %q is not an offset; write -7d, +1w, -1m or -1y", text, m[2])
	}
	return true, nil
}

// resolveDate is the day that a text, which isDate has passed, means at a moment in its zone.
func resolveDate(text string, at time.Time) string {
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	// The end of a month stays one: {monthEnd-1m} is the last of the month before, also where that has more days.
	t, end := dateTokens[m[1]](day(at.Year(), at.Month(), at.Day())), strings.HasSuffix(m[1], "End")
	for _, o := range offsetPart.FindAllStringSubmatch(m[2], -1) {
		n, _ := strconv.Atoi(o[1]) // matched as such
		switch o[2] {
		case "d":
			t, end = t.AddDate(0, 0, n), false
		case "w":
			t, end = t.AddDate(0, 0, 7*n), false
		case "m":
			t = addMonths(t, n, end)
		case "y":
			t = addMonths(t, 12*n, end)
		}
	}
	return t.Format(time.DateOnly)
}

// addMonths keeps the day of the month, or the last one where the month is shorter: 31 March less a month is 28 February.
func addMonths(t time.Time, n int, end bool) time.Time {
	last := day(t.Year(), t.Month()+time.Month(n)+1, 0)
	if end {
		return last
	}
	return day(last.Year(), last.Month(), min(t.Day(), last.Day()))
}
