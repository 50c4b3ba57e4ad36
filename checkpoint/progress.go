package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fanmill/pipeline"
)

// progress implements Progress: the checkpoint of a job stands in the bucket under the job's id and, for those
// who look at files, in <dir>/<job>.json.
type progress struct {
	kv  pipeline.KV
	dir string
}

// NewProgress publishes to kv and mirrors to dir, which is made when needed.
func NewProgress(kv pipeline.KV, dir string) Progress { return &progress{kv, dir} }

// Publish implements Progress.
func (p *progress) Publish(ctx context.Context, c pipeline.PublicCheckpoint) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := p.kv.Put(ctx, pipeline.Token(c.JobID), data); err != nil {
		return fmt.Errorf("publish checkpoint of %s: %w", c.JobID, err)
	}
	if err := p.mirror(c); err != nil {
		return fmt.Errorf("mirror checkpoint of %s: %w", c.JobID, err)
	}
	return nil
}

// mirror replaces the file whole, so that a reader never sees half of it. It is derived and not fsynced.
func (p *progress) mirror(c pipeline.PublicCheckpoint) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(p.dir, ".checkpoint-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), p.file(c.JobID))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (p *progress) file(jobID string) string {
	return filepath.Join(p.dir, pipeline.Token(jobID)+".json")
}

// Remove implements Progress.
func (p *progress) Remove(ctx context.Context, jobID string) error {
	err := p.kv.Delete(ctx, pipeline.Token(jobID))
	if rmErr := os.Remove(p.file(jobID)); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}
