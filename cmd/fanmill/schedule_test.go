package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fanmill/internal/web"
)

// setSchedule gives the job of the world a schedule, by hand as a person would.
func (w *world) setSchedule(zone string, at any) {
	w.t.Helper()
	data, err := os.ReadFile(w.job())
	if err != nil {
		w.t.Fatal(err)
	}
	var job object
	if err := json.Unmarshal(data, &job); err != nil {
		w.t.Fatal(err)
	}
	job["timeZone"], job["schedule"] = zone, at
	writeJob(w.t, w.job(), job)
}

// seen is a page, or what the API answers.
func seen(t *testing.T, url string) string {
	t.Helper()
	status, text := get(t, url)
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", url, status, text)
	}
	return text
}

// The times that follow are those of the file that nobody serves yet, with what clocks do to them.
func TestScheduleNextOfAFile(t *testing.T) {
	w := newWorld(t, 3)
	w.setSchedule("Africa/Cairo", []any{"30 0 * * mon", object{"at": "0 6 1 1 *", "missed": "skip"}})
	code, out, problems := call("schedule", "next", w.job(), "-n", "200", "--json")
	var lines []slotLine
	if err := json.Unmarshal([]byte(out), &lines); err != nil || code != exitComplete || len(lines) != 200 {
		t.Fatalf("code %d, %v: %s%s", code, err, out, problems)
	}
	for i, l := range lines {
		local := l.Next.Format("Mon 15:04")
		if l.At == "30 0 * * mon" && local != "Mon 00:30" || l.At != "30 0 * * mon" && l.Next.Format("01-02 15:04") != "01-01 06:00" || i > 0 && !l.Next.After(lines[i-1].Next) {
			t.Errorf("%+v", l)
		}
	}
	w.setSchedule("Europe/Berlin", "30 2 * 3 sun") // one of them does not exist, each year
	code, out, _ = call("schedule", "next", w.job(), "-n", "5")
	if code != exitComplete || strings.Count(out, "does not exist in Europe/Berlin; it runs at 03:00") != 1 {
		t.Errorf("code %d:\n%s", code, out)
	}
	w.setSchedule("Europe/Berlin", "30 25 * * *")
	if code, _, problems := call("schedule", "next", w.job()); code != exitBadJob || !strings.Contains(problems, "the hour is a number from 0 to 23, not 25") {
		t.Errorf("code %d: %s", code, problems)
	}
}

// A job's schedule is listed, paused and resumed, by the commands and by the page alike; an edit of its file counts.
func TestSchedulesOfWhoServes(t *testing.T) {
	w := newWorld(t, 3)
	w.setSchedule("Asia/Kolkata", "30 1 1 1 *")
	s := w.serve("--http", "127.0.0.1:0")
	s.says(`job gst runs by itself at "30 1 1 1 *", next at `)
	if code, said := w.ask("schedule", "ls"); code != exitComplete || !strings.Contains(said, `gst  "30 1 1 1 *"  next `) || !strings.Contains(said, "01-01 01:30 IST") || !strings.Contains(said, "has not run by it yet") {
		t.Errorf("ls: code %d:\n%s", code, said)
	}
	if code, said := w.ask("schedule", "next", "gst", "-n", "2"); code != exitComplete || strings.Count(said, "01-01 01:30 IST") != 2 {
		t.Errorf("next: code %d:\n%s", code, said)
	}
	job := func() (j web.Job) {
		t.Helper()
		if err := json.Unmarshal([]byte(seen(t, s.page()+"api/v1/jobs/gst")), &j); err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j := job(); len(j.Schedules) != 1 || j.Schedules[0].Next.UTC().Format("01-02 15:04") != "12-31 20:00" || j.Paused != nil {
		t.Errorf("%+v", j.Schedules)
	}
	if code, said := w.ask("schedule", "pause", "gst"); code != exitComplete || !strings.Contains(said, "job gst does not run by itself until somebody resumes its schedule") {
		t.Errorf("pause: code %d: %s", code, said)
	}
	if j := job(); j.Paused == nil || !j.Next().IsZero() {
		t.Errorf("%+v", j)
	}
	if code, said := w.ask("schedule", "ls"); code != exitComplete || !strings.Contains(said, "paused by ") {
		t.Errorf("ls: code %d:\n%s", code, said)
	}
	w.setSchedule("Asia/Kolkata", []any{"30 1 1 1 *", object{"at": "@monthly", "resume": true}})
	w.putJob()
	s.says(`job gst runs by itself at "@monthly"`)
	c := s.client()
	if status, said := c.do("POST", "jobs/gst/schedule/pause", web.Change{Revision: "on"}); status != http.StatusConflict || !strings.Contains(said, "has paused it") {
		t.Errorf("pause by who saw it go on: status %d: %s", status, said)
	}
	if status, said := c.do("POST", "jobs/gst/schedule/resume", web.Change{Revision: "paused"}); status != http.StatusOK || !strings.Contains(said, "job gst runs by itself again, next at ") {
		t.Errorf("resume: status %d: %s", status, said)
	}
	if j := job(); j.Paused != nil || len(j.Schedules) != 2 || j.Schedules[0].Next.Before(time.Now()) || !strings.Contains(j.Schedules[0].Asks+j.Schedules[1].Asks, "goes on with an unfinished run") {
		t.Errorf("%+v", j)
	}
	page := seen(t, s.page()+"jobs/gst")
	for _, want := range []string{"Runs by itself", "<code>@monthly</code>", "Pause its schedule"} {
		if !strings.Contains(page, want) {
			t.Errorf("the job's page lacks %q", want)
		}
	}
	if code, said := w.ask("schedule", "pause", "other"); code != exitFailed || !strings.Contains(said, "fanmill schedule ls lists those that do") {
		t.Errorf("pause of a job without a schedule: code %d: %s", code, said)
	}
	if text := seen(t, s.page()+"metrics"); !strings.Contains(text, `fanmill_job_next_scheduled_timestamp_seconds{job="gst"}`) || strings.Contains(text, "fanmill_job_last_scheduled_timestamp_seconds{") {
		t.Error("metrics lack when it runs next, or have a last time that there was none of")
	}
}
