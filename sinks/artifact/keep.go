package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fanmill/pipeline/outfile"
)

// The functions of this file give files that are not ours names of their own. They never take a name away: the public
// one goes on showing the file until something of ours is renamed over it. The new name is made from one in the
// claim's folder, so that a process that was fenced cannot litter the user's folder.

// previousName is where the file that a run replaces is kept until the run's complete success.
func (a *Artifact) previousName() string { return a.beside(".previous") }

// beside is the name of a companion of the artifact.
func (a *Artifact) beside(suffix string) string { return besideOf(a.path, suffix, a.spec.Dataset) }

func besideOf(path, suffix string, dataset bool) string {
	if dataset {
		return hidden(path) + suffix
	}
	return path + suffix
}

// hidden is a path whose last part begins with a point.
func hidden(path string) string {
	dir, name := filepath.Split(path)
	return dir + "." + strings.TrimPrefix(name, ".")
}

// edited is what the name says of a file that a user has changed.
const edited = "edited"

// asideName is the n-th name for what a user has at path: "sales (edited).csv", "sales (edited 2).csv".
func (a *Artifact) asideName(path, word string, n int) string {
	return asideOf(path, word, n, a.spec.Dataset)
}

func asideOf(path, word string, n int, dataset bool) string {
	ext := outfile.Ext(path)
	switch {
	case dataset && n == 1:
		return fmt.Sprintf("%s (%s)", hidden(path), word)
	case dataset:
		return fmt.Sprintf("%s (%s %d)", hidden(path), word, n)
	case n == 1:
		return fmt.Sprintf("%s (%s)%s", strings.TrimSuffix(path, ext), word, ext)
	}
	return fmt.Sprintf("%s (%s %d)%s", strings.TrimSuffix(path, ext), word, n, ext)
}

// hold gives the file at path a second name in the claim's folder, or a copy of it where that cannot be; "" if there
// is no file.
func (a *Artifact) hold(path, as string) (held string, err error) {
	held = a.in(as)
	switch err := a.linkOrCopy(path, held, a.links); {
	case err == nil:
	case inUse(err):
		return "", fmt.Errorf("%w: %w", errInUse, err)
	case errors.Is(err, fs.ErrNotExist) && exists(a.dir):
		return "", nil // a user took it away in this moment
	default:
		return "", a.trouble("keep", path, err)
	}
	a.step("held")
	return held, nil
}

// keptMark is the file that says that the ".previous" beside the artifact is ours to remove. It stands beside the
// claims' folders and outlives them, as the kept file does, until a run succeeds completely.
func (a *Artifact) keptMark() string { return filepath.Join(a.base, "kept") }

// keepPrevious keeps what stood at the public name before the run's first publication. An older file of that name,
// from an earlier run, is replaced; but what a partial run left does not replace the last whole one.
func (a *Artifact) keepPrevious(there os.FileInfo) error {
	held, err := a.hold(a.path, "kept")
	if err != nil || held == "" {
		return err
	}
	if exists(a.previousName()) && (a.state.Partial || exists(a.keptMark()) && a.stale(there)) {
		if err := os.Remove(held); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a.trouble("remove", held, err)
		}
		a.log.Info("the file of a partial run is replaced; the one kept from before it stays", "file", a.path, "kept", a.previousName())
		return nil
	}
	if exists(a.previousName()) && !exists(a.keptMark()) { // no run has put it there
		if err := a.keepOther(); err != nil {
			return err
		}
	}
	if err := a.note(a.keptMark(), []byte(a.spec.Run)); err != nil {
		return a.trouble("create", a.keptMark(), err)
	}
	if err := a.move(held, a.previousName()); err != nil {
		return err
	}
	a.step("previous")
	a.log.Info("the file of an earlier run is kept until this one is complete", "file", a.path, "kept", a.previousName())
	return nil
}

// keepOther keeps a file of the user's own that has the name of the kept one.
func (a *Artifact) keepOther() error {
	name, isNew, err := a.keepAs(a.previousName(), "other", func(held string) (string, bool, error) { return a.nameNew(held, a.previousName(), edited) })
	if err != nil {
		return err
	}
	a.step("other")
	if isNew {
		a.log.Warn(fmt.Sprintf("%s is needed for the earlier file; what stood there was not put there by fanmill and is kept as %s", a.previousName(), filepath.Base(name)))
	}
	return nil
}

// keepAs holds the file at path as long as it gets a name from give. isNew says that it had none; there may be no file.
func (a *Artifact) keepAs(path, as string, give func(held string) (name string, isNew bool, err error)) (name string, isNew bool, err error) {
	held, err := a.hold(path, as)
	if err != nil || held == "" {
		return "", false, err
	}
	if name, isNew, err = give(held); err != nil {
		return "", false, err
	}
	if err := os.Remove(held); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, a.trouble("remove", held, err)
	}
	return name, isNew, nil
}

// partial reports whether a file is what a run delivered that lacked a connection: the report beside it says so of
// these bytes.
func (a *Artifact) partial(path string) bool {
	r := a.readReport()
	if r == nil || whole(r) {
		return false
	}
	sum, err := sumFile(path)
	return err == nil && sum == r.SHA256
}

// keepEdited keeps a file that a user changed or put in place of ours, under a name that nothing has.
func (a *Artifact) keepEdited(path string) error {
	name, isNew, err := a.keepAs(path, "kept", a.nameEdited)
	if err != nil {
		return err
	}
	a.step("edited")
	if isNew {
		a.log.Warn(fmt.Sprintf("%s was changed by another program; its content is kept as %s, and the rows of this run go on in %s", a.path, filepath.Base(name), filepath.Base(a.path)))
	}
	return nil
}

// keepStrays keeps what a program has saved into a private file that it held open from when that was public. It is
// the last look at them: whoever cleans up does not know their fingerprints.
func (a *Artifact) keepStrays() error {
	public, err := stat(a.path)
	if err != nil {
		public = nil
	}
	for i := range a.files {
		f := &a.files[i]
		info, err := stat(a.in(f.name))
		if err != nil {
			return a.trouble("look at", a.in(f.name), err)
		}
		if f.dirty || fingerprintOf(info) == f.print || public != nil && os.SameFile(info, public) {
			continue
		}
		if err := a.keepEdited(a.in(f.name)); err != nil {
			return err
		}
	}
	return nil
}

// nameEdited gives a held file its name. One that has a name already, because a crash or a second look came in
// between, keeps that.
func (a *Artifact) nameEdited(held string) (name string, isNew bool, err error) {
	if !a.appends() && a.same(held, a.previousName()) { // what a run appends to is kept elsewhere, so that this name may go
		return a.previousName(), false, nil
	}
	return a.nameAside(held, edited)
}

// nameAside gives a file from the public name one beside it. A run that died there may have called it by another word.
func (a *Artifact) nameAside(held, word string) (name string, isNew bool, err error) {
	for _, said := range []string{notOurs, edited} {
		for n := 1; exists(a.asideName(a.path, said, n)); n++ {
			if name := a.asideName(a.path, said, n); a.same(held, name) {
				return name, false, nil
			}
		}
	}
	return a.nameNew(held, a.path, word)
}

// nameNew gives a held file the first free name after that of path.
func (a *Artifact) nameNew(held, path, word string) (name string, isNew bool, err error) {
	for n := 1; ; n++ {
		name = a.asideName(path, word, n)
		if exists(name) {
			if a.same(held, name) {
				return name, false, nil
			}
			if info, err := stat(name); !a.links && err == nil && info.Mode().IsRegular() && info.Size() == 0 { // a try that died has taken it
				return name, true, a.move(held, name)
			}
			continue
		}
		err := a.ops.link(held, name)
		switch {
		case err == nil:
			return name, true, nil
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return "", false, a.trouble("keep", name, err)
		}
		// No hard links: the name is taken by creating it, which never replaces anything, and then replaced by the
		// copy.
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return "", false, a.trouble("keep", name, err)
		}
		a.step("reserved")
		if err := a.move(held, name); err != nil {
			_ = os.Remove(name)
			return "", false, err
		}
		return name, true, nil
	}
}

// same reports whether two names show the same file, or files of the same content.
func (a *Artifact) same(x, y string) bool {
	ix, errX := stat(x)
	iy, errY := stat(y)
	if errX != nil || errY != nil || !ix.Mode().IsRegular() || ix.Size() != iy.Size() {
		return false
	}
	if os.SameFile(ix, iy) {
		return true
	}
	sx, errX := sumFile(x)
	sy, errY := sumFile(y)
	return errX == nil && errY == nil && sx == sy
}
