package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// timetablePart is the part of the keys that tells timetables from the jobs as last served or run.
const timetablePart = ".schedule"

// TimetableKey is a job's Timetable in Stores.Jobs.
func TimetableKey(job string) string { return pipeline.Token(job) + timetablePart }

// TimetableKeys is what every TimetableKey matches.
const TimetableKeys = "*" + timetablePart

// LoadTimetable reads a job's timetable; ErrNoKey if there is none, ErrForeign if it cannot be read.
func LoadTimetable(ctx context.Context, jobs pipeline.KV, job string) (*Document[Timetable], error) {
	doc, err := LoadDocument[Timetable](ctx, jobs, TimetableKey(job))
	if err == nil && pipeline.Token(doc.Value().Job) != pipeline.Token(job) {
		err = ForeignRecord(TimetableKey(job), fmt.Errorf("it is of job %q", doc.Value().Job))
	}
	return doc, err
}

// Timetables reads those of all jobs in one go, by the id of the job, but for those that nobody can read: pass is told
// of these.
func Timetables(ctx context.Context, jobs pipeline.KV, pass func(error)) ([]*Document[Timetable], error) {
	var all []*Document[Timetable]
	err := present(ctx, jobs, TimetableKeys, func(e pipeline.KVEntry) {
		doc, err := DocumentOf[Timetable](jobs, e)
		if err != nil {
			pass(err)
			return
		}
		all = append(all, doc)
	})
	slices.SortFunc(all, func(a, b *Document[Timetable]) int { return strings.Compare(a.value.Job, b.value.Job) })
	return all, err
}

// PauseJob has a job not run by itself, until ResumeJob. false: it was so before.
func PauseJob(ctx context.Context, jobs pipeline.KV, job string, by Hand) (Timetable, bool, error) {
	return changeTimetable(ctx, jobs, job, func(t *Timetable) bool { return t.Paused == nil }, func(t *Timetable) { t.Pause(by) })
}

// ResumeJob has a job run by itself again; now is the server's time. false: it was not paused.
func ResumeJob(ctx context.Context, jobs pipeline.KV, job string, now time.Time) (Timetable, bool, error) {
	return changeTimetable(ctx, jobs, job, func(t *Timetable) bool { return t.Paused != nil }, func(t *Timetable) { t.Resume(now) })
}

// changeTimetable makes a change where it is called for.
func changeTimetable(ctx context.Context, jobs pipeline.KV, job string, wanted func(*Timetable) bool, change func(*Timetable)) (Timetable, bool, error) {
	doc, err := LoadTimetable(ctx, jobs, job)
	if err != nil {
		return Timetable{}, false, err
	}
	if t := doc.Value(); !wanted(&t) {
		return t, false, nil
	}
	err = doc.Change(ctx, wanted, change)
	if errors.Is(err, pipeline.ErrFenced) { // somebody else has done it meanwhile
		if doc, err = LoadTimetable(ctx, jobs, job); err == nil {
			return doc.Value(), false, nil
		}
	}
	return doc.Value(), err == nil, err
}
