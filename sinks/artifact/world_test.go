package artifact_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// world is a destination as its loop sees it: a folder, a commit record, and the commits that the run will make.
type world struct {
	t       testing.TB
	dir     string
	path    string
	record  *artifact.State // nil: nothing claimed yet, or abandoned
	owner   string          // token in the record
	claims  int
	noLinks bool
	commits []string
	compact bool // the final artifact differs from the committed bytes
	runID   string
	appends bool
	base    string // what the run appends to
	inspect func(r io.ReaderAt, size int64) error
	home    string
	before  []pipeline.EarlierRun

	nonce, next string // of the record
}

func newWorld(t testing.TB) *world {
	dir := t.TempDir()
	return &world{t: t, runID: "run1", dir: dir, path: filepath.Join(dir, "sales.csv"), commits: []string{"one\r\n", strings.Repeat("two\r\n", 100), "three\r\n"}}
}

func (w *world) open() *artifact.Artifact {
	spec := artifact.Spec{Path: w.path, StoreID: "store", Job: "job", Destination: "csv", Run: w.runID, Home: w.home, Nonce: w.token(w.claims + 1), Earlier: w.before, Inspect: w.inspect}
	if w.appends {
		spec.Mode = "append"
	}
	a := artifact.New(spec)
	if w.noLinks {
		a.WithoutLinks()
	}
	w.t.Cleanup(a.Die) // Windows removes no folder in which a file is open
	return a
}

// rival is the same file for whom spec says, in a run of its own.
func (w *world) rival(spec artifact.Spec) *artifact.Artifact {
	spec.Path, spec.Run = w.path, "run9"
	a := artifact.New(spec)
	w.t.Cleanup(a.Die)
	return a
}

func (w *world) token(claim int) string { return fmt.Sprintf("token%d", claim) }

// claim takes the record, as the loop does before it touches a file.
func (w *world) claim() string {
	w.claims++
	w.owner = w.token(w.claims)
	w.nonce, w.next = w.found(), w.owner
	return w.owner
}

// found is which of the record's nonces is there.
func (w *world) found() string {
	for _, nonce := range []string{w.next, w.nonce} {
		if nonce != "" && exists(filepath.Join(filepath.Dir(w.path), ".fanmill", filepath.Base(w.path), "nonce-"+nonce)) {
			return nonce
		}
	}
	return ""
}

// cas writes the record unless another claim owns it.
func (w *world) cas(token string, s artifact.State) error {
	if w.owner != token {
		return pipeline.ErrFenced
	}
	if w.record = &s; w.next == token {
		w.nonce, w.next = token, ""
	}
	return nil
}

// run drives an artifact from its claim to the end, as the loop does. The parts are made anew for every commit.
func (w *world) run(a *artifact.Artifact, token string, step func(string)) error {
	ctx := context.Background()
	a.OnStep(step)
	s, err := a.Claim(ctx, token, w.record, nil)
	if err != nil {
		return err
	}
	step("before cas")
	if err := w.cas(token, s); err != nil {
		return err
	}
	step("after cas")
	if err := a.Adopted(ctx); err != nil {
		return err
	}
	for n := s.Commits; n < len(w.commits); n++ {
		p, err := a.CreatePart(artifact.PartName(n, "conn", 0, 1))
		if err != nil {
			return err
		}
		if err := p.Append([]byte(w.commits[n])); err != nil {
			return err
		}
		step("part")
		s, err := a.Append(func(out io.Writer) error { return p.CopyTo(out, make([]byte, 300)) }, p)
		if err != nil {
			return err
		}
		step("before cas")
		if err := w.cas(token, s); err != nil {
			return err
		}
		step("after cas")
		if err := a.Publish(ctx, &pipeline.Report{Run: w.runID, State: pipeline.RecordOpen}); err != nil {
			return err
		}
		step("between commits")
	}
	var write func(io.Writer, io.ReaderAt, int64) error
	if w.compact {
		write = func(out io.Writer, in io.ReaderAt, length int64) error {
			_, err := io.Copy(out, io.MultiReader(io.NewSectionReader(in, 0, length), strings.NewReader("end\r\n")))
			return err
		}
	}
	if s, err = a.Finish(write); err != nil {
		return err
	}
	step("before cas")
	if err := w.cas(token, s); err != nil {
		return err
	}
	step("after cas")
	if _, err := a.PublishFinal(ctx, w.finalReport(), true); err != nil {
		return err
	}
	step("all done")
	return nil
}

// finalReport says that all connections are in the artifact.
func (w *world) finalReport() *pipeline.Report {
	return &pipeline.Report{Run: w.runID, State: pipeline.RecordFinished, Connections: []pipeline.ReportConnection{{State: pipeline.ReportSettled}}}
}

// whole is what the finished artifact holds.
func (w *world) whole() string {
	s := w.base + strings.Join(w.commits, "")
	if w.compact {
		s += "end\r\n"
	}
	return s
}

// wantReadable checks that the public file is one of those that may stand there.
func (w *world) wantReadable(also ...string) {
	w.t.Helper()
	text, err := os.ReadFile(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	may := append(also, w.whole())
	for n := range w.commits {
		may = append(may, w.base+strings.Join(w.commits[:n+1], ""))
	}
	if !slices.Contains(may, string(text)) {
		w.t.Fatalf("the public file holds %d bytes that nobody should see: %.60q", len(text), text)
	}
}

// wantFile checks a file's content.
func (w *world) wantFile(path, want string) {
	w.t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(got) != want {
		w.t.Fatalf("%s holds %.60q (%d bytes), want %.60q", filepath.Base(path), got, len(got), want)
	}
}

// names lists the folder.
func (w *world) names() []string {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (w *world) wantNames(want ...string) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.names(); !slices.Equal(got, want) {
		w.t.Fatalf("the folder holds %q, want %q", got, want)
	}
}

// holds reports whether any visible file has this content.
func (w *world) holds(content string) bool {
	for _, name := range w.names() {
		if text, err := os.ReadFile(filepath.Join(w.dir, name)); err == nil && bytes.Equal(text, []byte(content)) {
			return true
		}
	}
	return false
}

// earlier puts there what a complete run has left, with its report.
func (w *world) earlier(content string) {
	w.t.Helper()
	w.put(content)
	r := w.finalReport()
	r.Run, r.Length, r.SHA256 = "run0", int64(len(content)), fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	text, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(w.path+".manifest.json", text, 0o666)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(content string) {
	w.t.Helper()
	tmp := filepath.Join(w.dir, "users.tmp")
	if err := os.WriteFile(tmp, []byte(content), 0o666); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, w.path); err != nil {
		w.t.Fatal(err)
	}
}

// saveInto changes the public file in place, as programs do that do not save by renaming, and returns what it holds
// now.
func (w *world) saveInto(before, after string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	users := before + string(text) + after
	if err := os.WriteFile(w.path, []byte(users), 0o666); err != nil { // truncates and writes: the same inode
		w.t.Fatal(err)
	}
	return users
}

// died is what a hook panics with to end the process at a step.
type died struct{}

// dieAt runs an artifact until its n-th step and reports whether it got that far.
func (w *world) dieAt(n int) (step string, dead bool, err error) {
	a := w.open()
	defer a.Die()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(died); !ok {
				panic(r)
			}
			dead = true
		}
	}()
	at := 0
	err = w.run(a, w.claim(), func(s string) {
		if at++; at == n {
			step = s
			panic(died{})
		}
	})
	return step, false, err
}
