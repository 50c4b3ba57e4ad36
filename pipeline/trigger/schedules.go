package trigger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Served are the jobs that a process serves, as it has read them.
type Served interface {
	// Scheduled are those that can be used, and where each was read; also those that have no schedule.
	Scheduled() []ServedJob
	// Gone reports whether what was read there is there no more, for certain.
	Gone(ctx context.Context, job string, from checkpoint.Edition) bool
}

// ServedJob is a job and where it was read.
type ServedJob struct {
	Job  *pipeline.Job
	From checkpoint.Edition
}

// schedules have jobs run by themselves. There is no leader: of each schedule an alarm is set, and whoever takes it
// when it goes off asks for the run, moves the schedule on, sets the next alarm and is done with this one, in this
// order. Killed between any two of these, the alarm comes again, to anybody: the run is asked for under the same id,
// which is one run; what was moved on is not due any more; an alarm that is set stays. What the timetable says counts,
// and not what an alarm says. So an alarm that is lost need only be missed: every process that serves looks every
// minute.
type schedules struct {
	jobs, runs pipeline.KV
	bus        pipeline.Bus
	alarms     pipeline.Alarms
	served     Served
	log        *slog.Logger
	local      func() time.Time // this process's clock
	none       error            // why there are no alarms; nil if there are

	had      map[string]ServedJob // by the token of the job: what was read before
	disagree map[string]int       // looks in a row that have found another timetable than was read
	said     map[string]string    // what was said last of a job
}

const (
	lookEvery    = 2 * time.Second // at what this process serves
	armEvery     = time.Minute     // at all alarms
	maxClockSkew = 5 * time.Second
	// overdue is how late an alarm is that has not gone off, or that nobody has dealt with: its server's timer slept, or
	// it was lost.
	overdue = 10 * time.Second
	// askPatience is how long a trigger waits to be taken; then it waits in its stream.
	askPatience = 10 * time.Second
	// dueDurable is the consumer of alarms that have gone off, and dueAtOnce how many a process handles at a time.
	dueDurable = "due-v1"
	dueAtOnce  = 16
)

func (s *server) newSchedules() *schedules {
	return &schedules{jobs: s.c.Stores.Jobs, runs: s.c.Stores.Runs, bus: s.c.Bus, alarms: s.Alarms, served: s.Served, log: s.c.Log, local: time.Now}
}

// handler takes the alarms that go off; none where the server has no alarms.
func (s *schedules) handler(ctx context.Context) ([]pipeline.Handler, error) {
	if s.alarms == nil {
		return nil, nil
	}
	switch s.none = s.alarms.Open(ctx); {
	case s.none == nil:
	case errors.Is(s.none, pipeline.ErrNoAlarms):
		return nil, nil
	case pipeline.IsPermanent(s.none):
		s.log.Error("no job runs by itself here", "error", s.none)
		return nil, nil
	default:
		return nil, s.none
	}
	return []pipeline.Handler{{Topic: pipeline.TopicDues, Durable: dueDurable, Parallel: dueAtOnce, Handle: func(_ context.Context, m *pipeline.Message) error {
		return s.due(ctx, m)
	}}}, nil
}

// run looks after timetables and alarms until ctx ends: soon where a job that is served or a timetable has changed.
func (s *schedules) run(ctx context.Context) {
	if s.alarms == nil || s.served == nil {
		return
	}
	s.had, s.disagree, s.said = map[string]ServedJob{}, map[string]int{}, map[string]string{}
	changes, _ := s.jobs.Watch(ctx, checkpoint.TimetableKeys) // without it changes are seen within armEvery
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	look := func() (again bool) {
		again, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.say("", slog.LevelWarn, fmt.Sprintf("schedules could not be looked after; that is tried again: %v", err))
		}
		return again
	}
	looked, moved := time.Now(), look()
	for {
		select {
		case <-ctx.Done():
			if changes != nil {
				for range changes { // closed when ctx has ended
				}
			}
			return
		case <-tick.C:
			if moved || s.edited() || time.Since(looked) >= armEvery {
				looked, moved = time.Now(), look()
			}
		case e, ok := <-changes: // many may change at once
			if !ok {
				changes = nil
			}
			moved = moved || ok && e.Key != ""
		}
	}
}

// edited reports whether a job that is served has other schedules than at the last look, or is new.
func (s *schedules) edited() bool {
	n := 0
	for _, j := range s.served.Scheduled() {
		n++
		was, ok := s.had[pipeline.Token(j.Job.ID)]
		if !ok || was.Job != j.Job && !sameSchedules(was.Job, j.Job) {
			return true
		}
	}
	return n != len(s.had)
}

// look brings timetables up to date with what is served, and alarms with timetables. It is again to look soon where a
// time has just come, to see that it is dealt with.
func (s *schedules) look(ctx context.Context) (again bool, _ error) {
	if s.none != nil {
		s.refuse()
		return false, nil
	}
	now, err := s.now(ctx)
	if err != nil {
		return false, err
	}
	if err := s.takeServed(ctx, now); err != nil {
		return false, err
	}
	all, err := checkpoint.Timetables(ctx, s.jobs, func(err error) { s.say("", slog.LevelError, err.Error()) })
	if err != nil {
		return false, fmt.Errorf("list the timetables: %w", err)
	}
	var errs []error
	for _, doc := range all {
		if err := s.dropGone(ctx, doc, now); err != nil {
			errs = append(errs, err)
		}
		t := doc.Value()
		for _, id := range t.IDs() {
			again = again || t.Paused == nil && !now.Before(t.Entries[id].Next)
			if err := s.arm(ctx, &t, id, now); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) == 0 {
		delete(s.said, "")
	}
	return again, errors.Join(errs...)
}

// refuse says of jobs with schedules that they do not run by themselves.
func (s *schedules) refuse() {
	for _, j := range s.served.Scheduled() {
		s.had[pipeline.Token(j.Job.ID)] = j
		if len(j.Job.Schedules) > 0 {
			s.say(j.Job.ID, slog.LevelError, fmt.Sprintf("job %s does not run by itself: %v", j.Job.ID, s.none))
		}
	}
}

// now is the server's time. A process whose own clock differs does nothing for schedules: days in paths and params
// would be other ones than people see.
func (s *schedules) now(ctx context.Context) (time.Time, error) {
	now, err := s.alarms.Now(ctx)
	if err != nil {
		return now, err
	}
	if off := s.local().Sub(now); off.Abs() > maxClockSkew {
		fast := "ahead of"
		if off < 0 {
			fast = "behind"
		}
		return now, pipeline.Transient(fmt.Errorf("the clock of this host is %s %s that of the NATS server: it sets no alarms and takes none, until its clock is right",
			off.Abs().Round(time.Second), fast))
	}
	return now, nil
}

// arm sets the alarm of a schedule, unless it is set.
func (s *schedules) arm(ctx context.Context, t *checkpoint.Timetable, id string, now time.Time) error {
	has, err := s.alarms.Alarm(ctx, t.Job, id)
	if err != nil {
		return err
	}
	if t.Paused != nil {
		if has.Revision == 0 {
			return nil
		}
		return s.alarms.Cancel(ctx, t.Job, id)
	}
	next := t.Entries[id].Next
	late := now.Sub(next)
	switch {
	case late > overdue: // whatever is set, it has not gone off
	case late > 0: // it is in somebody's hands
		if has.Revision == 0 || has.At.Equal(next) {
			return nil
		}
	case has.At.Equal(next):
		return nil
	}
	err = s.alarms.Set(ctx, t.Job, id, next, has)
	if errors.Is(err, pipeline.ErrConflict) { // somebody else has set it
		return nil
	}
	return err
}

// say logs what is new to say of a job; "" is all of them.
func (s *schedules) say(job string, level slog.Level, text string) {
	if s.said[job] == text {
		return
	}
	s.said[job] = text
	s.log.Log(context.Background(), level, text)
}
