package notices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/view"
)

// Late tells of jobs that are not complete by a time of day. Any number of processes look; the key of a job's day has
// one of them tell.
type Late struct {
	Runs pipeline.KV
	View *view.View
	Jobs func() []*pipeline.Job // that are served now
	Log  *slog.Logger

	began time.Time
	done  map[string]bool // days and targets of jobs that were looked at
}

// lateEvery is how often the clock is looked at.
const lateEvery = 20 * time.Second

// Serve looks until ctx ends.
func (l *Late) Serve(ctx context.Context) {
	l.began, l.done = time.Now(), map[string]bool{}
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		for _, job := range l.Jobs() {
			if err := l.look(ctx, job, time.Now()); err != nil && ctx.Err() == nil {
				l.Log.Warn(fmt.Sprintf("whether job %s is late could not be found out; that is tried again", job.ID), "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look tells the targets of a job for whom it is late now.
func (l *Late) look(ctx context.Context, job *pipeline.Job, now time.Time) error {
	for i := range job.Notify {
		t := &job.Notify[i]
		if !t.Wants(pipeline.NoticeLate) || t.LateAfter == "" {
			continue
		}
		start, by, err := dayOf(job, t, now)
		if err != nil {
			return err
		}
		day := start.Format(time.DateOnly)
		key := checkpoint.LateNoticeKey(job.ID, day, t.ID)
		if now.Before(by) || l.done[key] {
			continue
		}
		if err := l.judge(ctx, job, t, key, start, by, now); err != nil {
			return err
		}
		l.done[key] = true
	}
	return nil
}

// dayOf is when the day began that now is in, in the job's time zone, and when the job is late on it. A time of day
// that the clocks jump over on that day comes as much later as they jump.
func dayOf(job *pipeline.Job, t *pipeline.NotifyTarget, now time.Time) (start, by time.Time, _ error) {
	zone, err := time.LoadLocation(job.TimeZone)
	if err != nil {
		return start, by, err
	}
	clock, err := time.Parse("15:04", t.LateAfter)
	if err != nil {
		return start, by, err
	}
	y, m, d := now.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone), time.Date(y, m, d, clock.Hour(), clock.Minute(), 0, 0, zone), nil
}

// judge tells that a job is late, unless a run of all its connections has become complete since the day began. Of a job
// that has never run only who served it before that time tells: it may have been written just now.
func (l *Late) judge(ctx context.Context, job *pipeline.Job, t *pipeline.NotifyTarget, key string, start, by, now time.Time) error {
	runs, err := l.View.List(ctx, job.ID)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Record.State != pipeline.RunComplete || r.Record.Ended.Before(start) {
			continue
		}
		m, err := checkpoint.LoadManifest(ctx, l.Runs, r.Run)
		if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) || err == nil && !m.Selected {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if len(runs) == 0 && l.began.After(by) {
		return nil
	}
	n := &pipeline.Notice{ID: pipeline.NewToken(), Event: pipeline.NoticeLate, Job: job.ID, JobName: job.Name, TimeZone: job.TimeZone, At: now.UTC(), Late: t.LateAfter}
	if len(runs) > 0 {
		newest := runs[0]
		n.Run, n.State, n.Started, n.Ended = newest.Run, newest.Record.State, newest.Record.Started, newest.Record.Ended
	}
	made, err := checkpoint.PutNotice(ctx, l.Runs, key, checkpoint.NoticeRecord{Job: job.ID, Event: n.Event, Target: *t, Notice: n, State: checkpoint.NoticeWaiting, Made: now.UTC()})
	if err != nil {
		return err
	}
	// Also where another process has told: it may have ended before it wrote this.
	notices, err := checkpoint.LoadJobNotices(ctx, l.Runs, job.ID)
	if err == nil && (made || !notices.Value().Bad) {
		err = notices.Change(ctx, checkpoint.Anybody, (*checkpoint.JobNotices).BeLate)
	}
	return err
}
