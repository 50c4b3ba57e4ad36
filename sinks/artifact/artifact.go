// Package artifact keeps a file that others read whole at every instant, while it grows commit by commit and the
// process that writes it may be killed, frozen or replaced at any point.
//
// Nobody ever writes to the public file. Everything happens in a folder beside it, on the same file system:
//
//	Reports/sales.csv                    the public name: a hard link to a private file, replaced by rename
//	Reports/sales.csv.previous           what stood there before the run's first commit, if fanmill made it
//	Reports/sales.csv.manifest.json      the report
//	Reports/.fanmill/sales.csv/lock      keeps a second data folder off the file
//	Reports/.fanmill/sales.csv/run.json  the store and the run whose files are here
//	Reports/.fanmill/sales.csv/nonce-<w> left by a claim: who finds it sees the folder that the claim saw (nonce.go)
//	Reports/.fanmill/sales.csv/<token>/  what one claim owns: the private files a and b, part files, temporary files
//
// A commit appends to the private file that is not public, fsyncs it and returns its length and SHA-256 for the
// commit record; once that is written, Publish renames a link to it onto the public name. The other private file,
// public until then, gets the same bytes written a second time. They are never read back from the public file: a
// user's program may be changing that in place.
//
// Fencing: every path that a claim creates, links or renames from lies in its own folder, and that folder is made
// once. A successor renames it away before it reads anything, so that a predecessor that wakes up in the middle of a
// publication finds its next step failing with pipeline.ErrFenced. What it holds open are files the successor has
// copied.
//
// Access: the public file has mode, group and access list of the one that it replaces, what is private never more
// (access.go).
package artifact

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/outfile"
)

// Spec says which file is kept, and for whom.
type Spec struct {
	Path        string // public name; made absolute
	Mode        string // "replace" or "", or "append"
	StoreID     string // names the store whose commit record fences rivals
	Job         string // id
	Destination string // id
	Run         string
	Home        string                // names the host, and the data folder, of this process
	Nonce       string                // what the claim leaves in the private folder (nonce.go); "" is nothing
	Earlier     []pipeline.EarlierRun // of the job, as far as their files may still be here
	Log         *slog.Logger          // nil is silent
	// Dataset says that readers take every file of the folder for data, unless its name begins with a point and ends in
	// another way: so do the names of what stands beside the file.
	Dataset bool
	// Inspect sees the baseline of mode "append", unless that is empty, before anything follows it: once in a run, in
	// the claim that takes it. A pipeline.Permanent error refuses it. nil takes any.
	Inspect func(r io.ReaderAt, size int64) error
}

// State is an artifact as the commit record describes it: bytes that were written and fsynced, never bytes handed in.
type State struct {
	Dir     string `json:"dir"`             // the claim's folder: its token
	Which   string `json:"which"`           // the private file that was committed: "a" or "b"
	Length  int64  `json:"length"`          // its committed bytes; what follows them counts for nothing
	SHA256  string `json:"sha256"`          // of those bytes, in hexadecimal
	Commits int    `json:"commits"`         // Appends of this run
	Began   bool   `json:"began,omitempty"` // the run's first publication was at least begun: what stood there is kept
	// Partial says that what stood at the public name when this run began is what a partial run left.
	Partial bool `json:"partial,omitempty"`
	// Baseline is, in mode "append", what stood at the public name when the run began: the first of the committed
	// bytes.
	Baseline *Print `json:"baseline,omitempty"`
	// Stale is what unfinished runs may have left at the public name: this run does not build on it, nor does it take
	// the place of the last whole file.
	Stale []Print `json:"stale,omitempty"`
	// Made is, in mode "replace", what fanmill had put at the public name when this run began, as far as is known
	// (made.go).
	Made []Print `json:"made,omitempty"`
	// Shown is what the public file can be, besides the committed bytes, while it is still as this run left it: an
	// earlier commit whose successor was not published yet.
	Shown []Print `json:"shown,omitempty"`
	Final *Final  `json:"final,omitempty"` // set by Finish
	// Rebased says that Length and SHA256 became those of the final artifact because a claim found the private files
	// cleaned away. Formats whose final form differs read the artifact's structure from it again.
	Rebased bool `json:"rebased,omitempty"`
}

// Print identifies a file's content.
type Print struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

// Final is the finished artifact.
type Final struct {
	Print
	Separate bool `json:"separate,omitempty"` // its bytes are not those committed; they are in a file of their own
}

// FileState is a part file as a commit record describes it.
type FileState struct {
	Name   string `json:"name"`
	Length int64  `json:"length"`
}

// Artifact is one claim's view of a file. It is for one goroutine, but parts may be written concurrently. After an
// error it is to be closed: the commit record decides how things go on.
type Artifact struct {
	spec Spec
	log  *slog.Logger
	path string // public, absolute
	base string // <folder>/.fanmill/<name>
	dir  string // base/<token>; "" before the claim

	state   State
	sum     hash.Hash // over the committed bytes
	files   [2]private
	last    delta
	spent   []*Part // read by the last Append
	parts   map[*Part]struct{}
	orphans []string // folders of earlier claims, as found by this one
	former  []string // nonces of earlier claims, as found by this one
	earlier *Print   // the final artifact of the state that was claimed

	access    access // of the file that is replaced
	saidGroup bool

	lock     *os.File // nil while another process of the same store holds it
	links    bool     // the file system has hard links
	shown    *shown   // what this process last made or found public
	delayed  bool     // a publication is owed because the file is in use, and the log says so
	finished bool     // PublishFinal has been through
	nextCopy time.Time
	reports  reporter

	ops   ops
	clock func() time.Time
	hook  func(step string) // tests die here
}

// shown is the public file as this process knows it.
type shown struct {
	info  os.FileInfo
	print Print
}

// ops are the two file operations that systems differ in.
type ops struct {
	link, rename func(from, to string) error
}

// New prepares an artifact and touches nothing.
func New(spec Spec) *Artifact {
	log := spec.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Artifact{spec: spec, log: log, links: true, clock: time.Now, ops: ops{link: os.Link, rename: os.Rename},
		parts: map[*Part]struct{}{}}
}

// Path is the artifact's public name; absolute once claimed.
func (a *Artifact) Path() string { return a.path }

// State is what was last claimed or appended.
func (a *Artifact) State() State { return a.state }

// resolve fixes the artifact's paths and makes the folders they need.
func (a *Artifact) resolve(create bool) error {
	if a.spec.Mode != "" && a.spec.Mode != "replace" && !a.appends() {
		return pipeline.Permanent(fmt.Errorf("artifact %s: mode %q is not supported; use \"replace\" or \"append\"", a.spec.Path, a.spec.Mode))
	}
	path, err := filepath.Abs(a.spec.Path)
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("artifact %s: %w", a.spec.Path, err))
	}
	if create {
		if err := outfile.Refusal(path); err != nil { // now, before anybody is asked for rows
			return pipeline.Permanent(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return a.trouble("create folder", filepath.Dir(path), err)
		}
	}
	// A link the user has put there goes on pointing where it does: the file behind it is the artifact.
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
	}
	a.path = path
	root := filepath.Join(filepath.Dir(path), ".fanmill")
	a.base = filepath.Join(root, filepath.Base(path))
	a.firstAccess()
	if !create {
		return nil
	}
	for range maxVanished {
		if err = os.MkdirAll(root, 0o777); err == nil {
			err = a.makeFolder(a.base)
		}
		if !errors.Is(err, fs.ErrNotExist) { // else a neighbour's cleaning up removed the folder around all, which was empty, in between
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return a.trouble("create folder", a.base, err)
	}
	hide(root)
	return nil
}

// maxVanished is how often in a row a folder may vanish that was just made.
const maxVanished = 1000

// in is a path in the claim's folder.
func (a *Artifact) in(name string) string { return filepath.Join(a.dir, name) }

// step is between two operations on files: a process may end here.
func (a *Artifact) step(name string) {
	failpoint.Hit(name)
	if a.hook != nil {
		a.hook(name)
	}
}

// Close writes a report that is owed and gives up the lock and all file handles. It removes nothing, and whatever is
// done afterwards takes what it needs again.
func (a *Artifact) Close() error {
	var err error
	if a.dir != "" {
		err = a.writeOwed()
	}
	for p := range a.parts {
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, a.unlock())
}
