package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"fanmill/pipeline"
)

// Clean removes everything private: the claim's folder, those it found, the lock, and the folders around them if
// nothing else is in there. The public file then is an ordinary file with one name. keepPrevious says that the run is
// given up: it leaves "<name>.previous" and, in mode "append", what a fresh run goes back to. Complete success needs
// neither. Clean may be called again, and by a process that has not claimed the artifact, after a crash: then it does
// nothing while anybody works on it, and nothing where the folder is not this run's.
//
// It returns the homes of the processes whose claims of this run were in the folder that it saw; nil if it saw none, or
// left the folder to another process.
func (a *Artifact) Clean(keepPrevious bool) (homes []string, err error) {
	claimed := a.dir != ""
	if !claimed {
		if err := a.resolve(false); err != nil {
			return nil, err
		}
	}
	if !claimed && !exists(a.base) {
		return nil, nil
	}
	m, err := a.readMarker()
	if err != nil {
		return nil, err
	}
	ours := a.marks(m)
	if ours {
		homes = m.Homes
	}
	if ours || claimed {
		err = a.clean(claimed, keepPrevious)
	} else {
		err = a.cleanBare()
	}
	if !claimed && errors.Is(err, fs.ErrNotExist) && !exists(a.base) {
		return homes, nil // another process that sees the folder has removed it meanwhile
	}
	if errors.Is(err, errOthersAtIt) {
		return nil, nil // whoever is at it says itself when nothing is left
	}
	return homes, err
}

// errOthersAtIt says that another process has the lock of a folder that is to be removed.
var errOthersAtIt = errors.New("another process works on it")

// cleanBare removes a folder that has nothing in it but a lock that nobody holds: a Clean that was killed at its very
// end leaves that, and no marker says whose it was.
func (a *Artifact) cleanBare() error {
	if !a.bare() {
		return nil
	}
	if err := a.acquire(); err != nil && !pipeline.IsPermanent(err) {
		return err
	}
	if a.lock == nil || !a.bare() {
		return nil // Close gives the lock up
	}
	return a.removeBase()
}

// bare reports whether the private folder has nothing in it but a lock.
func (a *Artifact) bare() bool {
	entries, err := os.ReadDir(a.base)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "lock" })
}

func (a *Artifact) clean(claimed, keepPrevious bool) error {
	if !claimed {
		if keepPrevious {
			if err := a.markAbandoned(); err != nil {
				return err
			}
		}
		if err := a.acquire(); err != nil && !pipeline.IsPermanent(err) {
			return err
		}
		if a.lock == nil {
			return errOthersAtIt
		}
		if err := a.listAll(); err != nil {
			return err
		}
		a.step("listed")
		// Where another run has claimed the file, what was listed may be its.
		if m, err := a.readMarker(); err != nil || !a.marks(m) {
			a.orphans = nil
			return err
		}
	} else if exists(a.dir) {
		if err := a.leave(); err != nil {
			return err
		}
	}
	if !claimed || exists(a.dir) {
		if err := a.forgetMade(!keepPrevious); err != nil {
			return err
		}
	}
	if !keepPrevious && (!claimed || exists(a.dir)) { // not where a successor has taken over
		if err := a.dropBaseline(!a.appends()); err != nil {
			return err
		}
		if !exists(a.baselineMark()) { // else that of another run, and so is the note
			if err := os.Remove(a.shownMark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return a.trouble("remove", a.shownMark(), err)
			}
		}
	}
	if !keepPrevious && (!claimed || a.state.Began) && exists(a.keptMark()) { // a file of that name that is the user's own stays
		if err := a.removePrevious(); err != nil {
			return err
		}
		if err := os.Remove(a.keptMark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a.trouble("remove", a.keptMark(), err)
		}
	}
	if claimed {
		a.orphans = append(a.orphans, a.dir)
	}
	for _, path := range a.orphans {
		if err := os.RemoveAll(path); err != nil {
			return a.trouble("remove", path, err)
		}
		a.step("removed")
	}
	a.orphans = nil
	return a.removeBase()
}

// Retire gives up the claim's private files, once the final artifact is public and a record says so that does not
// need them. What Clean decides about stays: what stood there before the run. Nothing but Close and Clean comes after
// it.
func (a *Artifact) Retire() error {
	if !a.finished {
		return pipeline.Permanent(fmt.Errorf("%s: its final form is not public yet", a.path))
	}
	if err := a.acquire(); err != nil {
		return err
	}
	if err := a.leave(); err != nil {
		return err
	}
	if err := a.forgetMade(false); err != nil {
		return err
	}
	if err := os.RemoveAll(a.dir); err != nil {
		return a.trouble("remove", a.dir, err)
	}
	return a.removeBase()
}

// leave writes the report that is owed and closes the parts.
func (a *Artifact) leave() error {
	for p := range a.parts {
		if err := p.Close(); err != nil {
			a.log.Debug("close part", "error", err)
		}
	}
	return a.writeOwed()
}

// listAll finds the folders of all claims. The lock is held and the record says finished: none of them is in use.
func (a *Artifact) listAll() error {
	entries, err := os.ReadDir(a.base)
	if err != nil {
		return a.trouble("read", a.base, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			a.orphans = append(a.orphans, filepath.Join(a.base, e.Name()))
		}
	}
	return nil
}

// removePrevious removes the kept file. A claimed artifact's goes by way of its folder: a process that was fenced
// finds it gone and removes nothing of its successor's.
func (a *Artifact) removePrevious() error {
	if !exists(a.previousName()) {
		return nil
	}
	var err error
	if a.dir != "" && exists(a.dir) {
		err = a.ops.rename(a.previousName(), a.in("previous"))
	} else if a.dir == "" {
		err = os.Remove(a.previousName())
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if inUse(err) {
		a.log.Warn("the earlier file is open in another program and stays", "file", a.previousName())
		return nil
	}
	return a.trouble("remove", a.previousName(), err)
}

// removeBase gives the lock up, removes its file, and the folders above it if they are empty.
func (a *Artifact) removeBase() error {
	if a.lock == nil {
		return nil // somebody else's
	}
	a.unmark()
	path := filepath.Join(a.base, "lock")
	removed := os.Remove(path) // while it is held, where the system can: whoever gets it next must find the file gone
	if err := a.unlock(); err != nil {
		return a.trouble("unlock", path, err)
	}
	if removed != nil {
		_ = os.Remove(path) // Windows removes no open file
	}
	_ = os.Remove(a.base)
	_ = os.Remove(filepath.Dir(a.base))
	return nil
}
