package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fanmill/internal/config"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// served is what a process serves: the jobs of a folder, those of the store, or both. A job that stands in both is
// served from neither.
type served struct {
	folder *folder        // nil if there is none
	stored *storedJobs    // nil if the store's jobs are not served
	bounds *config.Bounds // of jobs that triggers bring along; nil if none are taken
	log    *slog.Logger

	mu    sync.Mutex
	twice map[string]bool // jobs of both, by token, that were named
}

// fromStore is what --jobs says for the jobs of the store. A folder of that name is ./store.
const fromStore = "store"

// jobsFrom takes the values of --jobs apart.
func jobsFrom(values []string) (dir string, store bool, _ error) {
	for _, v := range values {
		switch {
		case v == "":
			return "", false, errors.New("--jobs is empty; it names the folder of job files, or store for the jobs of the store")
		case v == fromStore:
			store = true
		case dir != "" && dir != v:
			return "", false, fmt.Errorf("--jobs names two folders, %s and %s; put the files into one, or the jobs into the store", dir, v)
		default:
			dir = v
		}
	}
	return dir, store, nil
}

// openJobs serves the jobs of a folder, if dir names one, and those of the store.
func (s *settings) openJobs(dir string, store bool, log *slog.Logger) (*served, error) {
	out := &served{log: log, twice: map[string]bool{}}
	if store {
		out.stored = &storedJobs{s: s, log: log, jobs: map[string]*storedEntry{}}
	}
	if dir == "" {
		return out, nil
	}
	var err error
	out.folder, err = s.openFolder(dir, log)
	return out, err
}

// where names what is served.
func (j *served) where() string {
	switch {
	case j.folder == nil:
		return "the store"
	case j.stored == nil:
		return j.folder.dir
	}
	return j.folder.dir + " and the store"
}

// in serves by an open store.
func (j *served) in(sys *system) {
	show := func(ctx context.Context, job *pipeline.Job) error { return sys.node.Coordinator().StoreJob(ctx, job) }
	if j.folder != nil {
		j.folder.store = show
	}
	if j.stored != nil {
		j.stored.open(sys.node.Stores.Jobs, show)
	}
}

// look reads what is new or changed.
func (j *served) look(ctx context.Context) {
	if j.folder != nil {
		j.folder.look(ctx)
	}
	if j.stored != nil {
		j.stored.look(ctx)
	}
	j.both()
}

// watch looks until ctx ends; work is done then.
func (j *served) watch(ctx context.Context, work *sync.WaitGroup) {
	if j.folder != nil {
		work.Go(func() { j.folder.watch(ctx, j.both) })
	}
	if j.stored != nil {
		work.Go(func() { j.stored.watch(ctx, j.both) })
	}
}

// both names the jobs that stand in the folder and in the store, once, and again after they did not.
func (j *served) both() {
	if j.folder == nil || j.stored == nil {
		return
	}
	files, entries := j.folder.list(), j.stored.list()
	j.mu.Lock()
	defer j.mu.Unlock()
	for token := range j.twice {
		if _, still := entries[token]; !still || files[token].path == "" {
			delete(j.twice, token)
		}
	}
	for token, e := range entries {
		if f, ok := files[token]; ok && !j.twice[token] {
			j.twice[token] = true
			j.log.Error(inBoth(pipeline.Untoken(token), f.path, e.path).Error())
		}
	}
}

// inBoth says that a job stands in the folder and in the store.
func inBoth(job, file, entry string) error {
	return fmt.Errorf("%s and %s both have the id %q; neither is served until one is gone: take the file away, or fanmill job rm %s", file, entry, job, shellQuote(job))
}

// restored has all jobs shown again, in a store that does not know them.
func (j *served) restored() {
	if j.folder != nil {
		j.folder.restored()
	}
}

// list is what is served, and what cannot be, by the token of the job.
func (j *served) list() map[string]servedFile {
	out := map[string]servedFile{}
	if j == nil {
		return out
	}
	if j.folder != nil {
		out = j.folder.list()
	}
	if j.stored == nil {
		return out
	}
	for token, e := range j.stored.list() {
		if f, ok := out[token]; ok {
			e = servedFile{path: f.path, problem: inBoth(pipeline.Untoken(token), f.path, e.path).Error()}
		}
		out[token] = e
	}
	return out
}

// has reports whether a job is one of these.
func (j *served) has(id string) bool {
	_, ok := j.list()[pipeline.Token(id)]
	return ok
}

// count is how many jobs are served.
func (j *served) count() (n int) {
	twice := 0
	files := map[string]servedFile{}
	if j.folder != nil {
		n, files = j.folder.count(), j.folder.list()
	}
	if j.stored != nil {
		for token, e := range j.stored.good() {
			if _, both := files[token]; both {
				twice++
			} else if e != nil {
				n++
			}
		}
	}
	return n - twice
}

// serves names where the job of this id stands, whatever its case; "" if it is not served.
func (j *served) serves(id string) string {
	for token, s := range j.list() {
		if strings.EqualFold(pipeline.Untoken(token), id) {
			return filepath.Base(s.path)
		}
	}
	return ""
}

// last is the definition of a job as it was last read; nil if it is not served.
func (j *served) last(id string) *spec.Definition {
	var found []*config.File
	if j.folder != nil {
		found = j.folder.last(pipeline.Token(id))
	}
	if j.stored != nil {
		if file := j.stored.good()[pipeline.Token(id)]; file != nil {
			found = append(found, file)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return definition(found[0])
}

// now are all jobs that are served, as they were last read.
func (j *served) now() (all []*pipeline.Job) {
	for _, token := range sortedKeys(j.list()) {
		if def := j.last(pipeline.Untoken(token)); def != nil {
			all = append(all, def.Job)
		}
	}
	return all
}

// unserved replaces references in texts of jobs that are not served any more, but whose runs go on.
func (j *served) unserved(envDir string) func(string) (string, error) {
	if j.folder == nil {
		return config.ExpandIn(envDir)
	}
	return config.ExpandIn(j.folder.dir, envDir)
}

// find is the job of an id, as its token.
func (j *served) find(id string) (*spec.Definition, error) {
	file, err := j.loaded(id)
	if err != nil {
		return nil, err
	}
	return definition(file), nil
}

// loaded is a job as it is now, in the folder or in the store. It is transient if the store cannot be asked.
func (j *served) loaded(id string) (*config.File, error) {
	var found []*config.File
	var known []string
	var broken []error
	if j.folder != nil {
		found, known, broken = j.folder.having(id)
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s and %s both have the id %q; change one", found[0].Path, found[1].Path, found[0].Job.ID)
	}
	if j.stored != nil {
		e, err := j.stored.having(id)
		if err != nil {
			return nil, err
		}
		if e.there && len(found) > 0 {
			return nil, inBoth(found[0].Job.ID, found[0].Path, e.path)
		}
		if e.file != nil {
			return e.file, nil
		}
		if e.problem != nil {
			return nil, fmt.Errorf("%s cannot be used: %w", e.path, e.problem)
		}
		for _, file := range j.stored.good() {
			if file != nil {
				known = append(known, file.Job.ID)
			}
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	slices.Sort(known)
	err := fmt.Errorf("there is no job %q in %s; there are %s", id, j.where(), cmp.Or(strings.Join(known, ", "), "none"))
	if len(broken) > 0 {
		err = fmt.Errorf("%w. These files cannot be used: %w", err, errors.Join(broken...))
	}
	return nil, err
}

// sortedKeys are the keys of a map in their order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
