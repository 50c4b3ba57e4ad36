package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
)

// lookAtStoreEvery is how often all jobs of the store are looked at. A change is heard of at once as a rule, and
// looked for when a trigger names its job; what is heard of may be lost.
const lookAtStoreEvery = 5 * time.Second

// storedJobs are the jobs of the store as this process serves them. A version that cannot be used here keeps the last
// good one, and says so, as a file of the folder does.
type storedJobs struct {
	s   *settings
	log *slog.Logger

	mu   sync.Mutex
	kv   pipeline.KV
	show func(context.Context, *pipeline.Job) error // shows a loaded job to operators
	jobs map[string]*storedEntry                    // by the token of the job
}

// storedEntry is a job of the store.
type storedEntry struct {
	job     string
	version int    // that counts, whether or not it can be used
	text    string // of that, so that one of another store's is seen
	inputs  []string
	seen    string       // their state when the version was read
	file    *config.File // the last good version; nil if there was none
	good    int          // its number
	put     time.Time    // when it was put
	problem error        // of the version that counts
	shown   bool
}

// path names a version for people.
func (e *storedEntry) path() string {
	if e.version == 0 {
		return config.StoredPath(e.job)
	}
	return fmt.Sprintf("%s (version %d)", config.StoredPath(e.job), e.version)
}

// open serves by this store from now on.
func (j *storedJobs) open(kv pipeline.KV, show func(context.Context, *pipeline.Job) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kv, j.show = kv, show
	for _, e := range j.jobs {
		e.shown = false
	}
}

// watch looks at what changes, and at all of it every few seconds, until ctx ends. looked is called after each look.
func (j *storedJobs) watch(ctx context.Context, looked func()) {
	j.mu.Lock()
	kv := j.kv
	j.mu.Unlock()
	tick := time.NewTicker(lookAtStoreEvery)
	defer tick.Stop()
	changes, _ := kv.Watch(ctx, checkpoint.JobDefinitionKeys) // without it changes are seen at the next tick
	for {
		select {
		case <-ctx.Done():
			if changes != nil {
				for range changes { // closed when ctx has ended
				}
			}
			return
		case e, ok := <-changes:
			switch {
			case !ok:
				changes = nil
			case e.Key != "":
				token, _, _ := strings.Cut(e.Key, ".")
				j.lookAt(ctx, token)
			}
		case <-tick.C:
			if changes == nil {
				changes, _ = kv.Watch(ctx, checkpoint.JobDefinitionKeys)
			}
			j.look(ctx)
		}
		looked()
	}
}

// look reads all jobs anew.
func (j *storedJobs) look(ctx context.Context) {
	j.mu.Lock()
	kv := j.kv
	j.mu.Unlock()
	keys, err := kv.Keys(ctx, checkpoint.JobDefinitionKeys)
	if err != nil {
		if ctx.Err() == nil {
			j.log.Warn("the jobs of the store cannot be listed; they are served as last read", "error", err)
		}
		return
	}
	tokens := map[string]bool{}
	for _, key := range keys {
		token, _, _ := strings.Cut(key, ".")
		tokens[token] = true
	}
	j.mu.Lock()
	for token := range j.jobs {
		tokens[token] = true
	}
	j.mu.Unlock()
	for _, token := range sortedKeys(tokens) {
		j.lookAt(ctx, token)
	}
}

// lookAt reads one job anew, and warns if the store cannot be asked.
func (j *storedJobs) lookAt(ctx context.Context, token string) {
	if err := j.read(ctx, token); err != nil && ctx.Err() == nil {
		j.log.Warn(fmt.Sprintf("job %s of the store cannot be read; it is served as last read", pipeline.Untoken(token)), "error", err)
	}
}

// read reads one job anew. The error is one of the store alone; what is wrong with the job stands in its entry.
func (j *storedJobs) read(ctx context.Context, token string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	store := checkpoint.NewJobDefinitions(j.kv)
	d, err := store.Get(ctx, pipeline.Untoken(token))
	e := j.jobs[token]
	switch {
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		if e == nil {
			e = &storedEntry{job: pipeline.Untoken(token)}
			j.jobs[token] = e
		}
		e.text = ""
		j.bad(e, err)
		return nil
	case errors.Is(err, pipeline.ErrNoKey), err == nil && d.Current == 0:
		j.gone(token, d)
		return nil
	case err != nil:
		return err
	}
	n, v, err := d.Version(0)
	if err != nil {
		return err
	}
	if e == nil {
		e = &storedEntry{job: d.Job}
		j.jobs[token] = e
	}
	if e.text == v.Text && e.version == n && stamps(e.inputs) == e.seen {
		return j.shownOnce(ctx, e)
	}
	text, err := store.Text(ctx, d.Job, v)
	if err != nil && !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, checkpoint.ErrLater) {
		return err
	}
	e.version, e.text = n, v.Text
	var file *config.File
	if err == nil {
		file, err = j.load(d.Job, text)
	}
	if err != nil {
		e.inputs = config.Inputs(err)
		e.seen = stamps(e.inputs)
		j.bad(e, err)
		return nil
	}
	j.take(e, file, v)
	return j.shownOnce(ctx, e)
}

// load reads a version as this process has to run it.
func (j *storedJobs) load(job string, text *checkpoint.JobText) (*config.File, error) {
	stored, err := storedJob(job, text)
	if err != nil {
		return nil, err
	}
	file, err := config.LoadStored(stored, j.s.envDir, j.s.servedOptions())
	if err != nil {
		return nil, err
	}
	if pipeline.Token(file.Job.ID) != pipeline.Token(job) {
		return nil, fmt.Errorf("%s: its text has the id %q; put it again", file.Path, file.Job.ID)
	}
	return file, j.s.noLiterals(file)
}

// take serves a version from now on.
func (j *storedJobs) take(e *storedEntry, file *config.File, v checkpoint.JobVersion) {
	first := e.file == nil
	again := e.good == e.version && e.problem == nil
	e.inputs, e.file, e.good, e.problem, e.shown = file.Inputs(), file, e.version, nil, false
	e.seen, e.put = stamps(e.inputs), v.At
	for _, w := range file.Warnings {
		j.log.Warn(w.String())
	}
	switch {
	case first:
		line := fmt.Sprintf("job %s: %s, %s", file.Job.ID, e.path(), screen.Of(int64(len(file.Job.Connections)), "connection"))
		if pipeline.Token(file.Job.ID) != file.Job.ID {
			line += "; its triggers are " + pipeline.TopicTrigger(file.Job.ID)
		}
		j.log.Info(line)
	case !again:
		j.log.Info(fmt.Sprintf("job %s was changed by %s; its next run is as %s says", file.Job.ID, v.By, e.path()))
	}
}

// bad keeps what was good before, and says what is wrong, once.
func (j *storedJobs) bad(e *storedEntry, err error) {
	said := e.problem != nil && e.problem.Error() == err.Error()
	e.problem = err
	if said {
		return
	}
	text := e.path() + " cannot be used: " + err.Error()
	if e.file != nil {
		text += fmt.Sprintf("\njob %s is served as version %d says", e.job, e.good)
	}
	j.log.Error(text)
}

// gone serves a job no more.
func (j *storedJobs) gone(token string, d checkpoint.JobDefinition) {
	e := j.jobs[token]
	delete(j.jobs, token)
	if e == nil || e.file == nil {
		return
	}
	by := ""
	if d.Removed != nil {
		by = " by " + d.Removed.By
	}
	j.log.Info(fmt.Sprintf("job %s is no longer served: it was removed from the store%s", e.job, by))
}

// shownOnce shows a job to operators, if that was not done.
func (j *storedJobs) shownOnce(ctx context.Context, e *storedEntry) error {
	if e.shown || e.file == nil {
		return nil
	}
	if err := j.show(ctx, &e.file.Job); err != nil {
		return err
	}
	e.shown = true
	return nil
}

// storedNow is a job of the store at the moment at which it was asked for.
type storedNow struct {
	there   bool
	path    string
	file    *config.File // nil if no version of it could be used
	problem error
}

// having is the job of an id, given as its token, as the store has it now. The error is transient: the store cannot be
// asked.
func (j *storedJobs) having(token string) (storedNow, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerPatience)
	defer cancel()
	if err := j.read(ctx, token); err != nil {
		return storedNow{}, pipeline.Transient(fmt.Errorf("look for job %s in the store: %w", pipeline.Untoken(token), err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.jobs[token]
	if e == nil {
		return storedNow{}, nil
	}
	return storedNow{true, e.path(), e.file, e.problem}, nil
}

// list are the jobs of the store, by token.
func (j *storedJobs) list() map[string]servedFile {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[string]servedFile{}
	for token, e := range j.jobs {
		s := servedFile{path: e.path()}
		if e.problem != nil {
			s.problem = e.problem.Error()
		}
		out[token] = s
	}
	return out
}

// good are the last good versions, by token; nil of a job that never had one.
func (j *storedJobs) good() map[string]*config.File {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[string]*config.File{}
	for token, e := range j.jobs {
		out[token] = e.file
	}
	return out
}

// loadStoredJob reads a job of the store for a command that runs it, or looks at it.
func (s *settings) loadStoredJob(ctx context.Context, job string, only []string, log *slog.Logger) (file *config.File, _ error) {
	err := s.bus(ctx, log, func(conn *nats.Conn) error {
		store := checkpoint.NewJobDefinitions(conn.Stores().Jobs)
		d, err := store.Get(ctx, job)
		if errors.Is(err, pipeline.ErrNoKey) {
			return noStoredJob(job)
		}
		if err != nil {
			return err
		}
		_, text, err := versionText(ctx, store, d, 0)
		if err != nil {
			return err
		}
		stored, err := storedJob(d.Job, text)
		if err != nil {
			return err
		}
		if file, err = config.LoadStored(stored, s.envDir, jobOptions(s.strict, only)); err != nil {
			return &exitError{exitBadJob, err}
		}
		return nil
	})
	return file, err
}
