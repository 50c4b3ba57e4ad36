package spec

import (
	"slices"
	"sync"
)

// Jobs are the jobs that a process holds: those that it serves, and those whose runs it carries out. They have what is
// in no store: the secrets of their references, and addresses with passwords in them. It is safe for concurrent use.
type Jobs struct {
	// Served is the job of this id as the process serves it; nil if it does not. It may be nil.
	Served func(job string) *Definition
	// Elsewhere replaces references in texts of jobs that the process does not hold. It may be nil, and leaves them as
	// they are then.
	Elsewhere func(text string) (string, error)

	mu   sync.Mutex
	held map[string][]*Definition
}

// Hold keeps a job until letGo is called. One that was made from what the store has adds nothing.
func (j *Jobs) Hold(def *Definition) (letGo func()) {
	if def.Stored != nil {
		return func() {}
	}
	id := def.Job.ID
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.held == nil {
		j.held = map[string][]*Definition{}
	}
	j.held[id] = append(j.held[id], def)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if i := slices.Index(j.held[id], def); i >= 0 {
			j.held[id] = slices.Delete(j.held[id], i, i+1)
		}
		if len(j.held[id]) == 0 {
			delete(j.held, id)
		}
	}
}

// definitions are those of a job, the newest first.
func (j *Jobs) definitions(job string) []*Definition {
	j.mu.Lock()
	all := slices.Clone(j.held[job])
	j.mu.Unlock()
	slices.Reverse(all)
	if j.Served != nil {
		if def := j.Served(job); def != nil {
			all = append(all, def)
		}
	}
	return all
}

// Expand replaces references in texts of a job, as they are at the moment of the call.
func (j *Jobs) Expand(job string) func(string) (string, error) {
	return func(text string) (string, error) {
		if all := j.definitions(job); len(all) > 0 {
			return all[0].Expand(text)
		}
		if j.Elsewhere != nil {
			return j.Elsewhere(text)
		}
		return text, nil
	}
}

// DSN is the address of a connection as its job has it, references not replaced.
func (j *Jobs) DSN(job, connection string) (dsn string, known bool) {
	for _, def := range j.definitions(job) {
		if c, err := def.Job.Connection(connection); err == nil {
			return c.DSN, true
		}
	}
	return "", false
}
