// Package proof compares a published file with the report beside it. It needs nothing else: no store, no job, no
// database.
//
// What it proves: the file has the bytes that fanmill published, the report is as fanmill wrote it, and the file, read
// by its format, has the rows that the report says. What it cannot prove: that nobody has made both anew. The report
// is not signed.
package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"fanmill/sinks/artifact"
)

// State is what became of a file.
type State string

// The states of a file.
const (
	Proven  State = "proven"  // as published, with all connections of its run
	Partial State = "partial" // as published, and its run has not delivered all connections
	Running State = "running" // the run that writes it is not over, and file and report are not of one moment
	Changed State = "changed" // the file is not as published
	Edited  State = "edited"  // the report is not as fanmill wrote it
	Other   State = "other"   // the file is another run's, or the report another file's
	Missing State = "missing" // there is a report, and no file
	Unknown State = "unknown" // it cannot be told: there is no report, or something cannot be read
)

// Result is what was found of a file.
type Result struct {
	Path, Manifest string
	State          State
	Report         *pipeline.Report // nil if it cannot be read
	Sealed         bool             // the report has its own checksum
	Size           int64            // bytes of the file
	SHA256         string           // of the file; "" if it was not read to its end
	Counted        bool             // Counts are of the file
	Counts         pipeline.Counts
	Missing        []pipeline.ReportConnection // those that the run has not delivered
	Why            []string                    // what is wrong, in the order of its weight
	Notes          []string                    // what else is to be known
	Written        time.Time                   // when the file was last changed, of one that is not as published
}

// Checker compares files with their reports.
type Checker struct {
	Kinds map[string]*pipeline.SinkKind
	// Read is told of bytes as they are read: all in all, of each file, twice its size. nil tells nobody.
	Read func(bytes int64)
}

// tries is how often a file is read whose report changed meanwhile.
const tries = 4

// Check compares a file with its report. It ends early with ctx, and says so in the state Unknown.
func (c *Checker) Check(ctx context.Context, t Target) Result {
	for try := 1; ; try++ {
		text, err := readReport(t.Manifest)
		r := c.check(ctx, t, text, err)
		if r.State != Changed && r.State != Running || try == tries {
			return r
		}
		again, err := readReport(t.Manifest)
		if err != nil || string(again) == string(text) {
			return r
		}
		select {
		case <-ctx.Done():
			return r
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		}
	}
}

// maxReport bounds a report: that of 1,000 connections has less than 1 MB.
const maxReport = 256 << 20

func readReport(path string) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReport+1))
	if err == nil && len(text) > maxReport {
		err = fmt.Errorf("it has more than %d MB", maxReport>>20)
	}
	return text, err
}

// open opens what is a file: to open a pipe would wait for its writer.
func open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is no file")
	}
	return artifact.Open(path)
}

// check is Check with one text of the report.
func (c *Checker) check(ctx context.Context, t Target, text []byte, err error) Result {
	r := Result{Path: t.Path, Manifest: t.Manifest}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail(Unknown, noReport(t))
		return r
	case err != nil:
		r.fail(Unknown, "the manifest cannot be read: "+cause(err))
		return r
	}
	report, sealed, err := pipeline.ReadReport(text)
	if report == nil {
		r.fail(Unknown, fmt.Sprintf("the manifest %s is damaged (%v): get it from a backup; without it the file cannot be proven", filepath.Base(t.Manifest), err))
		return r
	}
	r.Report, r.Sealed = report, sealed
	edited := err != nil
	if edited {
		r.fail(Edited, "the manifest was damaged, or edited by hand: it does not match its own checksum; get it from a backup")
	} else if !sealed {
		r.Notes = append(r.Notes, "the manifest has no checksum of its own, as an earlier fanmill wrote it: an edit of it does not show")
	}
	if what := implausible(report); what != "" {
		r.fail(Unknown, fmt.Sprintf("the manifest %s is damaged: %s", filepath.Base(t.Manifest), what))
		return r
	}
	for _, conn := range report.Connections {
		if conn.State != pipeline.ReportSettled {
			r.Missing = append(r.Missing, conn)
		}
	}
	c.file(ctx, t, &r)
	if r.State == "" {
		r.State = Proven
		if len(r.Missing) > 0 || report.State != pipeline.RecordFinished {
			r.State = Partial
		}
	}
	return r
}

// fail notes what is wrong. The first state stays: it weighs most.
func (r *Result) fail(s State, why string) {
	if r.State == "" {
		r.State = s
	}
	r.Why = append(r.Why, why)
}

// noReport says what a file without a report may be.
func noReport(t Target) string {
	name := filepath.Base(t.Path)
	if _, err := os.Lstat(t.Path); errors.Is(err, fs.ErrNotExist) {
		return "there is no such file, and no manifest"
	}
	switch {
	case strings.HasSuffix(name, ".previous"):
		return "no manifest: this is the file of the run before, kept until the run that replaced it is complete"
	case strings.Contains(name, " (edited"):
		return "no manifest: this is a copy that somebody saved in the place of fanmill's file, and fanmill has kept; the file itself has one"
	}
	return fmt.Sprintf("no manifest: there is no %s beside it; copy it from where the file comes from", filepath.Base(t.Manifest))
}

// implausible says why a report cannot be what fanmill wrote; "" if it can.
func implausible(r *pipeline.Report) string {
	states := []pipeline.RecordState{pipeline.RecordOpen, pipeline.RecordFinishing, pipeline.RecordFinished, pipeline.RecordDetached, pipeline.RecordOwing, pipeline.RecordAbandoned}
	sum, err := hex.DecodeString(r.SHA256)
	switch {
	case err != nil || len(sum) != sha256.Size:
		return "its sha256 is none"
	case r.Length < 0:
		return "its committedLength is below 0"
	case r.Run == "":
		return "it names no run"
	case !slices.Contains(states, r.State):
		return fmt.Sprintf("there is no state %q", r.State)
	}
	for i := range r.Connections {
		for _, n := range r.Connections[i].Rows {
			if n < 0 {
				return fmt.Sprintf("rows of %s are below 0", r.Connections[i].Name)
			}
		}
	}
	return ""
}

// over reports whether nothing more comes to the file in this run.
func over(s pipeline.RecordState) bool {
	return s != pipeline.RecordOpen && s != pipeline.RecordFinishing
}

// file compares the file.
func (c *Checker) file(ctx context.Context, t Target, r *Result) {
	report := r.Report
	settled := len(report.Connections) - len(r.Missing)
	f, err := open(t.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && settled == 0:
		r.Notes = append(r.Notes, "there is no file: the run has delivered nothing into it")
		if r.State == "" {
			r.State = Partial
		}
		return
	case errors.Is(err, fs.ErrNotExist):
		r.fail(Missing, "the file is not there: it was moved, renamed or removed")
		return
	case err != nil && artifact.InUse(err):
		r.fail(Unknown, "the file is open in another program, or may not be read: close it there and try again ("+cause(err)+")")
		return
	case err != nil:
		r.fail(Unknown, "the file cannot be read: "+cause(err))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		r.fail(Unknown, "the file cannot be read: "+cause(err))
		return
	}
	r.Size, r.Written = info.Size(), info.ModTime()
	counted := c.read(ctx, f, r)
	if r.SHA256 == "" {
		return
	}
	same := r.Size == report.Length && r.SHA256 == report.SHA256
	for _, name := range artifact.Asides(t.Path, t.Dataset) {
		r.Notes = append(r.Notes, fmt.Sprintf("%s beside it has what somebody saved in its place", filepath.Base(name)))
	}
	name, own := lastName(report.Artifact), filepath.Base(t.Path)
	if same {
		r.Written = time.Time{}
		if name != own {
			r.Notes = append(r.Notes, fmt.Sprintf("fanmill called it %s: it was renamed or copied since, its bytes are the same", name))
		}
	} else {
		c.differs(r, name, own, settled)
	}
	c.rows(r, counted, same)
}

// differs says why a file does not have the bytes of its report.
func (c *Checker) differs(r *Result, name, own string, settled int) {
	report := r.Report
	switch {
	case r.State == Edited:
		r.fail(Edited, fmt.Sprintf("the file does not match this manifest (%d bytes, the manifest says %d; SHA-256 %s, the manifest says %s)", r.Size, report.Length, r.SHA256, report.SHA256))
	case !over(report.State):
		r.fail(Running, fmt.Sprintf("the run that writes it is not over (%s), and the manifest is of another moment than the file: wait for its end, or resume it", report.State))
	case settled == 0:
		r.fail(Other, fmt.Sprintf("run %s has delivered nothing into it: what stands here is of an earlier run, or somebody else's", report.Run))
	case name != own:
		r.fail(Other, fmt.Sprintf("the manifest is of another file, %s: give each file its own manifest", name))
	case r.Size != report.Length:
		r.fail(Changed, fmt.Sprintf("the file was changed after fanmill published it (%d bytes, the manifest says %d; SHA-256 %s, the manifest says %s)", r.Size, report.Length, r.SHA256, report.SHA256))
	default:
		r.fail(Changed, fmt.Sprintf("the file was changed after fanmill published it (SHA-256 %s, the manifest says %s)", r.SHA256, report.SHA256))
	}
}

// rows compares the rows.
func (c *Checker) rows(r *Result, err error, same bool) {
	if err != nil {
		if same {
			r.fail(Changed, "its bytes are those of the manifest, and its rows cannot be counted: "+err.Error())
		} else {
			r.Why = append(r.Why, "its rows cannot be counted: "+err.Error())
		}
		return
	}
	if !r.Counted {
		return
	}
	if n := r.Counts.Note; n != "" {
		r.Notes = append(r.Notes, n)
	}
	for _, fault := range r.Counts.Faults {
		if same { // whoever made the report anew did not make it of this file
			r.fail(Changed, fault)
		} else {
			r.Why = append(r.Why, fault)
		}
	}
	if same && slices.ContainsFunc(r.Counts.Shares, func(s pipeline.Share) bool { return s.Has != s.Want }) {
		r.fail(Changed, "its bytes are those of the manifest, and its rows are not")
	}
}

// read takes the checksum of a file, and counts its rows at the same time. err is why they cannot be counted.
func (c *Checker) read(ctx context.Context, f *os.File, r *Result) (err error) {
	kind := c.kind(r)
	type sum struct {
		text string
		err  error
	}
	done := make(chan sum, 1)
	from := &meter{r: f, read: c.Read, ctx: ctx}
	go func() {
		h := sha256.New()
		n, err := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(from, 0, r.Size)}, make([]byte, 1<<20))
		if err == nil && n != r.Size {
			err = io.ErrUnexpectedEOF
		}
		done <- sum{hex.EncodeToString(h.Sum(nil)), err}
	}()
	rows := &meter{r: f, read: c.Read, left: r.Size, ctx: ctx}
	if kind != nil {
		r.Counts, err = kind.Count(ctx, pipeline.CountedFile{R: rows, Size: r.Size, Report: r.Report})
		r.Counted = err == nil
	}
	rows.rest()
	s := <-done
	switch {
	case s.err != nil:
		r.fail(Unknown, "the file cannot be read: "+cause(s.err))
	case rows.failed() != nil:
		r.fail(Unknown, "the file cannot be read: "+cause(rows.failed()))
	default:
		r.SHA256 = s.text
	}
	return err
}

// kind is what counts the rows of a file; nil if nothing does, with a note why.
func (c *Checker) kind(r *Result) *pipeline.SinkKind {
	switch f := r.Report.Format; {
	case f == nil:
		r.Notes = append(r.Notes, "rows are not counted: the manifest does not say how the file is laid out, as an earlier fanmill wrote it")
	case c.Kinds[f.Type] == nil || c.Kinds[f.Type].Count == nil:
		r.Notes = append(r.Notes, fmt.Sprintf("rows are not counted: this fanmill does not know how to look into a file of the type %q", f.Type))
	default:
		return c.Kinds[f.Type]
	}
	return nil
}

// lastName is the last part of a path of any system.
func lastName(path string) string {
	if i := strings.LastIndexAny(path, `/\`); i >= 0 && (strings.Contains(path, `:\`) || strings.HasPrefix(path, `\\`) || path[i] == '/') {
		return path[i+1:]
	}
	return path
}

// cause is an error without the operation and the path, which stand beside it.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
