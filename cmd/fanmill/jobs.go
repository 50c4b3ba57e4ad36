package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// lookEvery is how often the folder of jobs is looked at. It is looked at, not listened to: network drives tell
// nobody of their changes.
const lookEvery = 2 * time.Second

// folder is the job files that a process serves. A file that is changed into one that cannot be used keeps its last
// good version, and says so; a trigger that names it is told, too.
type folder struct {
	s     *settings
	dir   string
	log   *slog.Logger
	store func(context.Context, *pipeline.Job) error // shows a loaded job to operators

	mu    sync.Mutex
	files map[string]*jobFile // by path
}

type jobFile struct {
	inputs  []string // the files that it was read from
	seen    string   // their state then
	file    *config.File
	problem error // of what it is now
	stored  bool
	written time.Time // when file was
}

func (s *settings) openFolder(dir string, log *slog.Logger) (*folder, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("--jobs: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("--jobs %s is a file; name the folder that it is in", dir)
	}
	return &folder{s: s, dir: dir, log: log, files: map[string]*jobFile{}}, nil
}

// watch looks at the folder until ctx ends. looked is called after each look.
func (f *folder) watch(ctx context.Context, looked func()) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(ctx)
			looked()
		}
	}
}

// look reads what is new or changed.
func (f *folder) look(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		f.log.Warn("the folder of jobs cannot be read; the jobs as last read are served", "error", err)
		return
	}
	found := map[string]bool{}
	for _, e := range entries {
		path := filepath.Join(f.dir, e.Name())
		if e.IsDir() || artifact.IsReport(e.Name()) || !slices.Contains([]string{".json", ".yaml", ".yml"}, strings.ToLower(filepath.Ext(path))) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0 {
			continue // to open a pipe would wait for a writer, and hold up all jobs
		}
		found[path] = true
		f.read(path)
	}
	for path, j := range f.files {
		if !found[path] {
			delete(f.files, path)
			if j.file == nil {
				continue
			}
			if twin := f.twin(path, j.file.Job.ID); twin != "" {
				f.log.Info(fmt.Sprintf("%s is gone; job %s is served as %s says", path, j.file.Job.ID, twin))
			} else {
				f.log.Info(fmt.Sprintf("job %s is no longer served: %s is gone", j.file.Job.ID, path))
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(f.files)) {
		j := f.files[path]
		if j.file == nil || j.stored {
			continue
		}
		if err := f.store(ctx, &j.file.Job); err != nil {
			f.log.Warn(fmt.Sprintf("job %s is served, but not shown in the store", j.file.Job.ID), "error", err)
			continue
		}
		j.stored = true
	}
}

// read loads a file if it, or what it refers to, has changed.
func (f *folder) read(path string) {
	j := f.files[path]
	if j == nil {
		j = &jobFile{}
		f.files[path] = j
	}
	inputs := j.inputs
	if inputs == nil {
		inputs = []string{path}
	}
	if seen := stamps(inputs); seen == j.seen {
		return
	}
	written := writtenAt(path)
	file, err := config.Load(path, f.s.servedOptions())
	if err == nil {
		err = f.s.noLiterals(file)
	}
	if err != nil {
		if more := config.Inputs(err); len(more) > 0 {
			inputs = more
		}
		j.inputs, j.seen, j.problem = inputs, stamps(inputs), err
		text := "a job file cannot be used: " + err.Error()
		if j.file != nil && f.twin(path, j.file.Job.ID) == "" { // of two with one id neither is served
			text += "\njob " + j.file.Job.ID + " is served as it was before"
		}
		f.log.Error(text)
		return
	}
	first := j.file == nil
	*j = jobFile{inputs: file.Inputs(), seen: stamps(file.Inputs()), file: file, written: written}
	for _, w := range file.Warnings {
		f.log.Warn(w.String())
	}
	if twin := f.twin(path, file.Job.ID); twin != "" {
		f.log.Error(fmt.Sprintf("%s and %s both have the id %q; neither is served until one is changed", twin, path, file.Job.ID))
	} else if first {
		line := fmt.Sprintf("job %s: %s, %s", file.Job.ID, path, screen.Of(int64(len(file.Job.Connections)), "connection"))
		if pipeline.Token(file.Job.ID) != file.Job.ID {
			line += "; its triggers are " + pipeline.TopicTrigger(file.Job.ID)
		}
		f.log.Info(line)
	} else {
		f.log.Info(fmt.Sprintf("job %s was changed; its next run is as %s says now", file.Job.ID, path))
	}
}

// writtenAt is when a file was written; zero if it is not there.
func writtenAt(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

// stamps tells one state of files from another.
func stamps(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		} else {
			fmt.Fprintf(&b, "%s -\n", path)
		}
	}
	return b.String()
}

// twin is another file whose job has this id; "" if there is none. Neither is served then.
func (f *folder) twin(path, id string) string {
	for other, j := range f.files {
		if other != path && j.file != nil && pipeline.Token(j.file.Job.ID) == pipeline.Token(id) {
			return other
		}
	}
	return ""
}

// restored has all jobs shown again, in a store that does not know them.
func (f *folder) restored() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.files {
		j.stored = false
	}
}

// count is how many jobs are served.
func (f *folder) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, j := range f.files {
		if j.file != nil && f.twin(path, j.file.Job.ID) == "" {
			n++
		}
	}
	return n
}

// last are the files whose job has an id, given as its token, as they were last read.
func (f *folder) last(id string) (found []*config.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.files {
		if j.file != nil && pipeline.Token(j.file.Job.ID) == id {
			found = append(found, j.file)
		}
	}
	return found
}

// having are the files whose job has an id, given as its token; what else is served, and what cannot be. What is on
// disk now counts: a job that was written a moment ago is found.
func (f *folder) having(id string) (found []*config.File, known []string, broken []error) {
	f.look(context.Background())
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(f.files)) {
		j := f.files[path]
		if j.file == nil {
			broken = append(broken, j.problem)
			continue
		}
		if f.twin(path, j.file.Job.ID) == "" {
			known = append(known, j.file.Job.ID)
		}
		if pipeline.Token(j.file.Job.ID) == id {
			found = append(found, j.file)
		}
	}
	return found, known, broken
}
