package artifact

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline"
)

// private is one of the two files that take turns.
type private struct {
	name   string
	length int64       // how much of the artifact it holds, from its start
	print  fingerprint // as this process last left it
	public bool        // the public name was made a link to it, and by no later publication to another
	dirty  bool        // a write to it failed half way: its tail is ours, and worthless
}

// delta is the last commit's bytes, as a function that writes them again. It stays callable until the next Append has
// returned, since the parts it reads are kept until then.
type delta struct {
	write    func(io.Writer) error
	from, to int64  // where they lie in the artifact
	xx       uint64 // their xxHash64: both writings must agree; nobody forges them
}

// which is the index of the committed file.
func (a *Artifact) which() int {
	if a.state.Which == a.files[1].name {
		return 1
	}
	return 0
}

// edited reports whether somebody else has written to a private file: a program that had it open since it was public
// and saved into it. A file whose size and time are as they were left counts as untouched.
func (a *Artifact) edited(f *private) (bool, error) {
	info, err := stat(a.in(f.name))
	if err != nil {
		return false, a.trouble("look at", a.in(f.name), err)
	}
	return fingerprintOf(info) != f.print, nil
}

// remember takes a private file's fingerprint after an own write. The file is closed by then: Windows sets the time of
// the last write no later than that.
func (a *Artifact) remember(f *private, length int64) error {
	info, err := stat(a.in(f.name))
	if err != nil {
		return a.trouble("look at", a.in(f.name), err)
	}
	if info.Size() != length {
		return pipeline.Permanent(fmt.Errorf("%s is %d bytes long after %d were written", a.in(f.name), info.Size(), length))
	}
	f.length, f.print, f.dirty = length, fingerprintOf(info), false
	return nil
}

// bring makes private file i hold exactly the committed bytes. One that merely lacks the last commit gets it written
// again. One that somebody changed is theirs now: it is kept beside the artifact, and another inode takes its place, as
// it does for a public file that missed several commits, and for one that a reader holds open.
func (a *Artifact) bring(i int) error {
	f := &a.files[i]
	if f.dirty {
		return a.rebuild(i)
	}
	if !f.public && a.access.sealed() && !a.shared(f) {
		a.reopen(a.in(f.name), a.access.whilePrivate())
	}
	edited, err := a.edited(f)
	switch {
	case err != nil:
		return err
	case edited:
		if err := a.keepEdited(a.in(f.name)); err != nil {
			return err
		}
		return a.rebuild(i)
	case !f.public && (a.heldOpen(f) || a.shared(f)):
		return a.rebuild(i)
	case f.length == a.state.Length:
		return nil
	case !f.public && a.replayable(f.length):
		return a.replay(f)
	default:
		return a.rebuild(i)
	}
}

// heldOpen reports whether a program that reads a file which was public keeps others from writing to it (Windows).
func (a *Artifact) heldOpen(f *private) bool {
	file, err := os.OpenFile(a.in(f.name), os.O_WRONLY, 0)
	if err != nil {
		return inUse(err)
	}
	_ = file.Close()
	return false
}

// shared reports whether a file that was public has a name beside its own: a user has renamed it, or made a link to
// it as programs for backups do. It is what they want to keep, and must not grow under their hands.
func (a *Artifact) shared(f *private) bool {
	n, err := countNames(a.in(f.name))
	return err == nil && n > 1
}

// replayable reports whether the last commit is all that a file of this length lacks.
func (a *Artifact) replayable(length int64) bool {
	return a.last.write != nil && a.last.from == length && a.last.to == a.state.Length
}

// replay writes the last commit to the file that lacks it. It is not fsynced: the next Append to it does that, and
// until then the other file is the one that counts.
func (a *Artifact) replay(f *private) error {
	f.dirty = true
	out, err := os.OpenFile(a.in(f.name), os.O_WRONLY, 0)
	if err != nil {
		return a.trouble("open", a.in(f.name), err)
	}
	if _, err = out.Seek(f.length, io.SeekStart); err == nil {
		err = a.rewrite(out)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.trouble("write", a.in(f.name), err)
	}
	a.step("replayed")
	return a.remember(f, a.last.to)
}

// rewrite writes the last commit's bytes once more and insists that they are the same.
func (a *Artifact) rewrite(out io.Writer) error {
	check := &checkWriter{w: out, xx: xxhash.New()}
	if err := a.last.write(check); err != nil {
		return err
	}
	if check.n != a.last.to-a.last.from || check.xx.Sum64() != a.last.xx {
		return pipeline.Permanent(fmt.Errorf("%s: a commit was written twice and its bytes differ (%d and %d); this is a mistake in the encoder of this format, please report it",
			a.path, a.last.to-a.last.from, check.n))
	}
	return nil
}

// rebuild gives private file i a new inode with the committed bytes, taken from the other one and proven by their
// SHA-256.
func (a *Artifact) rebuild(i int) error {
	f, from := &a.files[i], &a.files[1-i]
	have := min(from.length, a.state.Length)
	if have < a.state.Length && !a.replayable(have) {
		return a.lost("another program has changed it, and the second copy holds %d of %d bytes", have, a.state.Length)
	}
	tmp := a.in(f.name + ".tmp")
	sum := sha256.New()
	err := a.create(tmp, a.access, func(out *os.File) error {
		w := io.MultiWriter(out, sum)
		if err := copyPrefix(w, a.in(from.name), have); err != nil {
			return err
		}
		if have == a.state.Length {
			return nil
		}
		return a.rewrite(w)
	})
	if err != nil {
		return a.trouble("copy", tmp, err)
	}
	a.step("rebuilt-copy")
	if hexSum(sum) != a.state.SHA256 {
		_ = os.Remove(tmp)
		return a.lost("another program has changed both copies of it")
	}
	if err := a.move(tmp, a.in(f.name)); err != nil {
		return a.trouble("replace", a.in(f.name), err)
	}
	f.public = false
	a.step("rebuilt")
	return a.remember(f, a.state.Length)
}

// checkWriter counts and hashes what passes.
type checkWriter struct {
	w  io.Writer
	xx *xxhash.Digest
	n  int64
}

func (c *checkWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	_, _ = c.xx.Write(p[:n])
	c.n += int64(n)
	return n, err
}
