package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// Mode "append": the run's rows follow what the public file held when the run first claimed it, its baseline.
//
// The first claim copies the baseline to the private files, where it is the first of the committed bytes, and to a
// file of its own. That one is no name of the public inode, so that no program can have it open, and it stays until
// the run is complete:
//
//	Reports/.fanmill/sales.csv/baseline.json      which run began with what, durable before anything is appended
//	Reports/.fanmill/sales.csv/baseline.<sha256>  the bytes; none for an empty baseline
//	Reports/.fanmill/sales.csv/abandoned          the run that a fresh one took the place of
//	Reports/.fanmill/sales.csv/shown              what the unfinished run may have made public, in every mode
//
// Whoever starts over while baseline.json stands begins with the same bytes again, and the unfinished run's rows are
// gone with its first publication. Removing baseline.json is what makes the grown file the next run's baseline: Clean
// does it first of all after complete success.

// baseline is the content of baseline.json.
type baseline struct {
	Run   string  `json:"run"`
	Print Print   `json:"print"`
	Stale []Print `json:"stale,omitempty"` // State.Stale
}

const (
	// racy is how young a file may be for its time to say nothing about a change: file systems count in steps of up
	// to two seconds.
	racy = 2 * time.Second
	// maxStale bounds what State.Stale remembers: of more unfinished runs in a row than this nobody has kept the
	// oldest file.
	maxStale = 8
)

func (a *Artifact) appends() bool { return a.spec.Mode == "append" }

func (a *Artifact) baselineMark() string  { return filepath.Join(a.base, "baseline.json") }
func (a *Artifact) abandonedMark() string { return filepath.Join(a.base, "abandoned") }
func (a *Artifact) shownMark() string     { return filepath.Join(a.base, "shown") }

// baselineFile holds the bytes of a baseline. The name follows from them, so that another baseline's file is never
// replaced.
func (a *Artifact) baselineFile(p Print) string {
	return filepath.Join(a.base, "baseline."+p.SHA256[:16])
}

// readBaseline reads what an unfinished run began with; nil if there is none.
func (a *Artifact) readBaseline() (*baseline, error) {
	text, err := os.ReadFile(a.baselineMark())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, a.trouble("read", a.baselineMark(), err)
	}
	var b baseline
	if err := json.Unmarshal(text, &b); err != nil || len(b.Print.SHA256) != len(noBytes) {
		return nil, a.baselineLost(a.baselineMark())
	}
	return &b, nil
}

// takeBaseline makes the run's baseline the committed bytes of both private files and returns. It is durable in its
// own file then: the files in out are written, and fsynced by the caller.
func (a *Artifact) takeBaseline(ctx context.Context, out [2]*os.File) error {
	kept, err := a.readBaseline()
	if err != nil {
		return err
	}
	var print Print
	var stale []Print
	if kept != nil {
		stale = append(append(stale, kept.Stale...), a.readShown()...)
	}
	if kept != nil && a.unfinished(kept) {
		if kept.Run != a.spec.Run {
			a.log.Warn("an earlier run that appends here did not complete: what it has appended is taken back, and its resume delivers it again", "file", a.path, "earlier", kept.Run)
		}
		print = kept.Print
		err = a.copyKept(ctx, print, out)
	} else {
		print, err = a.copyPublic(ctx, out)
		stale = nil
	}
	if err != nil {
		return err
	}
	a.step("baseline copied")
	if print.Length > 0 && a.spec.Inspect != nil {
		if err := a.inspect(print.Length); err != nil {
			return err
		}
	}
	a.state.Length, a.state.SHA256, a.state.Baseline = print.Length, print.SHA256, &print
	a.state.Stale = stale[max(0, len(stale)-maxStale):]
	return a.keepBaseline(kept)
}

// unfinished reports whether the run that left a baseline was given up. This run knows what became of those before it,
// wherever that was decided. Of older ones Clean says so; where it could not, the report of that run does, unless all
// connections are in the file: then they stay, because a run that was complete must never be undone.
func (a *Artifact) unfinished(kept *baseline) bool {
	if kept.Run == a.spec.Run {
		return true
	}
	for _, e := range a.spec.Earlier {
		if e.Run == kept.Run {
			return e.State != pipeline.RunComplete
		}
	}
	if run, err := os.ReadFile(a.abandonedMark()); err == nil && string(run) == kept.Run {
		return true
	}
	var r pipeline.Report
	text, err := os.ReadFile(a.reportName())
	if err != nil || json.Unmarshal(text, &r) != nil || r.Run != kept.Run || r.State != pipeline.RecordFinished || !whole(&r) {
		return true
	}
	a.log.Info("the earlier run brought all its connections: this one goes on after them", "file", a.path, "earlier", kept.Run)
	return false
}

// copyKept copies a kept baseline and proves it.
func (a *Artifact) copyKept(ctx context.Context, p Print, out [2]*os.File) error {
	if p.Length == 0 {
		a.sum = newSum()
		return nil
	}
	path := a.baselineFile(p)
	sum, err := copyBoth(ctx, path, p.Length, out)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist) && a.dirExists(), errors.Is(err, io.ErrUnexpectedEOF):
		return a.baselineLost(path)
	case err != nil:
		return a.trouble("copy", path, err)
	case hexSum(sum) != p.SHA256:
		return a.baselineLost(path)
	}
	a.sum = sum
	return nil
}

// baselineLost is the error for a baseline that somebody removed or changed. Guessing would repeat rows or drop some.
func (a *Artifact) baselineLost(path string) error {
	return pipeline.Permanent(fmt.Errorf("%s: an earlier run that appended to it did not complete, and the file as it was before that run, %s, is gone or was changed; put the file right by hand (%s may be it), then remove %s",
		a.path, path, filepath.Base(a.previousName()), a.base))
}

// copyPublic copies what the public name shows; no file is no bytes. It fails if that changes while it is read.
func (a *Artifact) copyPublic(ctx context.Context, out [2]*os.File) (Print, error) {
	for range 3 {
		before, err := a.look()
		if err != nil {
			return Print{}, err
		}
		if before == nil {
			a.sum = newSum()
			return Print{0, noBytes}, nil
		}
		if !before.Mode().IsRegular() {
			return Print{}, pipeline.Permanent(fmt.Errorf("%s is no file that could be appended to; give the destination the path of a file", a.path))
		}
		sum, err := copyBoth(ctx, a.path, before.Size(), out)
		a.step("copying baseline")
		if ctx.Err() != nil {
			return Print{}, ctx.Err()
		}
		if err == nil && time.Since(before.ModTime()) < racy {
			var again string
			if again, err = sumFile(a.path); err == nil && again != hexSum(sum) {
				continue
			}
		}
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, fs.ErrNotExist) && a.dirExists():
			continue
		case inUse(err):
			return Print{}, pipeline.Transient(fmt.Errorf("%s is open in another program; close it there, so that rows can be appended: %w", a.path, err))
		case err != nil:
			return Print{}, a.trouble("copy", a.path, err)
		}
		after, err := a.look()
		if err != nil {
			return Print{}, err
		}
		if unchanged(before, after) {
			a.sum = sum
			return Print{before.Size(), hexSum(sum)}, nil
		}
	}
	return Print{}, pipeline.Transient(fmt.Errorf("%s is being written by another program; rows can be appended once that one is done", a.path))
}

// inspect shows the sink the baseline, as copied.
func (a *Artifact) inspect(length int64) error {
	f, err := os.Open(a.in("a"))
	if err != nil {
		return a.trouble("open", a.in("a"), err)
	}
	defer f.Close()
	return a.spec.Inspect(io.NewSectionReader(f, 0, length), length)
}

// keepBaseline makes the baseline durable outside the claim's folder, in the order that makes a crash harmless: the
// bytes, then the mark that names them, then what it replaces goes. Both come from the claim's folder: a process that
// was fenced leaves its successor's alone.
func (a *Artifact) keepBaseline(kept *baseline) error {
	b := baseline{Run: a.spec.Run, Print: *a.state.Baseline, Stale: a.state.Stale}
	file := a.baselineFile(b.Print)
	same := kept != nil && kept.Print == b.Print
	if b.Print.Length > 0 && !(same && exists(file)) {
		tmp := a.in("baseline")
		if err := a.create(tmp, a.access, func(f *os.File) error { return copyPrefix(f, a.in("a"), b.Print.Length) }); err != nil {
			return a.trouble("copy", tmp, err)
		}
		a.step("baseline written")
		if err := a.move(tmp, file); err != nil {
			return a.trouble("keep", file, err)
		}
		a.step("baseline kept")
	}
	text, err := json.Marshal(b)
	if err != nil {
		return pipeline.Permanent(err)
	}
	tmp := a.in("baseline.json")
	if err := a.create(tmp, a.access, func(f *os.File) error { _, err := f.Write(append(text, '\n')); return err }); err != nil {
		return a.trouble("write", tmp, err)
	}
	if err := syncDir(a.base); err != nil {
		return a.trouble("sync", a.base, err)
	}
	if err := a.move(tmp, a.baselineMark()); err != nil {
		return a.trouble("keep", a.baselineMark(), err)
	}
	if err := syncDir(a.base); err != nil {
		return a.trouble("sync", a.base, err)
	}
	a.step("baseline marked")
	if kept != nil && !same && kept.Print.Length > 0 {
		_ = os.Remove(a.baselineFile(kept.Print)) // the end of the run removes what stays
	}
	return nil
}

// noteShown remembers what the public file may be from now on, so that a fresh start knows the abandoned run's file
// from a whole one, and from one that a user has changed since: it keeps those. The report does not say so; it may be
// a second older.
func (a *Artifact) noteShown(next Print) {
	if !a.appends() && !exists(a.keptMark()) {
		return // there is no whole file to keep
	}
	prints := []Print{next}
	if a.shown != nil {
		prints = append(prints, a.shown.print)
	}
	prints = append(prints, a.state.Shown...)
	if !a.appends() { // else the baseline has them
		prints = append(prints, a.state.Stale...)
	}
	text, err := json.Marshal(prints[:min(len(prints), 2*maxStale)])
	if err == nil {
		if err = a.note(a.in("shown"), text); err == nil {
			err = a.move(a.in("shown"), a.shownMark())
		}
	}
	if err != nil {
		a.log.Debug("what is about to be published was not noted", "file", a.path, "error", err)
	}
}

func (a *Artifact) readShown() (prints []Print) {
	if text, err := os.ReadFile(a.shownMark()); err == nil {
		_ = json.Unmarshal(text, &prints)
	}
	return prints
}

// leftovers is what unfinished runs that kept the last whole file may have left in its place.
func (a *Artifact) leftovers() (prints []Print) {
	if a.appends() || !exists(a.previousName()) || !exists(a.keptMark()) {
		return nil // a run that appends learns it from its baseline
	}
	prints = a.readShown()
	var r pipeline.Report
	if text, err := os.ReadFile(a.reportName()); err == nil && json.Unmarshal(text, &r) == nil && r.State == pipeline.RecordFinished && whole(&r) {
		prints = slices.DeleteFunc(prints, func(p Print) bool { return p.SHA256 == r.SHA256 })
	}
	return prints[:min(len(prints), maxStale)]
}

// stale reports whether the public file is what an unfinished run left, of which this one delivers everything again.
func (a *Artifact) stale(there os.FileInfo) bool {
	return slices.ContainsFunc(a.state.Stale, func(p Print) bool { return a.contentIs(there, p) })
}

// kept reports whether what stands at the public name need not be kept: it is the baseline, which is kept elsewhere,
// or stale.
func (a *Artifact) kept(there os.FileInfo) bool {
	return a.state.Baseline != nil && a.contentIs(there, *a.state.Baseline) || a.stale(there)
}

// foreign reports whether somebody changed what stands at the public name before the run's first publication, after
// this run began. In mode "replace" whatever stands there is the earlier artifact.
func (a *Artifact) foreign(there os.FileInfo) bool { return a.state.Baseline != nil && !a.kept(there) }

// markAbandoned notes that the run is given up for good, so that a fresh one goes back to its baseline. It names the
// run and needs no lock: a successor's baseline carries another name.
func (a *Artifact) markAbandoned() error {
	text, err := os.ReadFile(a.baselineMark())
	var b baseline
	if err != nil || json.Unmarshal(text, &b) != nil || b.Run != a.spec.Run {
		return nil
	}
	if err = a.create(a.abandonedMark(), a.access, func(f *os.File) error { _, err := f.WriteString(a.spec.Run); return err }); err == nil {
		err = syncDir(a.base)
	}
	return a.trouble("create", a.abandonedMark(), err)
}

// dropBaseline makes the public file as it is the next run's baseline. Another run's baseline stays, unless any is
// said to go.
func (a *Artifact) dropBaseline(any bool) error {
	text, err := os.ReadFile(a.baselineMark())
	var b baseline
	if err == nil && !any && json.Unmarshal(text, &b) == nil && b.Run != a.spec.Run {
		return nil
	}
	paths := []string{a.baselineMark(), a.abandonedMark()}
	entries, err := os.ReadDir(a.base) // also without a mark: a process may have ended right after it had removed that
	if err != nil {
		return a.trouble("read", a.base, err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "baseline.") {
			paths = append(paths, filepath.Join(a.base, e.Name()))
		}
	}
	for i, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a.trouble("remove", path, err)
		}
		if i == 0 {
			if err := syncDir(a.base); err != nil {
				return a.trouble("sync", a.base, err)
			}
			a.step("baseline dropped")
		}
	}
	return nil
}
