package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Who may read an artifact is for its folder and its owner to say, and not for the user that fanmill runs as: mode,
// group and access list of the file that is replaced go over to the one that takes its place, and its owner, where
// the system lets this process give files away. A new file gets what the folder gives it, and the umask. What is
// private is never wider than what it is private for: files are made for their owner alone, and opened to others only
// once they have the right group.

// follow takes over who may do what with the file that is about to be replaced; nil is none, and nothing changes.
func (a *Artifact) follow(there os.FileInfo) {
	if there != nil && there.Mode().IsRegular() {
		a.access = accessOf(a.path, there)
	}
}

// firstAccess is that of the file which stands at the public name, or of a new one in its folder.
func (a *Artifact) firstAccess() {
	if info, err := stat(a.path); err == nil && info.Mode().IsRegular() {
		a.access = accessOf(a.path, info)
		return
	}
	a.access = newAccess(filepath.Dir(a.path))
}

// reportAccess is that of the report which is replaced, or the artifact's.
func (a *Artifact) reportAccess() access {
	if info, err := stat(a.reportName()); err == nil && info.Mode().IsRegular() {
		return accessOf(a.reportName(), info)
	}
	return a.access
}

// open opens a file of the claim's folder, makes it where flags say so, and gives a new one its access.
func (a *Artifact) open(path string, flags int, who access) (*os.File, error) {
	f, err := os.OpenFile(path, flags|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if flags&os.O_CREATE != 0 {
		a.grant(f, who.whilePrivate())
	}
	return f, nil
}

// makeFolder makes a folder that opens to nobody more than the artifact does; one that is there already is narrowed
// to that.
func (a *Artifact) makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, openErr := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if openErr != nil {
		return err // nothing can be narrowed that cannot be opened
	}
	defer f.Close()
	a.grant(f, a.access.ofFolder())
	return err
}

// settle gives a private file that is about to become public its access.
func (a *Artifact) settle(path string) {
	a.reopen(path, a.access)
}

// reopen changes the access of a file of the claim's folder.
func (a *Artifact) reopen(path string, who access) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		a.log.Debug("who may read a file was not changed", "file", path, "error", err)
		return
	}
	defer f.Close()
	a.grant(f, who)
}

// grant gives an open file its access. What the system refuses makes it narrower, never wider.
func (a *Artifact) grant(f *os.File, who access) {
	lacks, err := who.grant(f)
	if err != nil {
		a.log.Debug("who may read a file could not be set as wanted; it is for fewer", "file", f.Name(), "error", err)
	}
	if lacks != "" && !a.saidGroup {
		a.saidGroup = true
		a.log.Warn(fmt.Sprintf("%s belongs to %s, which this user is no member of: the file that takes its place cannot have that group, and gives no other one its rights; make this user a member, or give the folder that group and the setgid bit (chmod g+s)",
			a.path, lacks), "file", a.path)
	}
}
