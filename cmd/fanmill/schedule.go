package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/pipeline/schedule"
)

func newSchedule(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "See when jobs run by themselves, pause that, and go on",
		Long: `A job with the key schedule runs by itself, as long as fanmill serve runs somewhere. schedule ls shows what is due next, and next the times
that follow, also of a job file that nobody serves yet. A job that is paused runs when somebody asks for it, and not by itself; what it
misses meanwhile is not made up for.`,
		Example: `  fanmill schedule ls
  fanmill schedule next gst.json -n 10
  fanmill schedule pause job_gst_data`,
	}
	c.AddCommand(scheduleList(stdout, stderr), scheduleNext(stdout, stderr), schedulePause(stdout, stderr), scheduleResume(stdout, stderr))
	return group(c)
}

// scheduleLine is a schedule, as --json has it.
type scheduleLine struct {
	Job      string            `json:"job"`
	Schedule string            `json:"schedule"` // its id
	At       string            `json:"at"`
	TimeZone string            `json:"timeZone"`
	Next     time.Time         `json:"next,omitzero"` // absent while the job is paused
	Last     time.Time         `json:"last,omitzero"` // the time of the last run
	Run      string            `json:"run,omitempty"`
	Missed   int               `json:"missed,omitempty"` // times before that had none
	Skipped  time.Time         `json:"skipped,omitzero"` // the last time that was left out
	Paused   *checkpoint.Hand  `json:"paused,omitempty"`
	From     string            `json:"from"` // where it was read
	Asks     pipeline.Schedule `json:"asks"`
}

func scheduleLines(t *checkpoint.Timetable) (out []scheduleLine) {
	zone := t.Location()
	for _, id := range t.IDs() {
		e := t.Entries[id]
		l := scheduleLine{Job: t.Job, Schedule: id, At: e.Schedule.At, TimeZone: zone.String(), Run: e.Run, Missed: e.Missed, Paused: t.Paused, From: t.Source.From, Asks: e.Schedule}
		if t.Paused == nil {
			l.Next = e.Next.In(zone)
		}
		if !e.Last.IsZero() {
			l.Last = e.Last.In(zone)
		}
		if !e.Skipped.IsZero() {
			l.Skipped = e.Skipped.In(zone)
		}
		out = append(out, l)
	}
	return out
}

// minuteIn is how times of schedules are written: to the minute, with their zone.
const minuteIn = "Mon 2006-01-02 15:04 MST"

// text is a line for people.
func (l *scheduleLine) text() string {
	next := "next " + l.Next.Format(minuteIn)
	if l.Paused != nil {
		next = fmt.Sprintf("paused by %s since %s", l.Paused.By, l.Paused.At.Format(minuteIn))
	}
	last := "has not run by it yet"
	if !l.Last.IsZero() {
		last = fmt.Sprintf("last for %s: run %s", l.Last.Format(minuteIn), l.Run)
		if l.Missed > 0 {
			last += fmt.Sprintf(", also for %s before that nobody served", screen.Of(int64(l.Missed), "time"))
		}
	}
	if l.Skipped.After(l.Last) {
		last += fmt.Sprintf("; %s was missed and left out", l.Skipped.Format(minuteIn))
	}
	return fmt.Sprintf("%s  %q  %s\n    %s\n", l.Job, l.At, next, last)
}

func scheduleList(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:     "ls [JOBID]",
		Short:   "List when jobs run by themselves",
		Long:    "ls lists the schedules that count, of all jobs or of one: when each is due next, and the run that it asked for last.",
		Example: "  fanmill schedule ls\n  fanmill schedule ls job_gst_data --json",
		Args:    arguments(0, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		log := s.log(stderr)
		return s.bus(c.Context(), log, func(conn *nats.Conn) error {
			all, err := checkpoint.Timetables(c.Context(), conn.Stores().Jobs, func(err error) { log.Warn(err.Error()) })
			if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
				return err
			}
			lines, text := []scheduleLine{}, ""
			for _, doc := range all {
				t := doc.Value()
				if len(args) > 0 && t.Job != args[0] {
					continue
				}
				lines = append(lines, scheduleLines(&t)...)
			}
			for i := range lines {
				text += lines[i].text()
			}
			if len(lines) == 0 {
				text = "no job runs by itself: a job with the key schedule does, as soon as fanmill serve has it\n"
			}
			return s.say(stdout, lines, text)
		})
	}
	return c
}

// slotLine is one time, as --json has it.
type slotLine struct {
	At       string    `json:"at"` // the schedule
	Next     time.Time `json:"next"`
	Instead  string    `json:"instead,omitempty"` // the time that no clock shows on that day
	TimeZone string    `json:"timeZone"`
}

func (l *slotLine) text() string {
	text := fmt.Sprintf("%s  %q", l.Next.Format(minuteIn), l.At)
	if l.Instead != "" {
		text += fmt.Sprintf("  (%s does not exist in %s; it runs at %s)", l.Instead, l.TimeZone, l.Next.Format("15:04"))
	}
	return text + "\n"
}

func scheduleNext(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	n := 5
	c := &cobra.Command{
		Use:   "next JOBID|FILE",
		Short: "Show the next times at which a job runs by itself",
		Long: `next computes the times that follow: of a job by its id as its schedules count in the store, or of a job file. It says where a time does
not exist, as clocks are put forward over it.`,
		Example: "  fanmill schedule next gst.json -n 10\n  fanmill schedule next job_gst_data",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag, jobFlag)
	c.Flags().IntVarP(&n, "number", "n", n, "`how many` times")
	c.RunE = func(c *cobra.Command, args []string) error {
		if n < 1 || n > 1000 {
			return badLine(c, fmt.Errorf("-n is from 1 to 1000, not %d", n))
		}
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		t, from, err := s.timetable(c.Context(), args[0], stderr)
		if err != nil {
			return err
		}
		if len(t.Entries) == 0 {
			return fmt.Errorf("job %s does not run by itself: it has no schedule", t.Job)
		}
		lines, text := nextSlots(t, from, n), ""
		for i := range lines {
			text += lines[i].text()
		}
		if t.Paused != nil {
			text = fmt.Sprintf("job %s is paused by %s: it does not run by itself until fanmill schedule resume %s\n", t.Job, t.Paused.By, shellQuote(t.Job)) + text
		}
		return s.say(stdout, lines, text)
	}
	return c
}

// timetable is that of a job in the store, or what it would be for a file. from is the moment that its times follow.
func (s *settings) timetable(ctx context.Context, name string, stderr io.Writer) (*checkpoint.Timetable, time.Time, error) {
	if _, err := os.Stat(name); err == nil || !errors.Is(err, fs.ErrNotExist) || strings.ContainsAny(name, `/\`) {
		file, err := config.Load(name, jobOptions(s.strict, nil))
		if err != nil {
			return nil, time.Time{}, &exitError{exitBadJob, err}
		}
		t := &checkpoint.Timetable{}
		t.Take(&file.Job, checkpoint.Edition{From: name}, time.Now())
		return t, time.Now(), nil
	}
	var t checkpoint.Timetable
	var from time.Time
	err := s.bus(ctx, s.log(stderr), func(conn *nats.Conn) error {
		doc, err := checkpoint.LoadTimetable(ctx, conn.Stores().Jobs, name)
		if err != nil {
			return noTimetable(err, name)
		}
		t = doc.Value()
		from, err = conn.Alarms().Now(ctx)
		return err
	})
	return &t, from, err
}

func noTimetable(err error, job string) error {
	if errors.Is(err, pipeline.ErrNoKey) {
		return fmt.Errorf("job %s does not run by itself: fanmill serve has seen no schedule of it; fanmill schedule ls lists those that do", job)
	}
	return err
}

// nextSlots are the next n times of all schedules.
func nextSlots(t *checkpoint.Timetable, from time.Time, n int) (out []slotLine) {
	zone := t.Location()
	next := map[string]schedule.Slot{}
	for id := range t.Entries {
		next[id] = t.NextSlot(id, from)
	}
	for len(out) < n {
		first := ""
		for _, id := range sortedKeys(next) {
			if first == "" || next[id].At.Before(next[first].At) {
				first = id
			}
		}
		slot := next[first]
		l := slotLine{At: t.Entries[first].Schedule.At, Next: slot.At.In(zone), TimeZone: zone.String()}
		if slot.Shifted {
			l.Instead = slot.Wall.String()
		}
		out = append(out, l)
		next[first] = t.NextSlot(first, slot.At)
	}
	return out
}

func schedulePause(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "pause JOBID",
		Short: "Have a job not run by itself, until resume",
		Long: `pause has a job not run by itself, whoever serves it. It runs when somebody asks for it. Its file, or a new version of it, changes nothing
about that; schedule resume does.`,
		Example: "  fanmill schedule pause job_gst_data",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.changeSchedule(c, stdout, stderr, func(ctx context.Context, conn *nats.Conn) (string, *checkpoint.Timetable, error) {
			return pauseSchedule(ctx, conn.Stores().Jobs, args[0], hand())
		})
	}
	return c
}

func scheduleResume(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "resume JOBID",
		Short: "Have a job run by itself again",
		Long: `resume has a job run by itself again, from its next time on: what was due while it was paused is not made up for. It has nothing to do with
the resume of a run.`,
		Example: "  fanmill schedule resume job_gst_data",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.changeSchedule(c, stdout, stderr, func(ctx context.Context, conn *nats.Conn) (string, *checkpoint.Timetable, error) {
			return resumeSchedule(ctx, conn.Stores().Jobs, conn.Alarms(), args[0])
		})
	}
	return c
}

// changeSchedule makes a change to the timetable of a job, and says what it is.
func (f *flags) changeSchedule(c *cobra.Command, stdout, stderr io.Writer, change func(context.Context, *nats.Conn) (string, *checkpoint.Timetable, error)) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	return s.bus(c.Context(), s.log(stderr), func(conn *nats.Conn) error {
		said, t, err := change(c.Context(), conn)
		if err != nil {
			return err
		}
		return s.say(stdout, scheduleLines(t), said+"\n")
	})
}

// pauseSchedule has a job not run by itself, and says so.
func pauseSchedule(ctx context.Context, jobs pipeline.KV, job string, by checkpoint.Hand) (string, *checkpoint.Timetable, error) {
	t, changed, err := checkpoint.PauseJob(ctx, jobs, job, by)
	if err != nil {
		return "", nil, noTimetable(err, job)
	}
	if !changed {
		return fmt.Sprintf("job %s is paused already, by %s", job, t.Paused.By), &t, nil
	}
	return fmt.Sprintf("job %s does not run by itself until somebody resumes its schedule", job), &t, nil
}

// resumeSchedule has a job run by itself again, and says when.
func resumeSchedule(ctx context.Context, jobs pipeline.KV, alarms pipeline.Alarms, job string) (string, *checkpoint.Timetable, error) {
	now, err := alarms.Now(ctx)
	if err != nil {
		return "", nil, err
	}
	t, changed, err := checkpoint.ResumeJob(ctx, jobs, job, now)
	if err != nil {
		return "", nil, noTimetable(err, job)
	}
	next := ""
	if ids := t.IDs(); len(ids) > 0 {
		next = ", next at " + t.Entries[ids[0]].Next.In(t.Location()).Format(minuteIn)
	}
	if !changed {
		return fmt.Sprintf("job %s was not paused: it runs by itself%s", job, next), &t, nil
	}
	return fmt.Sprintf("job %s runs by itself again%s", job, next), &t, nil
}
