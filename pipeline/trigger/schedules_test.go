package trigger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

var halfPastOne = pipeline.Schedule{At: "30 1 * * *"}

func wantRuns(t *testing.T, c *clockTower, want ...string) {
	t.Helper()
	if got := c.ids(); !slices.Equal(got, want) {
		t.Errorf("runs were asked for of %v, want %v", got, want)
	}
}

// Over two nights a process is killed at every step that others see, once before it happens and once after, and at
// every later one again. Whoever serves next has each slot run once, and the next alarm set.
func TestOneSlotIsOneRunWhateverIsKilledWhen(t *testing.T) {
	nights := []time.Time{at("2027-03-27 00:30"), at("2027-03-28 00:30"), at("2027-03-29 00:00")}
	cases := 0
	drive := func(t *testing.T, kills []int, before bool) (steps []int) {
		c := newClockTower(t, at("2027-03-26 12:00"))
		job := nightly(at("2027-03-01 00:00"), halfPastOne)
		next := func() *scheduler {
			p := c.process(job)
			if len(steps) < len(kills) {
				p.killAt, p.before = kills[len(steps)], before
			}
			return p
		}
		p := next()
		for _, night := range append([]time.Time{c.time}, nights...) {
			c.until(night)
			for p.serve(); p.dead; p.serve() {
				steps = append(steps, p.steps)
				p = next()
			}
		}
		steps = append(steps, p.steps)
		if c.until(nights[2].Add(time.Minute)); len(c.alarms) != 1 {
			t.Errorf("killed at %v (before it: %t): %d alarms are set", kills, before, len(c.alarms))
		}
		for _, a := range c.alarms {
			if want := at("2027-03-29 23:30"); !a.At.Equal(want) {
				t.Errorf("killed at %v (before it: %t): the next alarm is at %s", kills, before, a.At)
			}
		}
		if got, want := c.ids(), []string{"20270327T003000Z", "20270328T003000Z", "20270328T233000Z"}; !slices.Equal(got, want) {
			t.Errorf("killed at %v (before it: %t): runs were asked for of %v", kills, before, got)
		}
		cases++
		return steps
	}
	for _, before := range []bool{true, false} {
		all := drive(t, nil, before)[0]
		for first := 1; first <= all; first++ {
			left := drive(t, []int{first}, before)
			for second := 1; second <= left[1]; second++ {
				drive(t, []int{first, second}, before)
			}
		}
	}
	if cases < 100 {
		t.Errorf("%d cases", cases)
	}
}

// Times that nobody served: one run makes up for them, or none does.
func TestMissedTimes(t *testing.T) {
	friday, monday := at("2027-05-07 12:00"), at("2027-05-10 06:30") // 01:30 in Berlin is 23:30 of the day before
	for _, c := range []struct {
		name   string
		s      pipeline.Schedule
		until  time.Time
		runs   []string
		missed int
		left   bool
	}{
		{"run", halfPastOne, monday, []string{"20270509T233000Z"}, 2, false},
		{"skip", pipeline.Schedule{At: "30 1 * * *", Missed: pipeline.MissedSkip}, monday, nil, 0, true},
		{"skip, and back in the minute of one", pipeline.Schedule{At: "30 1 * * *", Missed: pipeline.MissedSkip}, at("2027-05-09 23:30"), []string{"20270509T233000Z"}, 2, false},
		{"within, too late", pipeline.Schedule{At: "30 1 * * *", Within: pipeline.Duration(2 * time.Hour)}, monday, nil, 0, true},
		{"within, in time", pipeline.Schedule{At: "30 1 * * *", Within: pipeline.Duration(8 * time.Hour)}, monday, []string{"20270509T233000Z"}, 2, false},
		{"every minute, for a month", pipeline.Schedule{At: "* * * * *"}, at("2027-06-07 12:00"), []string{"20270607T120000Z"}, 10_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tower := newClockTower(t, friday)
			tower.process(nightly(friday, c.s)).serve()
			tower.until(c.until)
			p := tower.process(nightly(friday, c.s))
			p.serve()
			wantRuns(t, tower, c.runs...)
			for id, e := range tower.timetable().Entries {
				if e.Missed != c.missed || e.Skipped.IsZero() == c.left {
					t.Errorf("%+v", e)
				}
				if !e.Next.After(tower.time) || !tower.alarms[pipeline.TopicDue("gst", id)].At.Equal(e.Next) {
					t.Errorf("next is %s, and the alarm at %v", e.Next, tower.alarms)
				}
				if len(c.runs) == 0 {
					if !strings.Contains(p.said.String(), "no run makes up for that") {
						t.Errorf("it said %s", p.said.String())
					}
					continue
				}
				note, err := checkpoint.LoadTriggerNote(t.Context(), tower.runs, e.Run)
				if err != nil || note.Scheduled == nil || !note.Scheduled.For.Equal(e.Last) || note.Scheduled.Missed != c.missed {
					t.Errorf("the note of run %s: %+v, %v", e.Run, note.Scheduled, err)
				}
			}
		})
	}
}

// A trigger has what its schedule says.
func TestTriggersOfSchedules(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	p := tower.process(nightly(tower.time, pipeline.Schedule{At: "0 15 * * *", Resume: true, Params: []byte(`{"from": "{yesterday}", "n": 12345678901234567890}`)}))
	p.serve()
	tower.until(at("2027-05-07 13:00"))
	p.serve()
	for _, wants := range tower.asks {
		if !wants.Resume || fmt.Sprint(wants.Params) != "map[from:{yesterday} n:12345678901234567890]" {
			t.Errorf("%+v", wants)
		}
	}
	wantRuns(t, tower, "20270507T130000Z")
	tower.answer = pipeline.Answer{Skipped: true, Error: "the job is running"}
	tower.until(at("2027-05-08 13:00"))
	p.serve()
	if !strings.Contains(p.said.String(), "the job is running") {
		t.Errorf("it said %s", p.said.String())
	}
}

// An edit counts from now on; a pause, its end, and a time that was changed replay nothing.
func TestEditsReplayNothing(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	p := tower.process(nightly(tower.time, halfPastOne))
	p.serve()
	tower.until(at("2027-05-07 23:30"))
	p.serve()
	wantRuns(t, tower, "20270507T233000Z")

	tower.until(at("2027-05-08 03:00")) // 05:00 there: 02:15 is over for today
	p.files.jobs = []ServedJob{nightly(tower.time, pipeline.Schedule{At: "15 2 * * *"}, pipeline.Schedule{At: "0 6 * * *"})}
	if !p.edited() {
		t.Error("the edit is not seen")
	}
	p.serve()
	if len(tower.alarms) != 2 {
		t.Errorf("alarms: %v", tower.alarms)
	}
	tower.until(at("2027-05-08 04:00"))
	p.serve()
	wantRuns(t, tower, "20270507T233000Z", "20270508T040000Z")

	if _, changed, err := checkpoint.PauseJob(t.Context(), tower.jobs, "gst", checkpoint.Hand{By: "me"}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	p.serve()
	if len(tower.alarms) != 0 {
		t.Errorf("alarms of a paused job: %v", tower.alarms)
	}
	tower.until(at("2027-05-10 03:00"))
	p.serve()
	if _, changed, err := checkpoint.ResumeJob(t.Context(), tower.jobs, "gst", tower.time); err != nil || !changed {
		t.Fatal(changed, err)
	}
	p.serve()
	wantRuns(t, tower, "20270507T233000Z", "20270508T040000Z")
	tower.until(at("2027-05-10 04:00"))
	p.serve()
	wantRuns(t, tower, "20270507T233000Z", "20270508T040000Z", "20270510T040000Z")
}

// Removing the first of two schedules leaves the other one as it is, and an alarm that went off for what is gone is for
// nothing.
func TestSchedulesAreNotNumbered(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	p := tower.process(nightly(tower.time, halfPastOne, pipeline.Schedule{At: "0 6 * * *"}))
	p.serve()
	tower.until(at("2027-05-08 00:00")) // of the first
	before := tower.timetable().Entries
	p.files.jobs = []ServedJob{nightly(tower.time, pipeline.Schedule{At: "0 6 * * *"})}
	p.serve()
	after := tower.timetable().Entries
	if len(before) != 2 || len(after) != 1 {
		t.Fatalf("%v, then %v", before, after)
	}
	for id, e := range after {
		if !reflect.DeepEqual(e, before[id]) {
			t.Errorf("%+v, was %+v", e, before[id])
		}
	}
	if wantRuns(t, tower); len(tower.due) != 0 {
		t.Errorf("left: %v", tower.due)
	}
}

// Two hosts have different copies of a file: what was written last counts, also to who reads the older one again and
// again, and the alarm is set once.
func TestTwoHostsWithDifferentFiles(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	old, young := nightly(at("2027-05-01 00:00"), halfPastOne), nightly(at("2027-05-02 00:00"), pipeline.Schedule{At: "0 3 * * *"})
	young.From.From = "gst.json on b"
	a, b := tower.process(old), tower.process(young)
	a.serve()
	b.serve()
	seq := tower.seq
	for range 5 {
		a.serve()
		b.serve()
	}
	if tower.seq != seq || !tower.says(young.Job) {
		t.Errorf("%d alarms were set; it says %+v", tower.seq-seq, tower.timetable())
	}
	if n := strings.Count(a.said.String(), "are not those that count, which were read from gst.json on b later"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	// An edit on the first host, whose clock does not matter as it was seen there, and one on the second.
	a.files.jobs = []ServedJob{nightly(at("2027-05-03 00:00"), pipeline.Schedule{At: "0 4 * * *"})}
	a.serve()
	b.serve()
	if !tower.says(a.files.jobs[0].Job) {
		t.Error("the edit does not count")
	}
	// Versions of the store have an order of their own.
	stored := nightly(at("2027-05-04 00:00"), halfPastOne)
	stored.From = checkpoint.Edition{From: "the store", Version: 3, Edited: at("2027-05-04 00:00")}
	older := nightly(at("2027-05-04 00:00"), pipeline.Schedule{At: "0 9 * * *"})
	older.From = checkpoint.Edition{From: "the store", Version: 2, Edited: at("2027-05-04 00:00")}
	tower.process(stored).serve()
	tower.process(older).serve()
	if !tower.says(stored.Job) {
		t.Error("an older version counts")
	}
}

// The very file that counts was replaced by an older one while nobody looked: it counts once it has stayed so.
func TestAnOldFileIsPutBack(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	tower.process(nightly(at("2027-05-02 00:00"), halfPastOne)).serve()
	back := nightly(at("2027-05-01 00:00"), pipeline.Schedule{At: "0 9 * * *"})
	p := tower.process(back)
	for range 2 {
		if p.serve(); tower.says(back.Job) {
			t.Error("it counts at once")
		}
	}
	if p.serve(); !tower.says(back.Job) {
		t.Error("it does not count")
	}
}

// A job that is gone runs no more; a file that is gone for a moment only is not.
func TestGoneJobsRunNoMore(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	job := nightly(tower.time, halfPastOne)
	p := tower.process(job)
	p.serve()
	p.files.jobs, p.files.gone["gst"] = nil, true
	p.serve()
	p.files.jobs, p.files.gone["gst"] = []ServedJob{job}, false
	p.serve()
	p.files.jobs, p.files.gone["gst"] = nil, true
	p.serve()
	if len(tower.alarms) != 1 {
		t.Error("it is gone at once")
	}
	if p.serve(); len(tower.alarms) != 0 || len(tower.timetable().Entries) != 0 {
		t.Errorf("it runs by itself still: %+v", tower.timetable())
	}
}

// An alarm that goes off twice, for what is done with, or too early, is one run; one that is lost is set anew.
func TestAlarmsThatAreWrong(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	p := tower.process(nightly(tower.time, halfPastOne))
	p.serve()
	tower.until(at("2027-05-07 23:30"))
	twice := *tower.due[0]
	p.serve()
	tower.due = append(tower.due, &twice)
	p.serve()
	clear(tower.alarms)
	p.serve()
	if len(tower.alarms) != 1 {
		t.Error("the alarm is not set anew")
	}
	wantRuns(t, tower, "20270507T233000Z")
	// The server slept: its timer does not go off when it is time.
	tower.time = at("2027-05-09 00:00")
	p.serve()
	wantRuns(t, tower, "20270507T233000Z", "20270508T233000Z")
	for id, n := range tower.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", id, n)
		}
	}
}

// Two processes have the same alarm in hand, as the first one was slow: one run, and the schedule moves on once.
func TestTwoTakeOneAlarm(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	job := nightly(tower.time, halfPastOne)
	a, b := tower.process(job), tower.process(job)
	a.serve()
	tower.until(at("2027-05-07 23:30"))
	m := tower.due[0]
	tower.during = func() {
		if err := b.schedules.due(t.Context(), m); err != nil {
			t.Error(err)
		}
		tower.time = at("2027-05-07 23:31")
	}
	a.serve()
	wantRuns(t, tower, "20270507T233000Z")
	if e := tower.timetable().Entries; len(tower.alarms) != 1 || len(e) != 1 {
		t.Errorf("%v, %v", tower.alarms, e)
	}
}

// A process whose clock is wrong sets no alarm and takes none, and says so once.
func TestAWrongClock(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	wrong := tower.process(nightly(tower.time, halfPastOne))
	wrong.off = -2 * time.Hour
	if _, err := wrong.look(t.Context()); err == nil || !strings.Contains(err.Error(), "the clock of this host is 2h0m0s behind that of the NATS server") {
		t.Errorf("%v", err)
	}
	if len(tower.alarms) != 0 {
		t.Error("it sets an alarm")
	}
	right := tower.process(nightly(tower.time, halfPastOne))
	right.off = 4 * time.Second
	right.serve()
	tower.until(at("2027-05-07 23:30"))
	if err := wrong.schedules.due(t.Context(), tower.due[0]); !errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("%v", err)
	}
	wantRuns(t, tower)
	right.serve()
	wantRuns(t, tower, "20270507T233000Z")
}

// noAlarms is a server that is too old.
type noAlarms struct{ pipeline.Alarms }

func (noAlarms) Open(context.Context) error {
	return pipeline.Permanent(fmt.Errorf("%w: version 2.11.9, and 2.12", pipeline.ErrNoAlarms))
}

// Where the server is too old, jobs are served, and those with a schedule are named.
func TestServersWithoutAlarms(t *testing.T) {
	tower := newClockTower(t, at("2027-05-07 12:00"))
	p := tower.process(nightly(tower.time, halfPastOne), ServedJob{Job: &pipeline.Job{ID: "other"}})
	p.alarms = noAlarms{}
	if h, err := p.handler(t.Context()); err != nil || h != nil {
		t.Errorf("%v, %v", h, err)
	}
	p.serve()
	p.serve()
	said := p.said.String()
	if strings.Count(said, "job gst does not run by itself") != 1 || !strings.Contains(said, "2.12") || strings.Contains(said, "job other") {
		t.Errorf("it said %s", said)
	}
}
