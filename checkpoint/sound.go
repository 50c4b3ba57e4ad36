package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// What stands under a key of fanmill's and is none of its records (not JSON, JSON of another shape, numbers that
// cannot be, nothing at all) is ErrForeign, and so is a record that somebody deleted in the middle of a run. It
// concerns its own run alone: everybody else passes it over.

// Bounds of what a record can say.
const (
	maxAttempts = 1 << 30
	maxLeaseMS  = int64(30 * 24 * time.Hour / time.Millisecond)
)

// ForeignRecord says that what stands under a key is not what fanmill writes, and how to be rid of it; of a record of a
// later version, that it is left alone.
func ForeignRecord(key string, why error) error {
	var version laterError
	if errors.As(why, &version) {
		return later(key, version)
	}
	text := why.Error()
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return pipeline.Permanent(&foreignError{fmt.Errorf("the record %s cannot be read, another program has written or damaged it (%s); %s", key, strings.ToValidUTF8(text, "?"), remedy(key))})
}

// remedy is what removes a record that nobody can read, with all else of its run.
func remedy(key string) string {
	run, rest, _ := strings.Cut(key, ".")
	if "."+strings.SplitN(rest, ".", 2)[0] == definitionPart {
		return "fanmill job rm --history " + pipeline.Untoken(run) + " removes what is left of that job in the store, and fanmill job put puts it again"
	}
	if "."+rest == timetablePart {
		return "remove it (nats kv del fanmill_jobs " + key + "): who serves job " + pipeline.Untoken(run) + " makes it anew, from now on"
	}
	if run == pipeline.NoticeKeys {
		return "nobody is told what it was about"
	}
	if run == pipeline.RoomKeys {
		return "the next run that begins writes it anew"
	}
	if run == pipeline.ProcessKeys {
		return "its process writes it anew, or is taken for gone"
	}
	return "a resume goes on without it; fanmill runs rm " + run + " removes what is left of that run"
}

// foreignError is a conflict, too: whoever wrote something else was faster.
type foreignError struct{ error }

func (e *foreignError) Is(target error) bool {
	return target == pipeline.ErrForeign || target == pipeline.ErrConflict
}

// deleted says that a record went away under its owner's hands.
func deleted(key string) error {
	return pipeline.Permanent(&foreignError{fmt.Errorf("the record %s is gone, another program has deleted it; a resume goes on without it", key)})
}

// decode reads a record, and refuses what only looks like one.
func decode[T any](data []byte, v *T) error {
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	if err := checkRecordVersion(data); err != nil { // first: a later version's members may have other types
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	switch v := any(v).(type) {
	case interface{ sound() error }:
		return v.sound()
	case *pipeline.Manifest:
		return soundManifest(v)
	}
	return nil
}

// ReadCommitRecord reads an entry of a commit record. The error is ErrForeign: it is gone, or cannot be read.
func ReadCommitRecord(e pipeline.KVEntry) (r CommitRecord, err error) {
	if e.Deleted {
		return r, deleted(e.Key)
	}
	if err := decode(e.Value, &r); err != nil {
		return CommitRecord{}, ForeignRecord(e.Key, err)
	}
	return r, nil
}

func (r *RunRecord) sound() error {
	switch {
	case r.Job == "":
		return errors.New("it names no job")
	case r.State != pipeline.RunRunning && r.State != pipeline.RunComplete && r.State != pipeline.RunPartial && r.State != pipeline.RunFailed && r.State != pipeline.RunInterrupted && r.State != pipeline.RunAbandoned:
		return fmt.Errorf("its state is %q", r.State)
	case r.Generation < 0 || r.Generation > maxAttempts || r.Resumes < 0 || r.Resumes > maxAttempts:
		return fmt.Errorf("its generation is %d, its resumes are %d", r.Generation, r.Resumes)
	}
	return soundLease(r.Owner.LeaseMS)
}

func (r *SpecRecord) sound() error {
	if r.Epoch == 0 {
		return errors.New("it has no epoch")
	}
	return nil
}

func (r *JobRun) sound() error {
	if r.Run == "" || len(r.Run) > pipeline.MaxRunID || pipeline.Token(r.Run) != r.Run {
		return errors.New("it names no run")
	}
	return nil
}

func (r *ConnRecord) sound() error {
	switch {
	case r.State != ConnPending && r.State != ConnRunning && r.State != ConnDone && r.State != ConnGivenUp && r.State != ConnFailed:
		return fmt.Errorf("its state is %q", r.State)
	case r.Attempt < 0 || r.Attempt > maxAttempts || r.Attempts < 0 || r.Attempts > maxAttempts || r.Floor < 0 || r.Floor > maxAttempts+1:
		return fmt.Errorf("its attempt is %d, of %d, its floor is %d", r.Attempt, r.Attempts, r.Floor)
	}
	return soundLease(r.LeaseMS)
}

func (r *CommitRecord) sound() error {
	switch {
	case r.State != pipeline.RecordOpen && r.State != pipeline.RecordFinishing && r.State != pipeline.RecordFinished && r.State != pipeline.RecordDetached && r.State != pipeline.RecordOwing && r.State != pipeline.RecordAbandoned:
		return fmt.Errorf("its state is %q", r.State)
	case r.Commits < 0 || r.Log.Generation < 0 || r.Outbox < 0:
		return fmt.Errorf("its commits are %d, its log's generation is %d, its outbox has %d bytes", r.Commits, r.Log.Generation, r.Outbox)
	case len(r.Sealed) > 0 && (r.Place == nil || r.Place.ID == ""):
		return errors.New("it has sealed connections, and no place that their rows are at")
	case len(r.Settled) > 0 && len(r.Artifact) == 0:
		return errors.New("it has connections, and no artifact that they are in")
	}
	for _, attempts := range []map[int]int{r.Floor, attemptsOf(r.Settled, func(s pipeline.Settlement) int { return s.Attempt }), attemptsOf(r.Sealed, func(s pipeline.Seal) int { return s.Attempt }), attemptsOf(r.Failed, func(f pipeline.Refusal) int { return f.Attempt })} {
		for i, n := range attempts {
			if i < 0 || n < 0 || n > maxAttempts {
				return fmt.Errorf("connection %d has attempt %d", i, n)
			}
		}
	}
	for _, p := range r.Parts {
		if p.Connection < 0 || p.Attempt < 0 || p.Attempt > maxAttempts {
			return fmt.Errorf("connection %d has attempt %d", p.Connection, p.Attempt)
		}
	}
	return soundLease(r.LeaseMS)
}

func attemptsOf[V any](m map[int]V, of func(V) int) map[int]int {
	out := make(map[int]int, len(m))
	for i, v := range m {
		out[i] = of(v)
	}
	return out
}

// of reports whether a record can be that of a run with so many connections.
func (r *CommitRecord) of(m *pipeline.Manifest) error {
	n := len(m.Connections)
	for _, at := range []map[int]int{r.Floor, attemptsOf(r.Settled, func(pipeline.Settlement) int { return 0 }), attemptsOf(r.Sealed, func(pipeline.Seal) int { return 0 }), attemptsOf(r.Failed, func(pipeline.Refusal) int { return 0 })} {
		for i := range at {
			if i >= n {
				return fmt.Errorf("it has connection %d, and the run has %d", i+1, n)
			}
		}
	}
	for i, s := range r.Sealed {
		if len(s.Rows) != len(m.Connections[i].Queries) || s.At.Length <= 0 {
			return fmt.Errorf("connection %d has sealed rows of %d queries in %d bytes, and the run has %d queries", i+1, len(s.Rows), s.At.Length, len(m.Connections[i].Queries))
		}
	}
	for i, s := range r.Settled {
		if len(s.Rows) != len(m.Connections[i].Queries) {
			return fmt.Errorf("connection %d has rows of %d queries, and the run has %d", i+1, len(s.Rows), len(m.Connections[i].Queries))
		}
	}
	for _, p := range r.Parts {
		if p.Connection >= n {
			return fmt.Errorf("it has connection %d, and the run has %d", p.Connection+1, n)
		}
	}
	return nil
}

func soundLease(ms int64) error {
	if ms < 0 || ms > maxLeaseMS {
		return fmt.Errorf("its lease is %d ms", ms)
	}
	return nil
}

// soundManifest refuses what cannot be a manifest.
func soundManifest(m *pipeline.Manifest) error {
	if m.Run == "" || m.JobID == "" || m.LogMaxBytes <= 0 {
		return errors.New("it names no run, no job, or no bound of the row log")
	}
	seen := map[string]bool{}
	for _, c := range m.Connections {
		if c.ID == "" || seen[c.ID] || len(c.Queries) == 0 {
			return fmt.Errorf("connection %q stands twice, or has no query", c.ID)
		}
		seen[c.ID] = true
	}
	clear(seen)
	for _, d := range m.Destinations {
		if d.ID == "" || seen[d.ID] || d.Type == "" {
			return fmt.Errorf("destination %q stands twice, or has no type", d.ID)
		}
		if d.Files != nil && len(d.Files) != len(m.Connections) {
			return fmt.Errorf("destination %q has %d files for %d connections", d.ID, len(d.Files), len(m.Connections))
		}
		if err := d.SoundPartition(m); err != nil {
			return err
		}
		seen[d.ID] = true
	}
	return nil
}
