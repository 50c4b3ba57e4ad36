package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/web"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
)

// timetables are those of all jobs, by the token of the job.
func (b *pageBackend) timetables(ctx context.Context) (map[string]*checkpoint.Timetable, error) {
	all, err := checkpoint.Timetables(ctx, b.sys.node.Stores.Jobs, func(err error) { b.sys.node.Log.Debug(err.Error()) })
	if err != nil {
		return nil, err
	}
	out := map[string]*checkpoint.Timetable{}
	for _, doc := range all {
		t := doc.Value()
		out[pipeline.Token(t.Job)] = &t
	}
	return out, nil
}

// scheduleViews are the schedules of a job, the next one first, and who has paused them.
func scheduleViews(t *checkpoint.Timetable) (out []web.JobSchedule, paused *web.Paused) {
	out = []web.JobSchedule{}
	if t.Paused != nil {
		paused = &web.Paused{By: t.Paused.By, At: t.Paused.At}
	}
	for _, id := range t.IDs() {
		e := t.Entries[id]
		v := web.JobSchedule{At: e.Schedule.At, Asks: asksText(&e.Schedule), Last: e.Last, Run: e.Run, Missed: e.Missed, Skipped: e.Skipped}
		if t.Paused == nil {
			v.Next = e.Next
		}
		if !v.Skipped.After(v.Last) {
			v.Skipped = time.Time{}
		}
		out = append(out, v)
	}
	return out, paused
}

// asksText says what a schedule asks for beside a new run of everything.
func asksText(s *pipeline.Schedule) string {
	var parts []string
	if s.Resume {
		parts = append(parts, "goes on with an unfinished run")
	}
	if len(s.Params) > 0 {
		parts = append(parts, "with "+string(s.Params))
	}
	switch {
	case s.Missed == pipeline.MissedSkip:
		parts = append(parts, "times that nobody served are left out")
	case s.Within > 0:
		parts = append(parts, "made up for within "+s.Within.String())
	}
	return strings.Join(parts, "; ")
}

// nextAndLast are when a job runs by itself next, and the time of the last run by a schedule; zero if there is none.
func nextAndLast(t *checkpoint.Timetable) (next, last time.Time) {
	for i, id := range t.IDs() {
		e := t.Entries[id]
		if i == 0 && t.Paused == nil {
			next = e.Next
		}
		if e.Last.After(last) {
			last = e.Last
		}
	}
	return next, last
}

func scheduledFor(m *pipeline.Manifest) time.Time {
	if m.Scheduled == nil {
		return time.Time{}
	}
	return m.Scheduled.For
}

func missedBefore(m *pipeline.Manifest) int {
	if m.Scheduled == nil {
		return 0
	}
	return m.Scheduled.Missed
}

// PauseSchedule implements web.Actor.
func (b *pageBackend) PauseSchedule(ctx context.Context, by, job, revision string) (*web.Done, error) {
	return b.act(by, "pause the schedule", job, "", func(*process.Node) (*web.Done, error) {
		if err := b.scheduleSeen(ctx, job, revision); err != nil {
			return nil, err
		}
		said, _, err := pauseSchedule(ctx, b.sys.node.Stores.Jobs, job, checkpoint.Hand{By: by + " (page)", At: time.Now().UTC()})
		return &web.Done{Said: said, JobID: job}, err
	})
}

// ResumeSchedule implements web.Actor.
func (b *pageBackend) ResumeSchedule(ctx context.Context, by, job, revision string) (*web.Done, error) {
	return b.act(by, "resume the schedule", job, "", func(*process.Node) (*web.Done, error) {
		if err := b.scheduleSeen(ctx, job, revision); err != nil {
			return nil, err
		}
		said, _, err := resumeSchedule(ctx, b.sys.node.Stores.Jobs, b.sys.conn.Alarms(), job)
		return &web.Done{Said: said, JobID: job}, err
	})
}

// scheduleSeen is nil if the schedules of a job are still as somebody has seen them.
func (b *pageBackend) scheduleSeen(ctx context.Context, job, revision string) error {
	doc, err := checkpoint.LoadTimetable(ctx, b.sys.node.Stores.Jobs, job)
	if err != nil {
		return noTimetable(err, job)
	}
	t := doc.Value()
	var v web.Job
	if v.Schedules, v.Paused = scheduleViews(&t); v.ScheduleRevision() == revision {
		return nil
	}
	if v.Paused != nil {
		return errors.New("the schedule of job " + job + " has changed: " + v.Paused.By + " has paused it")
	}
	return errors.New("the schedule of job " + job + " has changed: it is not paused any more")
}
