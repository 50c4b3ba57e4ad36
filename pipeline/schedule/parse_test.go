package schedule_test

import (
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/schedule"
)

func TestParseSaysWhatHelps(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "has 0 fields; it is to have five",
		"30 1 * *":          "has 4 fields",
		"0 30 1 * * *":      "There are no seconds",
		"@every 1h":         "has 2 fields",
		"@reboot":           "there are @hourly",
		"60 1 * * *":        "the minute is a number from 0 to 59, not 60",
		"30 24 * * *":       "the hour is a number from 0 to 23, not 24",
		"30 1 0 * *":        "the day of the month is a number from 1 to 31, not 0",
		"30 1 * 13 *":       "the month is a number from 1 to 12, or a name such as feb, not 13",
		"30 1 * * 8":        "the day of the week is a number from 0 to 7, or a name such as mon, not 8",
		"30 1 L * *":        `"L" is no day of the month`,
		"30 1 * * mon#2":    `"mon#2" is no day of the week`,
		"30 -1 * * *":       `"" is no hour`,
		"30 22-2 * * *":     "ends before it begins; write two, as 22-23,0-2",
		"30 5/2 * * *":      "has a step and no range; write 5-23/2",
		"*/0 * * * *":       "the step \"0\" of the minute is to be a number from 1 to 59",
		"30 1 30 2 *":       "never comes",
		"30 1 31 2,4,6,9 *": "never comes",
		"30 1 */2 * 1":      "means different days to different crons; write the step with its range",
		"30 1 1 * */2":      "means different days to different crons",
		"30 1 99999999 * *": "the day of the month is a number from 1 to 31, not 99999999",
		"30 1 1,,2 * *":     `"" is no day of the month`,
	} {
		if _, err := schedule.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want ... %s ...", text, err, want)
		}
	}
}

// Texts that mean the same have the same slots.
func TestParseSpellings(t *testing.T) {
	for _, same := range [][]string{
		{"0 0 * * *", "@daily", "@midnight", " 0  0\t* * * "},
		{"0 0 * * 0", "@weekly", "0 0 * * 7", "0 0 * * SUN"},
		{"0 0 * * 5-7", "0 0 * * fri-sun", "0 0 * * 0,5,6"},
		{"0 0 1 1 *", "@yearly", "0 0 1 jan *"},
		{"0,20,40 * * * *", "*/20 * * * *", "0-59/20 * * * *"},
		{"0 6 * * */2", "0 6 * * 0,2,4,6"},
		{"0 6 29 2 *", "0 6 29 Feb *"},
	} {
		at := time.Date(2027, 2, 3, 4, 5, 6, 0, time.UTC)
		for range 40 {
			want := parse(t, same[0]).Next(at, time.UTC).At
			for _, text := range same[1:] {
				if got := parse(t, text).Next(at, time.UTC).At; !got.Equal(want) {
					t.Errorf("%q after %s: %s; %q: %s", text, at, got, same[0], want)
				}
			}
			at = want
		}
	}
}

// Whatever is parsed has a next slot, and never one that is not later.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"30 1 * * *", "*/15 8-17 * * mon-fri", "0 0 29 2 *", "@weekly", "0 0 31 1-12/2 7", "0 0 30 feb *"} {
		f.Add(text, int64(1_800_000_000))
	}
	berlin, err := schedule.Zone("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := schedule.Parse(text)
		if err != nil {
			return
		}
		after := time.Unix(unix%(1<<33), 0)
		slot := s.Next(after, berlin)
		if !slot.At.After(after) {
			t.Errorf("%q after %s: %s", text, after, slot.At)
		}
		again, err := schedule.Parse(s.String())
		if err != nil || !again.Next(after, berlin).At.Equal(slot.At) {
			t.Errorf("%q is %q, which is not the same: %v", text, s, err)
		}
	})
}

func TestZone(t *testing.T) {
	for name, good := range map[string]bool{"": true, "UTC": true, "Asia/Kolkata": true, "Local": false, "Mars/Olympus": false} {
		if _, err := schedule.Zone(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
