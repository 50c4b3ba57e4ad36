package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	"fanmill/pipeline"
)

// FilesRecord says on which host the files of a job are whose destinations name no place, in Stores.Jobs: by
// destination and by folder, as the job spells it. A run that begins writes them there again, whoever else could by
// then.
type FilesRecord struct {
	Job          string                          `json:"job"`
	Destinations map[string]map[string]FilesHome `json:"destinations,omitempty"`
}

// FilesHome is where the files of one folder of a destination are.
type FilesHome struct {
	Home  string    `json:"home"`          // Owner.Home of the processes that write them
	Since time.Time `json:"since"`         // by the clock of who chose it, for people
	Run   string    `json:"run,omitempty"` // the run for which it was chosen; "" if a person has
}

// FilesKey is the FilesRecord of a job, in Stores.Jobs.
func FilesKey(job string) string { return pipeline.Token(job) + ".files" }

// FolderOf is the folder of a destination's files, as the job spells it, tokens and all.
func FolderOf(d *pipeline.Destination) string {
	return path.Dir(strings.ReplaceAll(d.FilePath, `\`, "/"))
}

// LoadFiles reads the record of a job. One that is not there, or that nobody can read, has nothing in it; pass is told
// of the latter, and the next change takes its place.
func LoadFiles(ctx context.Context, jobs pipeline.KV, job string, pass func(error)) (FilesRecord, error) {
	doc, err := LoadDocument[FilesRecord](ctx, jobs, FilesKey(job))
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return FilesRecord{Job: job}, nil
	case errors.Is(err, pipeline.ErrForeign):
		pass(err)
		return FilesRecord{Job: job}, nil
	case err != nil:
		return FilesRecord{}, fmt.Errorf("look where the files of job %s are: %w", job, err)
	}
	return doc.Value(), nil
}

// ChangeFiles applies f to the record of a job, by compare-and-set. f may be called several times.
func ChangeFiles(ctx context.Context, jobs pipeline.KV, job string, f func(*FilesRecord)) error {
	change := func(r *FilesRecord) { r.Job = job; f(r) }
	doc, err := LoadDocument[FilesRecord](ctx, jobs, FilesKey(job))
	switch {
	case errors.Is(err, pipeline.ErrForeign):
		rec := FilesRecord{}
		change(&rec)
		err = doc.Overwrite(ctx, rec)
	case err == nil || errors.Is(err, pipeline.ErrNoKey):
		err = doc.Change(ctx, Anybody, change)
	}
	if err != nil {
		return fmt.Errorf("note where the files of job %s are: %w", job, err)
	}
	return nil
}

// Of is where the files of a folder of a destination are; false if they never were anywhere.
func (r *FilesRecord) Of(destination, folder string) (FilesHome, bool) {
	h, ok := r.Destinations[destination][folder]
	return h, ok
}

// Keep notes where the files of a folder of a destination are.
func (r *FilesRecord) Keep(destination, folder string, h FilesHome) {
	folders := maps.Clone(r.Destinations[destination])
	if folders == nil {
		folders = map[string]FilesHome{}
	}
	folders[folder] = h
	if r.Destinations = maps.Clone(r.Destinations); r.Destinations == nil {
		r.Destinations = map[string]map[string]FilesHome{}
	}
	r.Destinations[destination] = folders
}

// Forget says of a destination that its files are nowhere any more: the next run chooses anew.
func (r *FilesRecord) Forget(destination string) {
	r.Destinations = maps.Clone(r.Destinations)
	delete(r.Destinations, destination)
}
