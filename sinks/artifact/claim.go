package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fanmill/pipeline"
)

// fenced is what a folder's name ends in once it was taken from its owner.
const fenced = ".fenced"

func newSum() hash.Hash { return sha256.New() }

// Claim makes the artifact this process's own, under a token that the commit record names by now. st is the state
// that the record had, nil for a fresh start; parts are the open parts that it references. The committed bytes are
// copied to two new files in a new folder and proven by their SHA-256, so are the recorded beginnings of the parts;
// everything is fsynced when it returns the state to record. Nothing public changes, nothing is removed: a crash
// before the record is written leaves the next claim with all that this one had, though the predecessor's folder may
// already be renamed.
//
// A claimer that overslept its own claim and fences its successor costs that one a claim more; its own state never
// gets into the record. If the committed bytes exist nowhere, neither in private files nor in the public one, the
// error is pipeline.ErrLost, and nothing was fenced. A claim that fails leaves no copies behind: on a full disk they
// would be in the way of the next.
func (a *Artifact) Claim(ctx context.Context, token string, st *State, parts []FileState) (State, error) {
	if token == "" || pipeline.Token(token) != token {
		return State{}, pipeline.Permanent(fmt.Errorf("claim %s: %q cannot be a token", a.spec.Path, token))
	}
	if err := a.resolve(true); err != nil {
		return State{}, err
	}
	if err := a.acquire(); err != nil {
		return State{}, err
	}
	a.step("locked")
	if st == nil && len(parts) > 0 {
		return State{}, a.lost("%d parts are recorded, but no artifact", len(parts))
	}
	if st != nil && st.Length+int64(len(parts)) > 0 && a.folderOf(st.Dir) == "" {
		if !a.publicHolds(st) || len(parts) > 0 {
			return State{}, a.lost("its private files in %s are gone", a.base)
		}
	}
	if err := a.mark(token); err != nil {
		return State{}, err
	}
	if err := a.leaveNonce(); err != nil {
		return State{}, err
	}
	began, err := a.fence(token, st)
	if err != nil {
		return State{}, err
	}
	a.dir = filepath.Join(a.base, token)
	if err := a.makeFolder(a.dir); err != nil {
		a.dir = ""
		return State{}, a.trouble("create folder", filepath.Join(a.base, token), err)
	}
	claimed := false
	defer func() {
		if !claimed {
			_ = os.RemoveAll(a.dir) // no record names it
		}
	}()
	a.step("folder")
	a.state = State{Dir: token, Which: "a", SHA256: noBytes, Began: began}
	if st == nil && !began { // now, while the earlier run's report still stands beside its file
		a.state.Partial = exists(a.previousName()) && exists(a.keptMark()) && a.partial(a.path)
		a.state.Stale = a.leftovers()
		if !a.appends() {
			a.state.Made = a.made()
		}
	}
	if st != nil {
		a.state = *st
		a.state.Dir, a.state.Which, a.state.Began = token, "a", st.Began || began
		a.state.Final = nil
		if st.Final != nil {
			a.earlier = &st.Final.Print
			a.state.Shown = append(a.state.Shown[:len(a.state.Shown):len(a.state.Shown)], st.Final.Print)
		}
	}
	if err := a.copyCommitted(ctx, st); err != nil {
		return State{}, err
	}
	if err := a.copyParts(ctx, st, parts); err != nil {
		return State{}, err
	}
	for _, dir := range []string{a.dir, a.base} {
		if err := syncDir(dir); err != nil {
			return State{}, a.trouble("sync", dir, err)
		}
	}
	a.links = a.canLink()
	claimed = true
	a.step("claimed")
	return a.state, nil
}

// folderOf finds a claim's folder, under its own name or as fenced; "" if there is none.
func (a *Artifact) folderOf(token string) string {
	for _, name := range []string{token, token + fenced} {
		if path := filepath.Join(a.base, name); token != "" && exists(path) {
			return path
		}
	}
	return ""
}

// fence renames the folders of all other claims, so that their owners cannot make or link a file any more, and
// reports whether one of them began this run's first publication. The folders are removed by Adopted, exactly those
// found here: a folder that appears later belongs to a successor.
func (a *Artifact) fence(token string, st *State) (began bool, err error) {
	entries, err := os.ReadDir(a.base)
	if err != nil {
		return false, a.trouble("read", a.base, err)
	}
	a.orphans = a.orphans[:0]
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() {
			continue
		}
		if name == token+fenced || name == token {
			return false, fmt.Errorf("%s: %w", a.path, pipeline.ErrFenced) // by a claim later than this one
		}
		path := filepath.Join(a.base, name)
		if !strings.HasSuffix(name, fenced) {
			if err := a.ops.rename(path, path+fenced); err != nil {
				return false, a.trouble("take over", path, fmt.Errorf("%w; if a process of fanmill is still running on this file, end it", err))
			}
			path += fenced
			a.step("fenced")
		}
		run, err := os.ReadFile(filepath.Join(path, "began"))
		began = began || err == nil && string(run) == a.spec.Run
		a.orphans = append(a.orphans, path)
		if st == nil || name != st.Dir && name != st.Dir+fenced {
			a.log.Debug("found files of an earlier claim", "folder", path)
		}
	}
	return began, nil
}

// publicHolds reports whether the public file may have the committed bytes, judged by its size alone.
func (a *Artifact) publicHolds(st *State) bool {
	info, err := stat(a.path)
	return err == nil && info.Mode().IsRegular() && (info.Size() == st.Length || st.Final != nil && info.Size() == st.Final.Length)
}

// copyCommitted makes the two private files of this claim, fsynced. A run that appends begins with its baseline. Else
// the bytes come from the file that the record names; if a user changed that one in place while it was public, from
// the other, which has the same bytes after every publication; or from the public file itself once the private ones
// were cleaned away: reading it is safe, because the SHA-256 decides.
func (a *Artifact) copyCommitted(ctx context.Context, st *State) (err error) {
	var out [2]*os.File
	for i, name := range []string{"a", "b"} {
		a.files[i] = private{name: name}
		f, err := a.open(a.in(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, a.access)
		if err != nil {
			return a.trouble("create", a.in(name), err)
		}
		defer f.Close()
		out[i] = f
	}
	a.sum = newSum()
	switch {
	case st == nil && a.appends():
		err = a.takeBaseline(ctx, out)
	case a.state.Length > 0:
		err = a.findCommitted(ctx, st, out)
	}
	if err != nil {
		return err
	}
	a.step("copied")
	for i, f := range out {
		err := f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return a.trouble("write", f.Name(), err)
		}
		if err := a.remember(&a.files[i], a.state.Length); err != nil {
			return err
		}
	}
	return nil
}

// findCommitted copies from the first source that proves sound.
func (a *Artifact) findCommitted(ctx context.Context, st *State, out [2]*os.File) error {
	type source struct {
		path string
		want Print
	}
	committed := Print{st.Length, st.SHA256}
	var sources []source
	if dir := a.folderOf(st.Dir); dir != "" {
		other := map[string]string{"a": "b", "b": "a"}[st.Which]
		sources = append(sources, source{filepath.Join(dir, st.Which), committed}, source{filepath.Join(dir, other), committed})
	}
	if info, err := stat(a.path); err == nil && info.Size() == st.Length {
		sources = append(sources, source{a.path, committed})
	} else if err == nil && st.Final != nil && info.Size() == st.Final.Length {
		sources = append(sources, source{a.path, st.Final.Print})
	}
	for _, s := range sources {
		sum, err := copyBoth(ctx, s.path, s.want.Length, out)
		switch {
		case errors.Is(err, fs.ErrNotExist) && a.dirExists(), errors.Is(err, io.ErrUnexpectedEOF):
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return a.trouble("copy", s.path, err)
		}
		if hexSum(sum) == s.want.SHA256 {
			a.sum = sum
			if s.want != committed {
				a.state.Length, a.state.SHA256, a.state.Rebased = s.want.Length, s.want.SHA256, true
			}
			return nil
		}
		a.log.Warn("a copy of the artifact was changed by another program; looking for a sound one", "file", s.path)
	}
	return a.lost("the committed copy was changed by another program, and so was every other one")
}

func (a *Artifact) dirExists() bool { return exists(a.dir) }

// copyBoth replaces what both files hold with the first n bytes of the file at path and returns their hash.
func copyBoth(ctx context.Context, path string, n int64, out [2]*os.File) (hash.Hash, error) {
	for _, f := range out {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	sum := newSum()
	return sum, copyPrefix(ctxWriter{ctx, io.MultiWriter(sum, out[0], out[1])}, path, n)
}

// ctxWriter ends a copy when ctx does.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w ctxWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// copyParts copies what is recorded of the open parts, fsynced. What was written after that stays behind; a part that
// holds less than was recorded is never made up for.
func (a *Artifact) copyParts(ctx context.Context, st *State, parts []FileState) error {
	for _, p := range parts {
		from := filepath.Join(a.folderOf(st.Dir), p.Name)
		err := a.create(a.in(p.Name), a.access, func(f *os.File) error { return copyPrefix(ctxWriter{ctx, f}, from, p.Length) })
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, fs.ErrNotExist) && a.dirExists():
			return a.lost("part file %s: %v", p.Name, err)
		case err != nil:
			return a.trouble("copy", from, err)
		}
		a.step("part")
	}
	return nil
}

// canLink tries whether the file system has hard links.
func (a *Artifact) canLink() bool {
	probe := a.in("link")
	if err := a.ops.link(a.in("b"), probe); err != nil {
		return !errors.Is(err, fs.ErrNotExist) && a.noLinks(err)
	}
	_ = os.Remove(probe)
	return true
}

// noLinks says once that publications are copies here, and returns false.
func (a *Artifact) noLinks(err error) bool {
	a.log.Info("this file system has no hard links: the file is published by copying it, less often", "file", a.path, "reason", err)
	return false
}

// Adopted is called once the record names what Claim returned: what is committed becomes public from the new files,
// and the folders that Claim found are removed. Both can be repeated by the next claim.
func (a *Artifact) Adopted(ctx context.Context) error {
	if err := a.acquire(); err != nil {
		return err
	}
	if a.state.Commits > 0 {
		if err := a.republish(ctx); err != nil {
			return err
		}
	}
	a.step("republished")
	a.removeOrphans()
	a.DropNonces()
	return nil
}

// removeOrphans removes the folders that Claim found. A process that still has files open in one keeps it, on Windows.
func (a *Artifact) removeOrphans() {
	for _, path := range a.orphans {
		if err := os.RemoveAll(path); err != nil {
			a.log.Debug("files of an earlier claim were left behind; the next claim removes them", "folder", path, "error", err)
		}
		a.step("orphan")
	}
}
