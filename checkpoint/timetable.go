package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/schedule"
)

// Timetable is when a job runs by itself: its schedules as they count, and how far each of them is. What counts was put
// with the job, or read from its file; see Edition.
type Timetable struct {
	Job    string  `json:"job"`
	Zone   string  `json:"timeZone,omitempty"`
	Source Edition `json:"source"`
	Paused *Hand   `json:"paused,omitempty"` // who paused it, and when; nil if nobody has
	// Entries are the schedules by their ids.
	Entries map[string]TimetableEntry `json:"schedules,omitempty"`
}

// Edition says where schedules were read. Files of several hosts may differ: the one that was written last counts.
type Edition struct {
	From    string    `json:"from"`              // the file and its host, or the store
	Version int       `json:"version,omitempty"` // of a job of the store
	Edited  time.Time `json:"edited,omitzero"`   // when the file was written, or the version put
}

// TimetableEntry is a schedule and how far it is.
type TimetableEntry struct {
	Schedule pipeline.Schedule `json:"schedule"`
	// Next is the first time that nobody has dealt with. Whoever has done with it moves it, and nobody else: so a time is
	// dealt with once.
	Next time.Time `json:"next"`
	// Last is the time of the last run that was asked for, Run its id, and Missed how many times before that had none.
	Last   time.Time `json:"last,omitzero"`
	Run    string    `json:"run,omitempty"`
	Missed int       `json:"missed,omitempty"`
	// Skipped is the last time that was left out, as nobody had served it in time.
	Skipped time.Time `json:"skipped,omitzero"`
}

// OnTime is how late a run may begin that is still on time: processes start, and leaders of clusters change.
const OnTime = time.Minute

// maxMissed bounds the count of the times that were missed.
const maxMissed = 10_000

func (t *Timetable) sound() error {
	if t.Job == "" {
		return errors.New("it names no job")
	}
	if _, err := schedule.Zone(t.Zone); err != nil {
		return err
	}
	for id, e := range t.Entries {
		if _, err := schedule.Parse(e.Schedule.At); err != nil {
			return fmt.Errorf("schedule %s: %w", id, err)
		}
		if e.Next.IsZero() {
			return fmt.Errorf("schedule %s has no next time", id)
		}
	}
	return nil
}

// Location is the zone whose clocks it goes by.
func (t *Timetable) Location() *time.Location {
	zone, err := schedule.Zone(t.Zone)
	if err != nil { // sound has seen to it
		return time.UTC
	}
	return zone
}

// IDs are those of the schedules, by the time at which they are due next.
func (t *Timetable) IDs() []string {
	return slices.SortedFunc(maps.Keys(t.Entries), func(a, b string) int {
		if c := t.Entries[a].Next.Compare(t.Entries[b].Next); c != 0 {
			return c
		}
		return slices.Compare([]byte(a), []byte(b))
	})
}

// NextSlot is the first time of a schedule after an instant.
func (t *Timetable) NextSlot(id string, after time.Time) schedule.Slot {
	return t.spec(id).Next(after, t.Location())
}

func (t *Timetable) spec(id string) schedule.Spec {
	spec, err := schedule.Parse(t.Entries[id].Schedule.At)
	if err != nil { // sound has seen to it
		panic(err)
	}
	return spec
}

// Says reports whether a job's schedules are those that count.
func (t *Timetable) Says(job *pipeline.Job) bool {
	if len(job.Schedules) != len(t.Entries) || len(t.Entries) > 0 && t.Zone != job.TimeZone {
		return false
	}
	for _, s := range job.Schedules {
		e, ok := t.Entries[s.ID(job.ID, job.TimeZone)]
		if !ok || e.Schedule.Missed != s.Missed || e.Schedule.Within != s.Within {
			return false
		}
	}
	return true
}

// Take has the schedules of a job count from now on. One that is new begins with its first time after now: nothing that
// was before is made up for. One that was there goes on where it is.
func (t *Timetable) Take(job *pipeline.Job, from Edition, now time.Time) {
	next := map[string]TimetableEntry{}
	was := t.Entries
	t.Job, t.Zone, t.Source, t.Entries = job.ID, job.TimeZone, from, next
	for _, s := range job.Schedules {
		id := s.ID(job.ID, job.TimeZone)
		e, had := was[id]
		e.Schedule = s
		next[id] = e
		if !had {
			e.Next = t.NextSlot(id, now).At
			next[id] = e
		}
	}
}

// Pause has the job not run by itself.
func (t *Timetable) Pause(by Hand) { t.Paused = &by }

// Resume has it run by itself again, from its first times after now on: nothing is made up for.
func (t *Timetable) Resume(now time.Time) {
	t.Paused, t.Entries = nil, maps.Clone(t.Entries)
	for id, e := range t.Entries {
		e.Next = t.NextSlot(id, now).At
		t.Entries[id] = e
	}
}

// Turn is what is to be done for a schedule at a moment.
type Turn struct {
	Due    bool      // its time has come
	Run    bool      // one is to be asked for
	At     time.Time // the last time that has come: the run is for that
	Missed int       // how many times came before it
	Next   time.Time // the first one that has not come yet
}

// Turn is what is to be done for a schedule now. Of several times that nobody served the last one counts.
func (t *Timetable) Turn(id string, now time.Time) Turn {
	e, ok := t.Entries[id]
	if !ok || t.Paused != nil || now.Before(e.Next) {
		return Turn{}
	}
	zone, spec := t.Location(), t.spec(id)
	turn := Turn{Due: true, At: e.Next}
	turn.Missed = spec.Missed(e.Next, now, zone, maxMissed)
	if turn.Missed == maxMissed { // the last one is sought from nearer
		turn.At = lastBefore(spec, zone, now)
	} else {
		for range turn.Missed {
			turn.At = spec.Next(turn.At, zone).At
		}
	}
	turn.Next = spec.Next(now, zone).At
	late := now.Sub(turn.At)
	switch {
	case late <= OnTime:
		turn.Run = true
	case e.Schedule.Missed == pipeline.MissedSkip:
	default:
		turn.Run = e.Schedule.Within == 0 || late <= time.Duration(e.Schedule.Within)
	}
	return turn
}

// lastBefore is the last slot up to now of a schedule that has many.
func lastBefore(spec schedule.Spec, zone *time.Location, now time.Time) time.Time {
	for back := time.Hour; ; back *= 2 {
		at := spec.Next(now.Add(-back), zone).At
		if at.After(now) {
			continue
		}
		for next := spec.Next(at, zone).At; !next.After(now); next = spec.Next(at, zone).At {
			at = next
		}
		return at
	}
}

// Took notes what was done for a schedule's turn. A time that somebody else has dealt with meanwhile stays so.
func (t *Timetable) Took(id string, turn Turn, run string) {
	e, ok := t.Entries[id]
	if !ok || e.Next.After(turn.At) {
		return
	}
	t.Entries = maps.Clone(t.Entries) // Document.Change: what was read stays as it is
	e.Next = turn.Next
	if turn.Run {
		e.Last, e.Run, e.Missed = turn.At, run, turn.Missed
	} else {
		e.Skipped = turn.At
	}
	t.Entries[id] = e
}
