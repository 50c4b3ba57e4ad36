package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// due is called for an alarm that has gone off. nil is the end of it; after any other error it comes again, to anybody.
func (s *schedules) due(ctx context.Context, m *pipeline.Message) error {
	token := strings.Split(m.Subject, ".")
	job, id := pipeline.Untoken(token[len(token)-2]), pipeline.Untoken(token[len(token)-1])
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	if m.Stored.After(now) { // clocks of two servers of a cluster
		now = m.Stored
	}
	doc, err := checkpoint.LoadTimetable(ctx, s.jobs, job)
	switch {
	case errors.Is(err, pipeline.ErrNoKey): // removed since
		return nil
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		s.log.Error(fmt.Sprintf("job %s does not run by itself: %v", job, err))
		return nil
	case err != nil:
		return err
	}
	t := doc.Value()
	if turn := t.Turn(id, now); turn.Due {
		if t, err = s.take(ctx, doc, id, turn); err != nil {
			return err
		}
	}
	if _, ok := t.Entries[id]; !ok || t.Paused != nil {
		return nil
	}
	failpoint.Hit("schedule-moved")
	if err := s.arm(ctx, &t, id, now); err != nil {
		return err
	}
	failpoint.Hit("schedule-armed")
	return nil
}

// take does what is due: it asks for the run, if there is to be one, and moves the schedule on.
func (s *schedules) take(ctx context.Context, doc *checkpoint.Document[checkpoint.Timetable], id string, turn checkpoint.Turn) (checkpoint.Timetable, error) {
	t := doc.Value()
	run := pipeline.ScheduledRunID(id, turn.At)
	said := ""
	if turn.Run {
		var err error
		if said, err = s.ask(ctx, &t, id, run, turn); err != nil {
			return t, err
		}
	}
	failpoint.Hit("schedule-asked")
	still := func(t *checkpoint.Timetable) bool {
		e, ok := t.Entries[id]
		return ok && !e.Next.After(turn.At)
	}
	err := doc.Change(ctx, still, func(t *checkpoint.Timetable) { t.Took(id, turn, run) })
	switch {
	case errors.Is(err, pipeline.ErrFenced), errors.Is(err, pipeline.ErrForeign): // somebody else has dealt with it
		now, err := checkpoint.LoadTimetable(ctx, s.jobs, t.Job)
		if errors.Is(err, pipeline.ErrNoKey) {
			return checkpoint.Timetable{}, nil
		}
		return now.Value(), err
	case err != nil:
		return t, err
	}
	s.tell(doc.Value(), id, run, turn, said)
	return doc.Value(), nil
}

// ask publishes the trigger of a run. nil means that it is stored, or was taken: an answer is given to what the stream
// has delivered alone, or to an id that is known.
func (s *schedules) ask(ctx context.Context, t *checkpoint.Timetable, id, run string, turn checkpoint.Turn) (said string, _ error) {
	e := t.Entries[id]
	if err := checkpoint.NoteScheduled(ctx, s.runs, run, t.Job, pipeline.Scheduled{For: turn.At.UTC(), Missed: turn.Missed}); err != nil {
		return "", err
	}
	wants := pipeline.Trigger{Resume: e.Schedule.Resume}
	if len(e.Schedule.Params) > 0 {
		asked, err := pipeline.ReadTrigger([]byte(`{"params":` + string(e.Schedule.Params) + `}`))
		if err != nil {
			return "", err
		}
		wants.Params = asked.Params
	}
	payload, err := json.Marshal(wants)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	data, err := s.bus.Ask(ctx, pipeline.TopicTrigger(t.Job), run, payload)
	if errors.Is(err, pipeline.ErrNoAnswer) {
		return "waits for somebody to take it", nil
	}
	if err != nil {
		return "", err
	}
	var a pipeline.Answer
	if err := json.Unmarshal(data, &a); err != nil {
		return "", fmt.Errorf("the answer cannot be understood: %s", data)
	}
	return a.Error, nil
}

// tell logs what was done.
func (s *schedules) tell(t checkpoint.Timetable, id, run string, turn checkpoint.Turn, said string) {
	at := turn.At.In(t.Location()).Format("2006-01-02 15:04 MST")
	spec := t.Entries[id].Schedule.At
	missed := ""
	switch {
	case turn.Missed == 1:
		missed = ", and for the time before it, which nobody served"
	case turn.Missed > 1:
		missed = fmt.Sprintf(", and for the %d times before it, which nobody served", turn.Missed)
	}
	switch {
	case !turn.Run:
		s.log.Warn(fmt.Sprintf("job %s: nobody served at %s, when %q was due%s: no run makes up for that; the next is due at %s", t.Job, at, spec, missed, turn.Next.In(t.Location()).Format(time.RFC3339)))
	case said != "":
		s.log.Warn(fmt.Sprintf("job %s: %q asks for run %s, for %s%s: %s", t.Job, spec, run, at, missed, said))
	default:
		s.log.Info(fmt.Sprintf("job %s: %q asks for run %s, for %s%s", t.Job, spec, run, at, missed))
	}
}
