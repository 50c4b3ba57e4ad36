// Package spool keeps rows on a disk for destinations that cannot write them as they come: a Parquet file, a request to
// a receiver. It knows nothing of records: what of it counts is decided by who keeps its marks.
//
//	<spool>/place.json                       the marker of this disk: a record that names it is only worked on here
//	<spool>/<run>/<destination>/<epoch>-<token>/   the folder of one claim
//	    c0007-a2.rows                        the rows of connection 7, attempt 2
//	    outbox, body-...                     what is to be sent
//
// A claim makes a folder of its own. What the record names of an earlier one is linked into it, or copied where it may
// still be written to by an owner that sleeps: nothing that such an owner does can change a file that counts.
package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline/durable"
)

// bufferBytes is the size of read and write buffers: an append of a batch is few writes.
const bufferBytes = 256 << 10

// Folder is the folder of one claim of one destination.
type Folder struct {
	dir   string // <spool>/<run>/<destination>/<epoch>-<token>
	base  string
	epoch uint64
	space *Space
}

// ErrNewer is a folder of a later claim: this one is over.
var ErrNewer = errors.New("a later claim has a folder here")

// Claim makes the folder of a claim. Epochs are counted up by every claim of a record, so the greatest is the last.
func (r *Root) Claim(run, destination string, epoch uint64, token string) (*Folder, error) {
	base := filepath.Join(r.Dir, run, destination)
	f := &Folder{base: base, dir: filepath.Join(base, fmt.Sprintf("%020d-%s", epoch, token)), epoch: epoch, space: r.Space}
	others, err := f.others()
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if o.epoch > epoch {
			return nil, fmt.Errorf("claim %s: %w", base, ErrNewer)
		}
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	return f, errors.Join(durable.SyncDir(base), durable.SyncDir(filepath.Dir(base)), durable.SyncDir(r.Dir))
}

// Dir is the folder's path.
func (f *Folder) Dir() string { return f.dir }

func (f *Folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *Folder) syncDir() error { return durable.SyncDir(f.dir) }

// older is the folder of another claim.
type older struct {
	dir   string
	epoch uint64
}

// others lists the folders of other claims, the newest first.
func (f *Folder) others() (all []older, err error) {
	entries, err := os.ReadDir(f.base)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		number, _, ok := strings.Cut(e.Name(), "-")
		epoch, err := strconv.ParseUint(number, 10, 64)
		if path := filepath.Join(f.base, e.Name()); ok && err == nil && e.IsDir() && path != f.dir {
			all = append(all, older{path, epoch})
		}
	}
	slices.SortFunc(all, func(a, b older) int {
		if a.epoch > b.epoch {
			return -1
		}
		return 1
	})
	return all, nil
}

// Keep takes over a file that is never written again: under a second name where the file system has them, as a copy
// else. The error is ErrDamaged if no earlier claim has it.
func (f *Folder) Keep(name string) error {
	from, err := f.find(name)
	if err != nil || from == f.path(name) {
		return err
	}
	if os.Link(from, f.path(name)) == nil {
		return f.count(name)
	}
	return f.Copy(name, -1)
}

// Copy takes over the first length bytes of a file that its former owner may still write to; all of it if length is
// negative. The error is ErrDamaged if no earlier claim has so much.
func (f *Folder) Copy(name string, length int64) (err error) {
	from, err := f.find(name)
	if err != nil || from == f.path(name) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return gone(err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	// Under another name until it is whole: a claim that is killed here must not be found to have lost the rest.
	part := f.path(name) + ".copy"
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if length < 0 {
		_, err = io.Copy(out, in)
	} else if _, err = io.CopyN(out, in, length); errors.Is(err, io.EOF) {
		err = damaged(from, length, errors.New("it is shorter than recorded"))
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(part, f.path(name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return f.count(name)
}

// find returns the path of a file: in this folder, or in the newest one that has it.
func (f *Folder) find(name string) (string, error) {
	if _, err := os.Stat(f.path(name)); err == nil {
		return f.path(name), nil
	}
	others, err := f.others()
	if err != nil {
		return "", err
	}
	for _, o := range others {
		if path := filepath.Join(o.dir, name); o.epoch < f.epoch {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("find %s: %w", f.path(name), ErrDamaged)
}

// count counts the bytes of a file that was taken over. Nobody waits for them: they are there.
func (f *Folder) count(name string) error {
	info, err := os.Stat(f.path(name))
	if err != nil {
		return err
	}
	f.space.Force(info.Size())
	return f.syncDir()
}

// Create makes a rows file.
func (f *Folder) Create(name string) (*Writer, error) {
	file, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &Writer{folder: f, name: name, file: file, out: bufio.NewWriterSize(file, bufferBytes), fresh: true}, nil
}

// Continue goes on with a rows file at a mark: what was written after it goes. The file is one of this claim, see Copy.
func (f *Folder) Continue(name string, at Mark) (*Writer, error) {
	file, err := os.OpenFile(f.path(name), os.O_WRONLY, 0o600)
	if err != nil {
		return nil, gone(err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() < at.Length { // truncation must not make it longer
		err = damaged(file.Name(), at.Length, errors.New("it is shorter than recorded"))
	}
	if err == nil {
		f.space.Force(at.Length - info.Size())
		err = file.Truncate(at.Length)
	}
	if err == nil {
		_, err = file.Seek(at.Length, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Writer{folder: f, name: name, file: file, out: bufio.NewWriterSize(file, bufferBytes), at: at}, nil
}

// Remove removes a file, and gives its bytes back.
func (f *Folder) Remove(name string) error {
	info, err := os.Stat(f.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Remove(f.path(name))
	}
	if err == nil {
		f.space.Give(info.Size())
	}
	return err
}

// Sweep removes the folders of earlier claims, and the files of this one that keep does not want. It is called once a
// record says what counts.
func (f *Folder) Sweep(keep func(name string) bool) error {
	others, err := f.others()
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range others {
		if o.epoch < f.epoch {
			size := Size(o.dir)
			if err := os.RemoveAll(o.dir); err != nil {
				errs = append(errs, err)
				continue
			}
			f.space.Give(size)
		}
	}
	entries, err := os.ReadDir(f.dir)
	for _, e := range entries {
		if !keep(e.Name()) {
			errs = append(errs, f.Remove(e.Name()))
		}
	}
	return errors.Join(append(errs, err)...)
}
