package dedupe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
)

// folder is where a Run's files are.
type folder struct {
	ctx  context.Context
	path string
	ask  func(bytes int64) error
	held int64 // bytes of files that ask knows of
	peak int64
	next int // number of the next partition
}

// The names of the files that Clean removes.
const (
	partPrefix = "dedupe."
	partSuffix = ".part"
	bitsName   = "dedupe.bits"
)

func newFolder(ctx context.Context, path string, ask func(int64) error) *folder {
	return &folder{ctx: ctx, path: path, ask: ask}
}

func (d *folder) make() error { return trouble("dedupe", os.MkdirAll(d.path, 0o700)) }

func cleanFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if name == bitsName || strings.HasPrefix(name, partPrefix) && strings.HasSuffix(name, partSuffix) {
			if gone := os.Remove(filepath.Join(dir, name)); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return trouble("dedupe: clean", err)
}

// create makes a file for reading and writing.
func (d *folder) create(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	return f, trouble("dedupe", err)
}

// write appends to a file that grows by it.
func (d *folder) write(f *os.File, p []byte) error {
	if err := d.grow(int64(len(p))); err != nil {
		return err
	}
	_, err := f.Write(p)
	return trouble("dedupe", err)
}

// grow asks for room on the disk.
func (d *folder) grow(bytes int64) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if d.ask != nil {
		if err := d.ask(bytes); err != nil {
			return fmt.Errorf("dedupe: room on the disk: %w", err)
		}
	}
	d.held += bytes
	d.peak = max(d.peak, d.held)
	return nil
}

// shrink gives back the room of a removed file, or of one that is no longer a Run's.
func (d *folder) shrink(bytes int64) {
	d.held -= bytes
	if d.ask != nil && bytes > 0 {
		_ = d.ask(-bytes) // who is given something has no objection
	}
}

// pass gives a file of so many bytes to the caller of Run.
func (d *folder) pass(bytes int64) { d.held -= bytes }

func (d *folder) remove(name string, bytes int64) error {
	err := os.Remove(filepath.Join(d.path, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return trouble("dedupe", err)
	}
	d.shrink(bytes)
	return nil
}

// abandon removes every file.
func (d *folder) abandon() error {
	d.shrink(d.held)
	return cleanFolder(d.path)
}

// trouble classifies an error of the file system.
func trouble(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	hint, stays := outfile.Explain(err)
	kind := pipeline.Transient
	if stays {
		kind = pipeline.OnceMore
	}
	return kind(fmt.Errorf("%s: %w%s", op, err, hint))
}

// syncFolder makes names in a folder durable. Windows has no call for it; some network file systems refuse it.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
