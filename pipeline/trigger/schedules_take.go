package trigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Files of several hosts, or one file and a process that has yet to read it again, may have different schedules of one
// job. What was written last counts, and the timetable says when that was: so it never goes back and forth between two.

// takeServed has the schedules of the jobs that are served count, where they do.
func (s *schedules) takeServed(ctx context.Context, now time.Time) error {
	var errs []error
	seen := map[string]bool{}
	for _, j := range s.served.Scheduled() {
		token := pipeline.Token(j.Job.ID)
		seen[token] = true
		if err := s.takeJob(ctx, j, now); err != nil {
			errs = append(errs, err)
			continue
		}
		s.had[token] = j
	}
	for token := range s.had {
		if !seen[token] {
			delete(s.had, token)
		}
	}
	return errors.Join(errs...)
}

func (s *schedules) takeJob(ctx context.Context, j ServedJob, now time.Time) error {
	doc, err := checkpoint.LoadTimetable(ctx, s.jobs, j.Job.ID)
	if errors.Is(err, pipeline.ErrNoKey) {
		if len(j.Job.Schedules) == 0 {
			return nil
		}
		var t checkpoint.Timetable
		t.Take(j.Job, edited(j.From, now), now)
		if _, err = checkpoint.CreateDocument(ctx, s.jobs, checkpoint.TimetableKey(j.Job.ID), t); errors.Is(err, pipeline.ErrConflict) {
			return nil // another process was faster; its change is heard of
		}
		if err == nil {
			s.tellTaken(t)
		}
		return err
	}
	if err != nil {
		return err
	}
	t, token := doc.Value(), pipeline.Token(j.Job.ID)
	if t.Says(j.Job) {
		delete(s.disagree, token)
		return nil
	}
	s.disagree[token]++
	if !s.counts(&t, j) {
		s.say(j.Job.ID, slog.LevelWarn, fmt.Sprintf("the schedules of job %s in %s are not those that count, which were read from %s later; write the file again to have them count", j.Job.ID, j.From.From, t.Source.From))
		return nil
	}
	before := t.IDs()
	err = doc.Change(ctx, func(t *checkpoint.Timetable) bool { return !t.Says(j.Job) && s.counts(t, j) }, func(t *checkpoint.Timetable) { t.Take(j.Job, edited(j.From, now), now) })
	if errors.Is(err, pipeline.ErrFenced) {
		return nil
	}
	if err != nil {
		return err
	}
	delete(s.disagree, token)
	s.tellTaken(doc.Value())
	return s.cancel(ctx, before, doc.Value())
}

// edited is an edition that is not of the future: a file that is would be the last one for ever.
func edited(from checkpoint.Edition, now time.Time) checkpoint.Edition {
	if from.Edited.After(now) {
		from.Edited = now
	}
	return from
}

// counts reports whether a job that says something else than the timetable is what counts: it was written later; or
// this process has read what the timetable says before, and now this; or it is the very file that the timetable was
// read from, and has stayed so for a while: an old copy was put in its place.
func (s *schedules) counts(t *checkpoint.Timetable, j ServedJob) bool {
	token := pipeline.Token(j.Job.ID)
	was, read := s.had[token]
	switch {
	case j.From.From == t.Source.From && j.From.Version != 0:
		return j.From.Version > t.Source.Version || j.From.Edited.After(t.Source.Edited)
	case j.From.Edited.After(t.Source.Edited):
		return true
	case read && t.Says(was.Job):
		return true
	}
	return j.From.From == t.Source.From && s.disagree[token] > 2
}

// dropGone empties the timetable of a job that is there no more. A file is gone for a moment while it is written, too.
func (s *schedules) dropGone(ctx context.Context, doc *checkpoint.Document[checkpoint.Timetable], now time.Time) error {
	t := doc.Value()
	token := pipeline.Token(t.Job)
	if _, served := s.had[token]; served || len(t.Entries) == 0 || !s.served.Gone(ctx, t.Job, t.Source) {
		if !served {
			delete(s.disagree, token)
		}
		return nil
	}
	if s.disagree[token]++; s.disagree[token] < 2 {
		return nil
	}
	before, none := t.IDs(), &pipeline.Job{ID: t.Job, TimeZone: t.Zone}
	err := doc.Change(ctx, func(now *checkpoint.Timetable) bool { return now.Source == t.Source }, func(t *checkpoint.Timetable) { t.Take(none, t.Source, now) })
	if errors.Is(err, pipeline.ErrFenced) {
		return nil
	}
	if err != nil {
		return err
	}
	delete(s.disagree, token)
	s.log.Info(fmt.Sprintf("job %s runs by itself no more: %s is gone", t.Job, t.Source.From))
	return s.cancel(ctx, before, doc.Value())
}

// cancel cancels the alarms of schedules that a job has no more. One that goes off all the same is for nothing.
func (s *schedules) cancel(ctx context.Context, before []string, t checkpoint.Timetable) error {
	var errs []error
	for _, id := range before {
		if _, still := t.Entries[id]; !still {
			errs = append(errs, s.alarms.Cancel(ctx, t.Job, id))
		}
	}
	return errors.Join(errs...)
}

// tellTaken logs when a job runs by itself from now on.
func (s *schedules) tellTaken(t checkpoint.Timetable) {
	if len(t.Entries) == 0 {
		s.log.Info(fmt.Sprintf("job %s runs by itself no more", t.Job))
	}
	for _, id := range t.IDs() {
		e := t.Entries[id]
		s.log.Info(fmt.Sprintf("job %s runs by itself at %q, next at %s", t.Job, e.Schedule.At, e.Next.In(t.Location()).Format("2006-01-02 15:04 MST")))
	}
}

// sameSchedules reports whether two versions of a job run by themselves at the same times.
func sameSchedules(a, b *pipeline.Job) bool {
	return a.TimeZone == b.TimeZone && slices.EqualFunc(a.Schedules, b.Schedules, func(x, y pipeline.Schedule) bool {
		return x.At == y.At && bytes.Equal(x.Params, y.Params) && x.Resume == y.Resume && x.Missed == y.Missed && x.Within == y.Within
	})
}
