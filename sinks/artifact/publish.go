package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/outfile"
)

const (
	// insist is how long PublishFinal waits for a program to close the file, in steps of retryEvery.
	insist     = 15 * time.Second
	retryEvery = 250 * time.Millisecond
	// Where publication is a copy of the whole file, it takes at most one part in copyShare of the time.
	copyShare   = 20
	copyAtLeast = 5 * time.Second
)

// Publish makes the committed bytes what the public name shows, atomically and durably, and writes the report r (nil:
// none) beside it. It is called once the commit record has them. Called again it changes nothing, unless the public
// file was deleted or changed: then it is published again. What a user has put there or changed is kept under another
// name first.
//
// If a program holds the file so that it cannot be replaced (Windows), or if publication is a copy and the last one
// was a moment ago, the file stays an earlier commit, the error is nil, and the next Publish tries again.
func (a *Artifact) Publish(ctx context.Context, r *pipeline.Report) error {
	if a.state.Commits > 0 {
		if err := a.show(false, r != nil && whole(r)); errors.Is(err, errInUse) {
			a.warnInUse(err)
		} else if err != nil {
			return err
		}
	} else if r != nil && !a.state.Began {
		a.noteMade() // the report that vouches for the file of the run before is about to go
	}
	return a.report(r, Print{a.state.Length, a.state.SHA256})
}

// PublishFinal makes what Finish made public and writes the report. Where a program holds the file so that it cannot
// be replaced, it insists for a while; then the error is transient and says what to do. Without insist it tries once,
// and public is false then. Called again after success it changes nothing.
func (a *Artifact) PublishFinal(ctx context.Context, r *pipeline.Report, insists bool) (public bool, err error) {
	final := a.state.Final
	if final == nil {
		return false, pipeline.Permanent(fmt.Errorf("publish %s: it was not finished", a.path))
	}
	for until := a.clock().Add(insist); !a.finished; {
		var err error
		if final.Separate {
			err = a.showFile(a.in("final"), final.Print, true)
		} else {
			err = a.show(true, true)
		}
		switch {
		case err == nil:
			if err := a.keepStrays(); err != nil {
				return false, err
			}
			a.finished = true
		case !errors.Is(err, errInUse):
			return false, err
		case !insists:
			a.warnInUse(err)
			return false, nil
		case a.clock().After(until):
			return false, pipeline.Transient(fmt.Errorf("publish %s: %w; close it there: all rows are safe in %s and wait for that", a.path, err, a.dir))
		default:
			a.warnInUse(err)
			select {
			case <-ctx.Done():
				return false, ctx.Err()
			case <-time.After(retryEvery):
			}
		}
	}
	return true, a.report(r, final.Print)
}

// warnInUse says once that a publication is delayed.
func (a *Artifact) warnInUse(err error) {
	if !a.delayed {
		a.log.Warn(fmt.Sprintf("%s is open in another program (or this user may not replace it); close it there to see new rows: they are safe in %s", a.path, a.dir), "error", err)
	}
	a.delayed = true
}

// republish shows what is committed from this claim's files. A final artifact that the predecessor got as far as
// publishing stays: it is complete, and its bytes will be made again.
func (a *Artifact) republish(ctx context.Context) error {
	if a.earlier != nil && a.state.Began {
		if info, err := stat(a.path); err == nil && a.contentIs(info, *a.earlier) {
			a.shown = &shown{info, *a.earlier}
			return nil
		}
	}
	return a.Publish(ctx, nil)
}

// show publishes the committed bytes. The order matters:
//
//  1. Both private files are looked after while neither of them can be reached by the public name it is about to get:
//     what a program has saved into one is kept and replaced.
//  2. showFile links the committed one to the public name, which is durable when it returns.
//  3. Only then is the other one, public until now, written to. After the last commit of a complete artifact it is not: nothing
//     will be appended, and the moments until the end are not worth a copy of the last connection. Should a user change the public file
//     in place just then, and the process crash, the rows are delivered again.
func (a *Artifact) show(final, last bool) error {
	committed, other := &a.files[a.which()], &a.files[1-a.which()]
	if !a.links && !final && a.shown != nil && exists(a.path) && a.clock().Before(a.nextCopy) {
		return a.catchUp()
	}
	if err := a.bring(a.which()); err != nil {
		return err
	}
	if edited, err := a.edited(other); err != nil {
		return err
	} else if edited || other.length < a.state.Length && !a.replayable(other.length) {
		if err := a.bring(1 - a.which()); err != nil {
			return err
		}
	}
	started := a.clock()
	if err := a.showFile(a.in(committed.name), Print{a.state.Length, a.state.SHA256}, false); err != nil {
		return err
	}
	if a.links {
		committed.public, other.public = true, false
	} else {
		a.nextCopy = a.clock().Add(max(copyAtLeast, copyShare*a.clock().Sub(started)))
	}
	if last {
		return nil
	}
	return a.catchUp()
}

// whole reports whether an artifact has every connection of its run.
func whole(r *pipeline.Report) bool {
	return len(r.Connections) > 0 && !slices.ContainsFunc(r.Connections, func(c pipeline.ReportConnection) bool { return c.State != pipeline.ReportSettled })
}

// catchUp gives the other private file the last commit, so that a whole second copy exists should a user change the
// public one in place. What goes wrong here is tried again by the next Append, unless it can never go right.
func (a *Artifact) catchUp() error {
	if a.files[1-a.which()].public {
		return nil
	}
	err := a.bring(1 - a.which())
	if err != nil && !errorsThatEnd(err) {
		a.log.Warn("the second copy of the artifact could not be completed; the next commit tries again", "file", a.path, "error", err)
		return nil
	}
	return err
}

// showFile makes the public name show a file of the claim's folder: through a link to it, or (consume) by moving it
// there. A crash between any two steps leaves the public name on a whole file, and nothing of a user's without a
// name:
//
//  1. What stands there and is not ours gets another name. The public name keeps showing it.
//  2. At the run's first publication, the file "began" says that from now on whatever else appears there was put there
//     by a user. Until it exists, a next claim does step 1 again, with the same result.
//  3. The file gets a second name in the claim's folder.
//  4. If what stands there is still what step 1 saw, that name is renamed onto the public one. A user's program would have to
//     replace the file between two system calls to go unseen.
func (a *Artifact) showFile(from string, print Print, consume bool) error {
	tmp := a.in("public")
	if consume {
		tmp = from
	}
	for {
		there, done, err := a.makeWay(from, print)
		if done || err != nil {
			return err
		}
		a.follow(there)
		if !consume {
			if err := a.linkOrCopy(from, tmp, a.links); err != nil {
				return a.trouble("link", tmp, err)
			}
		}
		a.settle(tmp)
		a.step("linked")
		if now, err := a.look(); err != nil {
			return err
		} else if unchanged(there, now) {
			break
		}
	}
	mine, err := stat(tmp)
	if err != nil {
		return a.trouble("look at", tmp, err)
	}
	if consume {
		failpoint.Hit("before-final-rename")
	}
	failpoint.Hit("before-publish")
	a.noteShown(print)
	a.noteMade(print)
	if err := a.move(tmp, a.path); err != nil {
		if !consume {
			_ = os.Remove(tmp) // a second name would keep the private file from being appended to
		}
		return err
	}
	failpoint.Hit("after-publish")
	a.step("published")
	a.shown = &shown{mine, print}
	// Durable before the inode that was public is written to: a power failure must not bring that one back half
	// written.
	if err := syncDir(filepath.Dir(a.path)); err != nil {
		return a.trouble("sync", filepath.Dir(a.path), err)
	}
	if a.delayed {
		a.log.Info("the file could be replaced again", "file", a.path)
		a.delayed = false
	}
	return nil
}

// makeWay looks at the public name, keeps what is there and is not ours, and returns what it saw; nil is no file.
// done says that the name shows the file from already.
func (a *Artifact) makeWay(from string, print Print) (there os.FileInfo, done bool, err error) {
	if there, err = a.look(); err != nil {
		return nil, false, err
	}
	switch {
	case there == nil:
		if a.state.Began && a.shown != nil {
			a.log.Info("the file was deleted; it is published again", "file", a.path)
		}
	case !there.Mode().IsRegular() && there.Mode()&fs.ModeSymlink == 0:
		return nil, false, pipeline.Permanent(fmt.Errorf("%s is %s, and no file can take its place; give the destination the path of a file", a.path, outfile.Kind(there.Mode())))
	case a.ours(there):
		if now, err := stat(from); err == nil && os.SameFile(there, now) {
			a.shown = &shown{there, print}
			return there, true, nil
		}
	case a.state.Began && a.kept(there):
	case a.state.Began, a.foreign(there):
		err = a.keepEdited(a.path)
	case !a.appends() && !a.isMade(there):
		err = a.keepForeign()
	default:
		err = a.keepPrevious(there)
	}
	if err == nil && !a.state.Began {
		err = a.begin()
	}
	return there, false, err
}

// look describes what the public name shows; nil if there is nothing.
func (a *Artifact) look() (os.FileInfo, error) {
	info, err := stat(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, a.trouble("look at", a.path, err)
	}
	return info, nil
}

// unchanged reports whether two looks saw the same file in the same condition.
func unchanged(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && fingerprintOf(before) == fingerprintOf(now)
}

// ours reports whether the public file is as this run left it: the inode that this process published, untouched, or
// one with the bytes of a commit. Before the first publication nothing there is.
func (a *Artifact) ours(info os.FileInfo) bool {
	if !a.state.Began {
		return false
	}
	if a.shown != nil && os.SameFile(info, a.shown.info) {
		return fingerprintOf(info) == fingerprintOf(a.shown.info)
	}
	for _, p := range append([]Print{{a.state.Length, a.state.SHA256}}, a.state.Shown...) {
		if a.contentIs(info, p) {
			return true
		}
	}
	return a.state.Final != nil && a.contentIs(info, a.state.Final.Print)
}

// contentIs compares the public file with a print; it reads the file only where the length fits.
func (a *Artifact) contentIs(info os.FileInfo, p Print) bool {
	if !info.Mode().IsRegular() || info.Size() != p.Length {
		return false
	}
	sum, err := sumFile(a.path)
	return err == nil && sum == p.SHA256
}

// begin records that the run's first publication is under way. Where that replaces a file that an unfinished run
// appended to, there is nothing to go back to any more.
func (a *Artifact) begin() error {
	if !a.appends() {
		if err := a.dropBaseline(true); err != nil {
			return err
		}
	}
	err := a.create(a.in("began"), a.access, func(f *os.File) error { _, err := f.WriteString(a.spec.Run); return err })
	if err == nil {
		err = syncDir(a.dir)
	}
	if err != nil {
		return a.trouble("create", a.in("began"), err)
	}
	a.state.Began = true
	a.step("began")
	return nil
}
