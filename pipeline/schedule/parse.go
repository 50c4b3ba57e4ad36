package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is one of the five, and the values that it may have.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var fields = [5]field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of the month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of the week", max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// nicknames are the texts that stand for five fields.
var nicknames = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// longestMonth has the most days that each month has.
var longestMonth = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// Parse reads five fields as crontab(5) has them: *, values, ranges, lists, steps, names of months and days; 7 is
// Sunday as 0 is. @hourly, @daily, @weekly, @monthly and @yearly are such fields. Errors say what helps.
//
// Crons differ where one field of days is a step of all, as */2, and the other one is given: to some either will do, to
// others both must hold. Parse refuses that. It refuses what never comes, such as 30 February.
func Parse(text string) (Spec, error) {
	parts := strings.Fields(text)
	if len(parts) == 1 && strings.HasPrefix(parts[0], "@") {
		of, ok := nicknames[strings.ToLower(parts[0])]
		if !ok {
			return Spec{}, fmt.Errorf("%q is no schedule; of the texts with @ there are @hourly, @daily, @weekly, @monthly and @yearly", text)
		}
		parts = strings.Fields(of)
	}
	switch len(parts) {
	case 5:
	case 6:
		return Spec{}, fmt.Errorf("the schedule %q has six fields; it is to have five: minute, hour, day of the month, month, day of the week. There are no seconds", text)
	default:
		return Spec{}, fmt.Errorf("the schedule %q has %d fields; it is to have five: minute, hour, day of the month, month, day of the week, as in \"30 1 * * *\" for 01:30 each day", text, len(parts))
	}
	var sets [5]uint64
	for i, part := range parts {
		set, err := fields[i].parse(part)
		if err != nil {
			return Spec{}, fmt.Errorf("the schedule %q: %w", text, err)
		}
		sets[i] = set
	}
	if sets[4]>>7&1 == 1 { // Sunday has two numbers
		sets[4] = sets[4]&^(1<<7) | 1
	}
	s := Spec{text: strings.Join(strings.Fields(text), " "), minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4],
		anyDay: parts[2] == "*", anyWeekday: parts[4] == "*"}
	if !s.anyDay && !s.anyWeekday && (strings.HasPrefix(parts[2], "*") || strings.HasPrefix(parts[4], "*")) {
		return Spec{}, fmt.Errorf("the schedule %q: %s beside %s means different days to different crons; write the step with its range, as 1-31/2: then either of the two fields will do", text, parts[2], parts[4])
	}
	if !s.comes() {
		return Spec{}, fmt.Errorf("the schedule %q never comes: no such month has that day", text)
	}
	return s, nil
}

// comes reports whether there is a day of the spec.
func (s Spec) comes() bool {
	for month := 1; month <= 12; month++ {
		for day := 1; day <= longestMonth[month]; day++ {
			if s.months>>month&1 == 1 && (s.days>>day&1 == 1 || !s.anyDay && !s.anyWeekday) {
				return true
			}
		}
	}
	return false
}

// parse is the set of values that a field's text names.
func (f field) parse(text string) (set uint64, _ error) {
	for item := range strings.SplitSeq(text, ",") {
		of, err := f.item(item)
		if err != nil {
			return 0, err
		}
		set |= of
	}
	return set, nil
}

// item is *, a value or a range, with a step or without.
func (f field) item(text string) (set uint64, _ error) {
	span, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.max {
			return 0, fmt.Errorf("the step %q of the %s is to be a number from 1 to %d", stepText, f.name, f.max)
		}
	}
	first, last := f.min, f.max
	if span == "*" {
		if f.max == 7 {
			last = 6 // 7 is 0 again
		}
	} else {
		from, to, isRange := strings.Cut(span, "-")
		var err error
		if first, err = f.value(from); err != nil {
			return 0, err
		}
		switch {
		case isRange:
			if last, err = f.value(to); err != nil {
				return 0, err
			}
			if last < first && f.max == 7 && last == 0 {
				last = 7 // fri-sun
			}
			if last < first {
				return 0, fmt.Errorf("the range %q of the %s ends before it begins; write two, as %s-%d,%d-%s", span, f.name, from, f.max, f.min, to)
			}
		case stepped:
			return 0, fmt.Errorf("%q of the %s has a step and no range; write %s-%d/%d", text, f.name, from, f.max, step)
		default:
			last = first
		}
	}
	for v := first; v <= last; v += step {
		set |= 1 << v
	}
	return set, nil
}

// value is a number, or a name.
func (f field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err == nil && int(n) >= f.min && int(n) <= f.max {
		return int(n), nil
	}
	also := ""
	if len(f.names) > 0 {
		also = ", or a name such as " + f.names[1]
	}
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("the %s is a number from %d to %d%s, not %s", f.name, f.min, f.max, also, text)
	}
	return 0, fmt.Errorf("%q is no %s: that is *, a number from %d to %d%s, a range as 1-5, a list as 1,3, or a step as */2", text, f.name, f.min, f.max, also)
}
