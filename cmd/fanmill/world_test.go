package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/gst"
	"fanmill/internal/verify"
)

// world is a job over SQLite branches, its artifacts, and what they must hold in the end.
type world struct {
	t     *testing.T
	dir   string
	args  []string // beside "run JOB"
	env   []string
	conns []worldConn

	mode    string         // of all destinations
	all     bool           // every kind of destination, not the workbook and the CSV alone
	query   string         // instead of the branches' own
	queries map[int]string // instead of a connection's

	settledBefore []string // what the last checkAsked found
}

type worldConn struct {
	id, name, dsn string
	rows          int
}

// branchesDir holds bigBranches; TestMain removes it.
var branchesDir string

// bigBranches are made once for all tests of the package: eight databases, read with different limits.
var bigBranches = sync.OnceValues(func() ([]gst.Branch, error) {
	var err error
	if branchesDir, err = os.MkdirTemp("", "fanmill-branches"); err != nil {
		return nil, err
	}
	return gst.Generate(context.Background(), branchesDir, 8, 40000, 7, nil) // at least 32,000 rows each
})

// newWorld makes a job that reads rows[i] sales of branch i.
// newWorldOfAll is newWorld with every kind of destination.
func newWorldOfAll(t *testing.T, rows ...int) *world {
	w := newWorld(t, rows...)
	w.all = true
	w.write()
	return w
}

func newWorld(t *testing.T, rows ...int) *world {
	t.Helper()
	branches, err := bigBranches()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4"}
	for i, n := range rows {
		b := branches[i%len(branches)]
		w.conns = append(w.conns, worldConn{id: fmt.Sprintf("conn_%d", i+1), name: b.Name, dsn: filepath.ToSlash(b.Path), rows: n})
	}
	w.write()
	return w
}

func (c worldConn) query() string {
	return fmt.Sprintf("select * from sale order by rowid limit %d", c.rows)
}

func (w *world) job() string   { return filepath.Join(w.dir, "job.json") }
func (w *world) xlsx() string  { return filepath.Join(w.dir, "out", "GST.xlsx") }
func (w *world) csv() string   { return filepath.Join(w.dir, "out", "GST.csv") }
func (w *world) jsonl() string { return filepath.Join(w.dir, "out", "GST.jsonl.gz") }
func (w *world) parquet() string {
	return filepath.Join(w.dir, "out", "GST.parquet")
}
func (w *world) asked() string {
	return filepath.Join(w.dir, "asked.txt")
}

// write writes the job file.
func (w *world) write() {
	type conn struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Driver string `json:"driver"`
		DSN    string `json:"dsn"`
		Query  string `json:"query"`
	}
	type dest struct {
		Type     string `json:"type"`
		FilePath string `json:"filePath"`
		Mode     string `json:"mode,omitempty"`
	}
	job := struct {
		ID           string `json:"id"`
		Name         string `json:"name"`
		Connections  []conn `json:"connections"`
		Destinations []dest `json:"destinations"`
	}{ID: "gst", Name: "GST", Destinations: []dest{{"excel", filepath.ToSlash(filepath.Join(w.dir, "out", "{jobName}.xlsx")), w.mode}, {"csv", filepath.ToSlash(filepath.Join(w.dir, "out", "{jobName}.csv")), w.mode}}}
	if w.all {
		job.Destinations = append(job.Destinations, dest{"jsonl", filepath.ToSlash(filepath.Join(w.dir, "out", "{jobName}.jsonl.gz")), w.mode},
			dest{"parquet", filepath.ToSlash(filepath.Join(w.dir, "out", "{jobName}.parquet")), ""})
	}
	for i, c := range w.conns {
		driver := "sqlite"
		if strings.Contains(c.dsn, "postgres") || strings.HasPrefix(c.dsn, "${") {
			driver = "postgres"
		}
		query := c.query()
		if w.query != "" {
			query = w.query
		}
		if q, ok := w.queries[i]; ok {
			query = q
		}
		job.Connections = append(job.Connections, conn{c.id, c.name, driver, c.dsn, query})
	}
	data, err := json.MarshalIndent(job, "", "  ")
	if err == nil {
		err = os.WriteFile(w.job(), data, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// command is fanmill run as a child process, in the world's folder.
func (w *world) command(env []string, more ...string) (*exec.Cmd, *bytes.Buffer) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(self, slices.Concat([]string{"run", w.job()}, w.args, more)...)
	cmd.Dir = w.dir
	cmd.Env = slices.Concat(os.Environ(), []string{"FANMILL_TEST_CHILD=1", "FANMILL_TEST_ASKED=" + w.asked(), "RESUME_JOBS=", "NATS_URL=", "NATS_CONTEXT=", "FANMILL_DATA=", "FANMILL_HTTP=off"}, w.env, env)
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// run waits for a child and returns its exit code, -1 if it was killed.
func (w *world) run(env []string, more ...string) (code int, out string) {
	w.t.Helper()
	cmd, buf := w.command(env, more...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("start fanmill: %v", err)
	}
	return cmd.ProcessState.ExitCode(), buf.String()
}

// mustRun is run with the exit code that it must have.
func (w *world) mustRun(want int, env []string, more ...string) string {
	w.t.Helper()
	code, out := w.run(env, more...)
	if code != want {
		w.t.Fatalf("exit code %d, want %d; it said:\n%s", code, want, out)
	}
	return out
}

// truth reads what the databases hold.
func (w *world) truth() (verify.Dataset, []verify.Column) {
	w.t.Helper()
	all := verify.Dataset{}
	var columns []verify.Column
	for _, c := range w.conns {
		d, cols, err := c.truth(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		maps.Copy(all, d)
		if columns == nil {
			columns = cols
		}
	}
	return all, columns
}

// truths are what queries return, by connection: tests that kill ask for the same some hundred times.
var truths sync.Map

type truth struct {
	rows    verify.Dataset
	columns []verify.Column
}

// truth is what the connection's query returns.
func (c worldConn) truth(ctx context.Context) (verify.Dataset, []verify.Column, error) {
	shared := filepath.Dir(c.dsn) == filepath.ToSlash(branchesDir) // nobody changes those
	if known, ok := truths.Load(c); shared && ok {
		t := known.(truth)
		return t.rows, t.columns, nil
	}
	rows, columns, err := verify.SQLite(ctx, []verify.Source{{Name: c.name, Path: c.dsn}}, c.query())
	if err == nil && shared {
		truths.Store(c, truth{rows, columns})
	}
	return rows, columns, err
}

// exact compares both artifacts with the databases, value for value.
func (w *world) exact() {
	w.t.Helper()
	w.equal(w.truth())
	w.tabsInJobOrder()
}

// equal compares both artifacts with the truth.
func (w *world) equal(truth verify.Dataset, columns []verify.Column) {
	w.t.Helper()
	book, err := verify.Workbook(w.xlsx(), columns, "Summary")
	if err != nil {
		w.t.Fatal(err)
	}
	if d := verify.Diff(truth, book); len(d) > 0 {
		w.t.Errorf("workbook: %s", strings.Join(d, "\n"))
	}
	file, err := verify.CSV(w.csv(), verify.CSVOptions{Columns: columns, Key: "branch"})
	if err != nil {
		w.t.Fatal(err)
	}
	for name, table := range truth { // a branch without rows is not in a file that has rows only
		if table.Count == 0 {
			delete(truth, name)
		}
	}
	if d := verify.Diff(truth, file); len(d) > 0 {
		w.t.Errorf("CSV: %s", strings.Join(d, "\n"))
	}
	if !w.all {
		return
	}
	if file, err = verify.JSONL(w.jsonl(), columns, "branch"); err != nil {
		w.t.Fatal(err)
	}
	if d := verify.Diff(truth, file); len(d) > 0 {
		w.t.Errorf("JSON Lines: %s", strings.Join(d, "\n"))
	}
	if file, err = verify.Parquet(w.parquet(), columns, "branch"); err != nil {
		w.t.Fatal(err)
	}
	if d := verify.Diff(truth, file); len(d) > 0 {
		w.t.Errorf("Parquet: %s", strings.Join(d, "\n"))
	}
}

func (w *world) tabsInJobOrder() {
	w.t.Helper()
	tabs, _, err := verify.OpenWorkbook(w.xlsx())
	if err != nil {
		w.t.Fatal(err)
	}
	var want []string
	for _, c := range w.conns {
		want = append(want, c.name)
	}
	want = append(want, "Summary")
	if !slices.Equal(tabs, want) {
		w.t.Errorf("tabs are %v, want %v", tabs, want)
	}
}

// whole checks invariants 1 and 2 at any moment: what is there opens and holds whole connections only. It returns how
// many the workbook has.
func (w *world) whole() int {
	w.t.Helper()
	want := map[string]int{}
	for _, c := range w.conns {
		want[c.name] = c.rows
	}
	n := 0
	if _, err := os.Stat(w.xlsx()); err == nil {
		_, rows, err := verify.OpenWorkbook(w.xlsx())
		if err != nil {
			w.t.Fatalf("the workbook does not open: %v", err)
		}
		for name, got := range rows {
			if name == "Summary" {
				continue
			}
			if got != want[name]+1 {
				w.t.Errorf("sheet %s has %d rows, the branch %d and a header", name, got, want[name])
			}
			n++
		}
	}
	if _, err := os.Stat(w.csv()); err == nil {
		for name, got := range w.csvRows() {
			if got != want[name] {
				w.t.Errorf("the CSV has %d rows of %s, the branch %d", got, name, want[name])
			}
		}
	}
	if _, err := os.Stat(w.jsonl()); err == nil {
		for name, got := range w.jsonlRows() {
			if got != want[name] {
				w.t.Errorf("the JSON Lines have %d rows of %s, the branch %d", got, name, want[name])
			}
		}
	}
	if _, err := os.Stat(w.parquet()); err == nil {
		file, err := verify.Parquet(w.parquet(), nil, "branch")
		if err != nil {
			w.t.Fatalf("the Parquet file does not read: %v", err)
		}
		for name, got := range file {
			if int(got.Count) != want[name] {
				w.t.Errorf("the Parquet file has %d rows of %s, the branch %d", got.Count, name, want[name])
			}
		}
	}
	return n
}

// jsonlRows counts the rows by branch.
func (w *world) jsonlRows() map[string]int {
	w.t.Helper()
	f, err := verify.Open(w.jsonl())
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil || len(text) > 0 && !bytes.HasSuffix(text, []byte("}\n")) {
		w.t.Fatalf("%d bytes of JSON Lines, %v", len(text), err)
	}
	rows, all := map[string]int{}, 0
	for _, c := range w.conns {
		branch, _ := json.Marshal(c.name)
		if n := bytes.Count(text, slices.Concat([]byte(`"branch":`), branch, []byte{','})); n > 0 {
			rows[c.name] = n
			all += n
		}
	}
	if n := bytes.Count(text, []byte{'\n'}); n != all {
		w.t.Errorf("the JSON Lines are %d, of which %d are of a branch", n, all)
	}
	return rows
}

// csvRows counts the rows by branch and checks that they stand together.
func (w *world) csvRows() map[string]int {
	w.t.Helper()
	f, err := os.Open(w.csv())
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		w.t.Fatalf("the CSV has no header: %v", err)
	}
	branch := slices.Index(header, "branch")
	rows, last := map[string]int{}, ""
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			w.t.Fatalf("the CSV does not read: %v", err)
		}
		name := rec[branch]
		if name != last && rows[name] > 0 {
			w.t.Fatalf("rows of %s stand in two places", name)
		}
		last = strings.Clone(name)
		rows[last]++
	}
}

// askedSince returns the databases asked since the last call.
func (w *world) askedSince() []string {
	w.t.Helper()
	data, err := os.ReadFile(w.asked())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	_ = os.Remove(w.asked())
	return strings.Fields(string(data))
}

// tidy checks that a complete run leaves nothing beside its artifacts and their manifests.
func (w *world) tidy() {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, "out"))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"GST.csv", "GST.csv.manifest.json", "GST.xlsx", "GST.xlsx.manifest.json"}
	if w.all {
		want = slices.Insert(want, 2, "GST.jsonl.gz", "GST.jsonl.gz.manifest.json", "GST.parquet", "GST.parquet.manifest.json")
	}
	if !slices.Equal(names, want) {
		w.t.Errorf("beside the artifacts are %v, want %v", names, want)
	}
}
