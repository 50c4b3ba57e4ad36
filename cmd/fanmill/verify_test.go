package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
	"fanmill/sinks/proof"
)

// verifiedFile is a file that a run has written.
type verifiedFile struct {
	name  string
	named bool // rows can be counted by connection
}

// verifiedFiles are of every format, with and without the connection's name.
var verifiedFiles = []verifiedFile{
	{"plain.csv", false}, {"named.csv", true}, {"named.csv.gz", true}, {"plain.csv.zst", false}, {"semicolon.csv", true}, {"plain.jsonl", false}, {"named.jsonl", true},
	{"named.jsonl.zst", true}, {"plain.jsonl.gz", false}, {"book.xlsx", true}, {"plain.parquet", false}, {"named.parquet", true},
}

// branch is a database with so many sales; texts have all that a CSV must quote.
func branch(t *testing.T, rows int) string {
	text := "create table sale (no int, note text);"
	for i := range rows {
		text += fmt.Sprintf("insert into sale values (%d, 'a \"quoted\"\nnote, {\"no\"} <row r=\"%d\">');", i, i)
	}
	return sqliteDB(t, text)
}

// verifyRun runs a job with all formats over branches with so many rows each; 0 is one that fails. It returns the
// folder.
func verifyRun(t *testing.T, want int, rows ...int) string {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4"}
	var connections, destinations []object
	for i, n := range rows {
		dsn := filepath.ToSlash(filepath.Join(w.dir, "none.db"))
		if n > 0 {
			dsn = branch(t, n)
		}
		connections = append(connections, object{"id": fmt.Sprintf("conn_%d", i+1), "name": fmt.Sprintf("Branch, \"%d\"", i+1), "driver": "sqlite", "dsn": dsn})
	}
	out := filepath.Join(w.dir, "out")
	for i, f := range verifiedFiles {
		kind, _, _ := strings.Cut(f.name[strings.IndexByte(f.name, '.')+1:], ".")
		d := object{"id": fmt.Sprintf("d%d", i), "type": map[string]string{"csv": "csv", "jsonl": "jsonl", "xlsx": "excel", "parquet": "parquet"}[kind], "filePath": filepath.ToSlash(filepath.Join(out, f.name))}
		if f.named && kind != "xlsx" {
			d["connectionColumn"] = true
		}
		if f.name == "semicolon.csv" {
			d["delimiter"], d["includeHeaders"], d["bom"], d["quoting"] = ";", false, true, "all"
		}
		destinations = append(destinations, d)
	}
	destinations = append(destinations, csvTo(out, "split/{connection}.csv", object{"id": "split"}),
		object{"id": "dataset", "type": "parquet", "filePath": filepath.ToSlash(filepath.Join(out, "dataset", "branch={connection}", "sales.parquet"))})
	writeJob(t, w.job(), object{"id": "gst", "query": "select * from sale order by no", "connections": connections, "destinations": destinations})
	w.mustRun(want, nil)
	return out
}

// verifyResult is what fanmill verify --json prints.
type verifyResult struct {
	Proven, Differing, Unknown int
	Files                      []struct {
		Path, State, Run string
		OK, Counted      bool
		Rows             int64
		Missing          []struct{ Name string }
		Differences      []struct {
			Of             string
			File, Manifest int64
		}
		Why, Notes []string
	}
}

// verifyCall is fanmill verify --json.
func verifyCall(t *testing.T, want int, args ...string) (v verifyResult) {
	t.Helper()
	code, out, problems := call(append([]string{"verify", "--json"}, args...)...)
	if code != want {
		t.Errorf("verify %q ends with %d, want %d: %s%s", args, code, want, out, problems)
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s%s", err, out, problems)
	}
	return v
}

// look is one file, checked in this process.
func look(path string) proof.Result {
	found, err := proof.Find(path)
	if err != nil || len(found) != 1 {
		return proof.Result{State: proof.Unknown, Why: []string{fmt.Sprint(err, found)}}
	}
	checker := proof.Checker{Kinds: sinkKinds()}
	return checker.Check(context.Background(), found[0])
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// put writes a file anew, and not into the one that is there, which has other names.
func put(t *testing.T, path string, text []byte) {
	t.Helper()
	_ = os.Remove(path)
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// remade is a manifest for these bytes of a file, with its checksum, as an attacker would make one.
func remade(t *testing.T, manifest []byte, file []byte, change func(*pipeline.Report)) []byte {
	t.Helper()
	r, _, err := pipeline.ReadReport(manifest)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	r.Length, r.SHA256 = int64(len(file)), hex.EncodeToString(sum[:])
	if change != nil {
		change(r)
	}
	text, err := pipeline.SealReport(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withoutRow is a file of the same format without its last row.
func withoutRow(t *testing.T, path string) []byte {
	t.Helper()
	text := readFile(t, path)
	var out bytes.Buffer
	var err error
	switch filepath.Ext(path) {
	case ".gz":
		var r *gzip.Reader
		r, err = gzip.NewReader(bytes.NewReader(text))
		if err == nil {
			text, err = io.ReadAll(r)
			w := gzip.NewWriter(&out)
			_, _ = w.Write(cutRow(text))
			_ = w.Close()
		}
	case ".zst":
		var r *zstd.Decoder
		r, err = zstd.NewReader(bytes.NewReader(text))
		if err == nil {
			text, err = io.ReadAll(r)
			w, _ := zstd.NewWriter(&out)
			_, _ = w.Write(cutRow(text))
			_ = w.Close()
		}
	case ".xlsx":
		var book *excelize.File
		if book, err = excelize.OpenReader(bytes.NewReader(text)); err == nil {
			sheet := book.GetSheetList()[0]
			rows, _ := book.GetRows(sheet)
			if err = book.RemoveRow(sheet, len(rows)); err == nil {
				err = book.Write(&out)
			}
		}
	case ".parquet":
		r := parquet.NewReader(bytes.NewReader(text))
		w := parquet.NewWriter(&out, r.Schema())
		rows := make([]parquet.Row, r.NumRows())
		n, rerr := r.ReadRows(rows)
		if rerr != nil && rerr != io.EOF {
			t.Fatal(rerr)
		}
		if _, err = w.WriteRows(rows[:n-1]); err == nil {
			err = w.Close()
		}
	default:
		out.Write(cutRow(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// cutRow takes the last row of verifyRun's texts away, whose note is over two lines in a CSV.
func cutRow(text []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	n := 1
	if text[0] != '{' {
		n = 2
	}
	return bytes.Join(lines[:len(lines)-n], nil)
}

// What fanmill has delivered is proven, in every format, by file and manifest alone, wherever they are.
func TestVerifyProves(t *testing.T) {
	out := verifyRun(t, exitComplete, 5, 7, 3)
	all := len(verifiedFiles) + 3 + 3
	v := verifyCall(t, exitComplete, out, "--complete")
	if v.Proven != all || len(v.Files) != all {
		t.Fatalf("proven are %d of %d, not %d: %+v", v.Proven, len(v.Files), all, v)
	}
	rows := map[string]int64{}
	for _, f := range v.Files {
		if f.State != "proven" || !f.Counted || !f.OK {
			t.Errorf("%s is %+v", f.Path, f)
		}
		rel, _ := filepath.Rel(out, f.Path)
		name, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		rows[name] += f.Rows
	}
	for name, n := range rows {
		if n != 15 {
			t.Errorf("%s has %d rows", name, n)
		}
	}
	run := v.Files[0].Run
	if v := verifyCall(t, exitComplete, filepath.Join(out, "*.csv"), filepath.Join(out, "split", "{connection}.csv"), filepath.Join(out, "dataset", "*", "sales.parquet"), "--expect", run); v.Proven != 9 {
		t.Errorf("of the patterns %d are proven: %+v", v.Proven, v)
	}
	if v := verifyCall(t, exitComplete, filepath.Join(out, "plain.csv"), filepath.Join(out, "plain.csv.manifest.json"), out+"/plain.csv"); len(v.Files) != 1 {
		t.Errorf("a file that is named twice is %+v", v)
	}
	if v := verifyCall(t, exitPartial, filepath.Join(out, "plain.csv"), "--expect", "20260101-000000-aaaaaa"); v.Files[0].State != "other" || !strings.Contains(v.Files[0].Why[0], run) {
		t.Errorf("of another run it says %+v", v)
	}
	// Moved to another folder, without anything else.
	moved := t.TempDir()
	put(t, filepath.Join(moved, "book.xlsx"), readFile(t, filepath.Join(out, "book.xlsx")))
	put(t, filepath.Join(moved, "book.xlsx.manifest.json"), bytes.ReplaceAll(readFile(t, filepath.Join(out, "book.xlsx.manifest.json")), []byte("\n"), []byte("\r\n")))
	verifyCall(t, exitComplete, filepath.Join(moved, "book.xlsx"))
	if err := os.Remove(filepath.Join(moved, "book.xlsx")); err != nil {
		t.Fatal(err)
	}
	if v := verifyCall(t, exitPartial, moved); v.Files[0].State != "missing" {
		t.Errorf("without its file it says %+v", v)
	}
	put(t, filepath.Join(moved, "book (edited).xlsx"), []byte("x"))
	if v := verifyCall(t, exitFailed, filepath.Join(moved, "book (edited).xlsx")); v.Files[0].State != "unknown" || !strings.Contains(v.Files[0].Why[0], "somebody saved") {
		t.Errorf("of an edited copy it says %+v", v)
	}
	if code, _, _ := call("verify"); code != exitBadJob {
		t.Errorf("without an argument it ends with %d", code)
	}
	if code, _, problems := call("verify", ""); code != exitFailed || !strings.Contains(problems, "empty") {
		t.Errorf("of an empty name it ends with %d: %s", code, problems)
	}
	if code, _, problems := call("verify", t.TempDir()); code != exitFailed || !strings.Contains(problems, "manifest") {
		t.Errorf("of a folder without files it ends with %d: %s", code, problems)
	}
}

// Whatever is changed in a file shows: a byte, its length, a row, with the manifest as it was or made anew.
func TestVerifyFindsChangedFiles(t *testing.T) {
	out := verifyRun(t, exitComplete, 5, 7, 3)
	for _, f := range verifiedFiles {
		t.Run(f.name, func(t *testing.T) {
			path := filepath.Join(out, f.name)
			text, manifest := readFile(t, path), readFile(t, path+".manifest.json")
			for at := 0; at < len(text); at += 1 + len(text)/50 {
				changed := bytes.Clone(text)
				changed[at] ^= 1
				put(t, path, changed)
				if r := look(path); r.State != proof.Changed {
					t.Errorf("with byte %d of %d changed it is %s: %q", at, len(text), r.State, r.Why)
				}
				put(t, path, text[:at])
				if r := look(path); r.State != proof.Changed {
					t.Errorf("cut to %d of %d bytes it is %s: %q", at, len(text), r.State, r.Why)
				}
			}
			put(t, path, append(bytes.Clone(text), text...))
			if r := look(path); r.State != proof.Changed {
				t.Errorf("twice behind each other it is %s: %q", r.State, r.Why)
			}
			put(t, path, text)
			less := withoutRow(t, path)
			put(t, path, less)
			v := verifyCall(t, exitPartial, path)
			if d := v.Files[0].Differences; len(d) != 1 || d[0].File != d[0].Manifest-1 || f.named != strings.HasPrefix(d[0].Of, "Branch") {
				t.Errorf("without a row it says %+v", v)
			}
			put(t, path+".manifest.json", remade(t, manifest, less, nil))
			if v := verifyCall(t, exitPartial, path); v.Files[0].State != "changed" || len(v.Files[0].Differences) != 1 {
				t.Errorf("without a row, and with the checksum made anew, it says %+v", v)
			}
			// Rows of one branch counted for another, in a manifest that is otherwise good: only a name in the rows tells.
			put(t, path, text)
			put(t, path+".manifest.json", remade(t, manifest, text, func(r *pipeline.Report) {
				r.Connections[0].Rows, r.Connections[1].Rows = r.Connections[1].Rows, r.Connections[0].Rows
			}))
			want := exitComplete
			if f.named {
				want = exitPartial
			}
			if v := verifyCall(t, want, path); f.named && len(v.Files[0].Differences) != 2 {
				t.Errorf("with rows of two branches swapped it says %+v", v)
			}
		})
	}
}

// A sheet that has another name is named, also where length and checksum were made anew.
func TestVerifyFindsRenamedSheet(t *testing.T) {
	out := verifyRun(t, exitComplete, 2, 3)
	path := filepath.Join(out, "book.xlsx")
	manifest := readFile(t, path+".manifest.json")
	book, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sheet := book.GetSheetList()[0]
	if err := book.SetSheetName(sheet, "Other"); err != nil {
		t.Fatal(err)
	}
	var renamed bytes.Buffer
	if err := book.Write(&renamed); err != nil {
		t.Fatal(err)
	}
	put(t, path, renamed.Bytes())
	for _, text := range [][]byte{manifest, remade(t, manifest, renamed.Bytes(), nil)} {
		put(t, path+".manifest.json", text)
		v := verifyCall(t, exitPartial, path)
		if why := strings.Join(v.Files[0].Why, "\n"); !strings.Contains(why, sheet) || !strings.Contains(why, `sheet "Other" is none`) {
			t.Errorf("it says %+v", v)
		}
	}
}

// A manifest with any byte changed, any line taken away, or cut anywhere, proves nothing.
func TestVerifyFindsDamagedManifests(t *testing.T) {
	out := verifyRun(t, exitComplete, 1, 2)
	for _, name := range []string{"named.csv", "book.xlsx"} {
		path := filepath.Join(out, name)
		manifest := readFile(t, artifact.ReportName(path, false))
		bad := func(text []byte, what string) {
			put(t, artifact.ReportName(path, false), text)
			if r := look(path); r.State != proof.Edited && r.State != proof.Unknown {
				t.Errorf("%s: with %s it is %s", name, what, r.State)
			}
		}
		for at := range manifest[:len(manifest)-1] {
			changed := bytes.Clone(manifest)
			changed[at] ^= 1
			bad(changed, fmt.Sprintf("byte %d changed", at))
			if at%7 == 0 {
				bad(manifest[:at], fmt.Sprintf("%d bytes", at))
			}
		}
		lines := bytes.SplitAfter(manifest, []byte("\n"))
		for i := range lines[:len(lines)-1] {
			if strings.Contains(string(lines[i]), ":") {
				bad(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil), fmt.Sprintf("no line %q", lines[i]))
			}
		}
		put(t, artifact.ReportName(path, false), manifest)
		if r := look(path); r.State != proof.Proven {
			t.Errorf("%s: in the end it is %s: %q", name, r.State, r.Why)
		}
		if err := os.Remove(artifact.ReportName(path, false)); err != nil {
			t.Fatal(err)
		}
		if v := verifyCall(t, exitFailed, path); v.Files[0].State != "unknown" || !strings.Contains(v.Files[0].Why[0], "no manifest") {
			t.Errorf("without a manifest it says %+v", v)
		}
	}
}

// A partial run's files are as delivered, and what is missing is named; --complete does not take them.
func TestVerifyNamesWhatIsMissing(t *testing.T) {
	out := verifyRun(t, exitPartial, 2, 0, 1)
	v := verifyCall(t, exitComplete, out)
	for _, f := range v.Files {
		whole := strings.Contains(f.Path, "split") || strings.Contains(f.Path, "dataset")
		if !whole && (f.State != "partial" || len(f.Missing) != 1 || f.Missing[0].Name != `Branch, "2"`) {
			t.Errorf("%s is %+v", f.Path, f)
		}
	}
	if v := verifyCall(t, exitPartial, out, "--complete"); v.Differing != len(verifiedFiles)+2 {
		t.Errorf("with --complete %d differ: %+v", v.Differing, v)
	}
	_, text, _ := call("verify", filepath.Join(out, "plain.csv"))
	if !strings.Contains(text, `the run is partial: 1 connection is missing: Branch, "2" (failed)`) {
		t.Errorf("it says\n%s", text)
	}
}

// A file that rows are appended to is proven by the rows of the last run; the earlier ones are in its checksum.
func TestVerifyAppended(t *testing.T) {
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4"}
	out := filepath.Join(w.dir, "out")
	to := func(name string) object {
		return object{"id": name, "type": map[string]string{".csv": "csv", ".gz": "jsonl", ".xlsx": "excel"}[filepath.Ext(name)], "mode": "append", "filePath": filepath.ToSlash(filepath.Join(out, name))}
	}
	writeJob(t, w.job(), object{"id": "gst", "query": "select * from sale order by no", "destinations": []object{to("a.csv"), to("a.jsonl.gz"), to("a.xlsx")},
		"connections": []object{{"id": "c1", "name": "One", "driver": "sqlite", "dsn": branch(t, 3)}, {"id": "c2", "name": "Two", "driver": "sqlite", "dsn": branch(t, 4)}}})
	for range 3 {
		w.mustRun(exitComplete, nil)
		v := verifyCall(t, exitComplete, out, "--complete")
		if len(v.Files) != 3 {
			t.Errorf("files are %+v", v)
		}
		for _, f := range v.Files {
			if f.Rows != 7 || !f.Counted {
				t.Errorf("%s is %+v", f.Path, f)
			}
		}
	}
}
