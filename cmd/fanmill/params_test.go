package main

import (
	"strings"
	"testing"
	"time"
)

// Parameters are values of the run: dates are fixed when it begins, --param gives others, a resume keeps those of the run, and is refused
// with others, naming both.
func TestParams(t *testing.T) {
	t.Parallel()
	db := sqliteDB(t, `create table sale (id integer, day date, place text);
		with recursive n(i) as (select 0 union all select i + 1 from n where i < 800)
		insert into sale select i, date('now', (100 - i) || ' days'), case i % 2 when 0 then 'north' else 'so''uth' end from n`)
	query := "select day, place from sale where day between :from and :to and (:place is null or place = :place) order by day"
	job := object{"id": "gst", "query": query, "params": object{"from": "{monthStart-1m}", "to": "{yesterday}", "place": nil}, "connections": []object{
		{"id": "a", "driver": "sqlite", "dsn": db}, {"id": "b", "driver": "sqlite", "dsn": db}},
		"destinations": []object{{"type": "csv", "filePath": outPath("gst.csv"), "includeHeaders": false, "connectionColumn": true}}}
	w := newJob(t, job)

	v, _ := w.runJSON(exitComplete, nil)
	began, err := time.Parse(time.RFC3339Nano, v.Started)
	if err != nil {
		t.Fatal(err)
	}
	today := began.UTC().Truncate(24 * time.Hour)
	w.days("a b", time.Date(today.Year(), today.Month()-1, 1, 0, 0, 0, 0, time.UTC), today.AddDate(0, 0, -1), "")

	from, to := today.AddDate(0, 0, -9), today.AddDate(0, 0, -4)
	given := []string{"--param", "from=" + from.Format(time.DateOnly), "--param", "to={today-4d}", "--param", "place=so'uth"}
	if code, out := w.run([]string{"FANMILL_FAILPOINT=before-cas"}, given...); code != -1 {
		t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
	}
	out := w.mustRun(exitFailed, nil, "--resume", "--param", "from="+to.Format(time.DateOnly))
	for _, want := range []string{"cannot be resumed", "params were {from=" + from.Format(time.DateOnly) + ", ", "are {from=" + to.Format(time.DateOnly) + ", "} {
		if !strings.Contains(out, want) {
			t.Errorf("the refusal does not say %q:\n%s", want, out)
		}
	}
	w.mustRun(exitComplete, nil, "--resume")
	w.days("a b", from, to, "so'uth")

	for _, c := range []struct{ param, want string }{
		{"form=2026-04-01", `did you mean "from"?`},
		{"from=soon", `"soon" is not a date`},
		{"from=2026-02-30", "not a day of the calendar"},
	} {
		if out := w.mustRun(exitBadJob, nil, "--param", c.param); !strings.Contains(out, c.want) {
			t.Errorf("of --param %s it says:\n%s", c.param, out)
		}
	}
}

// days checks that the CSV has these days of each connection, of one place or all.
func (w *world) days(connections string, from, to time.Time, place string) {
	w.t.Helper()
	epoch := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 100)
	var want strings.Builder
	for _, c := range strings.Fields(connections) {
		for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
			at := "north"
			if int(epoch.Sub(day).Hours()/24)%2 == 1 {
				at = "so'uth"
			}
			if place == "" || place == at {
				want.WriteString(c + "," + day.Format(time.DateOnly) + "," + at + "\r\n")
			}
		}
	}
	w.holds("gst.csv", want.String())
}
