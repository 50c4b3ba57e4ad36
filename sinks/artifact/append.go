package artifact

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// Append adds what write writes to the private file that is not public and returns the state to record. The bytes are
// fsynced, and not public, when it returns; the committed bytes before them are untouched in either file, so that a
// crash before the record is written costs nothing.
//
// write is called again, for the other file, after Publish or in the next Append, and must write the same bytes then.
// The parts it reads are handed over as spent: they are kept, closed or not, until the next Append has returned, and
// then discarded.
func (a *Artifact) Append(write func(w io.Writer) error, spent ...*Part) (State, error) {
	if err := a.acquire(); err != nil {
		return State{}, err
	}
	i := 1 - a.which()
	if a.files[i].public { // publication is delayed: the committed file is private, and grows past what is committed
		i = a.which()
	}
	if err := a.bring(i); err != nil {
		return State{}, err
	}
	f := &a.files[i]
	f.dirty = true
	w, err := a.write(a.in(f.name), a.state.Length, a.sum, "mid-stage", write)
	if err != nil {
		return State{}, err
	}
	failpoint.Hit("after-fsync")
	a.step("appended")
	if err := a.remember(f, a.state.Length+w.n); err != nil {
		return State{}, err
	}
	a.last = delta{write: write, from: a.state.Length, to: f.length, xx: w.xx.Sum64()}
	a.state.Which, a.state.Length, a.state.SHA256 = f.name, f.length, hexSum(a.sum)
	a.state.Commits++
	a.state.Final, a.state.Rebased, a.earlier = nil, false, nil
	if a.shown != nil {
		a.state.Shown = []Print{a.shown.print}
	}
	a.retire(spent)
	return a.state, nil
}

// retire discards the parts of the commit before, which no record references any more and no file lacks.
func (a *Artifact) retire(spent []*Part) {
	for _, p := range a.spent {
		if err := p.Discard(); err != nil {
			a.log.Debug("a spent part file was left behind; the end of the run removes it", "error", err)
		}
	}
	a.spent = spent
}

// write writes to a file from offset on, fsyncs it, and extends sum by the bytes.
func (a *Artifact) write(path string, offset int64, sum hash.Hash, point string, fill func(io.Writer) error) (w *deltaWriter, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, a.trouble("open", path, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = a.trouble("write", path, cerr)
		}
	}()
	w = &deltaWriter{f: f, sum: sum, xx: xxhash.New(), mid: func() { a.step(point) }}
	if _, err = f.Seek(offset, io.SeekStart); err == nil {
		if err = fill(w); err == nil {
			if w.n == 0 {
				w.mid()
			}
			err = f.Sync()
		}
	}
	if err != nil {
		return nil, a.trouble("write", path, err)
	}
	return w, nil
}

// deltaWriter writes to a file and hashes what it writes. It reaches the failpoint in the middle of the first write
// and after every other one.
type deltaWriter struct {
	f   *os.File
	sum hash.Hash
	xx  *xxhash.Digest
	n   int64
	mid func()
}

func (w *deltaWriter) Write(p []byte) (n int, err error) {
	hashed := make(chan struct{}) // hashing takes as long as writing: side by side they take half
	go func() {
		defer close(hashed)
		_, _ = w.sum.Write(p)
		_, _ = w.xx.Write(p)
	}()
	defer func() { <-hashed }()
	if w.n == 0 && len(p) > 0 {
		if n, err = w.f.Write(p[:len(p)/2]); err == nil {
			w.mid()
			var m int
			m, err = w.f.Write(p[len(p)/2:])
			n += m
		}
	} else {
		n, err = w.f.Write(p)
		w.mid()
	}
	w.n += int64(n)
	return n, err
}

// Finish makes the final artifact and returns the state to record; it is fsynced, and not public, when Finish returns.
// With a nil write the committed bytes are the final ones; else write makes a file of its own from them.
func (a *Artifact) Finish(write func(w io.Writer, committed io.ReaderAt, length int64) error) (State, error) {
	if err := a.bring(a.which()); err != nil { // also where nothing more is copied: what is published is what was committed
		return State{}, err
	}
	final := &Final{Print: Print{a.state.Length, a.state.SHA256}}
	if write == nil {
		failpoint.Hit("mid-finish")
	} else {
		var err error
		if final, err = a.finishSeparate(write); err != nil {
			return State{}, err
		}
	}
	a.state.Final, a.finished = final, false
	if a.shown != nil {
		a.state.Shown = []Print{a.shown.print}
	}
	a.retire(nil)
	return a.state, nil
}

// finishSeparate writes the final file. It reads the private file that is not public where that one is complete: a
// user's program cannot change it meanwhile.
func (a *Artifact) finishSeparate(write func(w io.Writer, committed io.ReaderAt, length int64) error) (*Final, error) {
	source := a.which()
	if other := &a.files[1-source]; a.files[source].public && !other.public {
		if err := a.bring(1 - source); err != nil {
			return nil, err
		}
		source = 1 - source
	}
	in, err := os.Open(a.in(a.files[source].name))
	if err != nil {
		return nil, a.trouble("open", a.in(a.files[source].name), err)
	}
	defer in.Close()
	path := a.in("final")
	if err := a.create(path, a.access, func(*os.File) error { return nil }); err != nil {
		return nil, a.trouble("create", path, err)
	}
	sum := newSum()
	w, err := a.write(path, 0, sum, "mid-finish", func(w io.Writer) error { return write(w, in, a.state.Length) })
	if err != nil {
		_ = os.Remove(path) // on a full disk it would be in the way of the next try
		return nil, err
	}
	if err := syncDir(a.dir); err != nil {
		return nil, a.trouble("sync", a.dir, err)
	}
	a.step("finished")
	if edited, err := a.edited(&a.files[source]); err != nil {
		return nil, err
	} else if edited {
		return nil, pipeline.Transient(fmt.Errorf("%s was changed by another program while its final form was made", a.path))
	}
	return &Final{Print: Print{w.n, hexSum(sum)}, Separate: true}, nil
}

// errorsThatEnd reports whether nothing may go on after err, not even what can be made up for later.
func errorsThatEnd(err error) bool {
	return pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrFenced)
}
