package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/trigger"
)

var _ trigger.Served = (*served)(nil)

// Scheduled implements trigger.Served. A job that stands in two places is served from neither.
func (j *served) Scheduled() []trigger.ServedJob {
	found := map[string][]trigger.ServedJob{}
	if j.folder != nil {
		for _, s := range j.folder.scheduled() {
			found[pipeline.Token(s.Job.ID)] = append(found[pipeline.Token(s.Job.ID)], s)
		}
	}
	if j.stored != nil {
		for token, s := range j.stored.scheduled() {
			found[token] = append(found[token], s)
		}
	}
	var all []trigger.ServedJob
	for _, token := range sortedKeys(found) {
		if len(found[token]) == 1 {
			all = append(all, found[token][0])
		}
	}
	return all
}

// Gone implements trigger.Served.
func (j *served) Gone(ctx context.Context, job string, from checkpoint.Edition) bool {
	if from.From == theStore {
		return j.stored != nil && j.stored.removed(ctx, job)
	}
	return j.folder != nil && j.folder.removed(from.From)
}

// theStore is where the jobs of the store are read.
const theStore = "the store"

// onHost ends what tells a file from one of another host.
func onHost() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return " on " + host
}

// fileHere names a file of this host.
func fileHere(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return path + onHost()
}

// scheduled are the jobs of the folder, with the files that they were read from.
func (f *folder) scheduled() (all []trigger.ServedJob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, j := range f.files {
		if j.file != nil {
			all = append(all, trigger.ServedJob{Job: &j.file.Job, From: checkpoint.Edition{From: fileHere(path), Edited: j.written}})
		}
	}
	return all
}

// removed reports whether a file of this folder is there no more. A folder that cannot be read says nothing.
func (f *folder) removed(from string) bool {
	path, here := strings.CutSuffix(from, onHost())
	dir, err := filepath.Abs(f.dir)
	if !here || err != nil || filepath.Dir(path) != dir {
		return false
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return false
	}
	_, err = os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// scheduled are the jobs of the store as they were last good, by token.
func (j *storedJobs) scheduled() map[string]trigger.ServedJob {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[string]trigger.ServedJob{}
	for token, e := range j.jobs {
		if e.file != nil {
			out[token] = trigger.ServedJob{Job: &e.file.Job, From: checkpoint.Edition{From: theStore, Version: e.good, Edited: e.put}}
		}
	}
	return out
}

// removed reports whether the store has a job no more. A store that cannot be asked says nothing.
func (j *storedJobs) removed(ctx context.Context, job string) bool {
	j.mu.Lock()
	kv := j.kv
	j.mu.Unlock()
	d, err := checkpoint.NewJobDefinitions(kv).Get(ctx, job)
	return errors.Is(err, pipeline.ErrNoKey) || err == nil && d.Current == 0
}
