package sinks_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
)

// appends makes the destination append.
func appends(_ *pipeline.Manifest, d *pipeline.ManifestDestination) { d.Mode = "append" }

func write(tb tester, dir, text string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, "sales.csv"), []byte(text), 0o666); err != nil {
		tb.Fatal(err)
	}
}

// Run after run: one header, and every run's rows after those of the one before.
func TestCSVAppend(t *testing.T) {
	cols, turned := textColumns("id", "=qty"), textColumns("=qty", "id")
	for options, want := range map[string]string{
		`{}`: "id,=qty\r\n1,a\r\n2,b\r\n3,c\r\n",
		`{"bom":true,"lineEnd":"lf","delimiter":";","formulaGuard":true,"connectionColumn":"=branch","quoting":"all"}`: "\ufeff" +
			"\"'=branch\";\"id\";\"'=qty\"\n\"Pune\";\"1\";\"a\"\n\"Pune\";\"2\";\"b\"\n\"Pune\";\"3\";\"c\"\n",
		`{"includeHeaders":false}`:                             "1,a\r\n2,b\r\n3,c\r\n",
		`{"columns":{"=qty":{"rename":"Quantity","order":1}}}`: "Quantity,id\r\na,1\r\nb,2\r\nc,3\r\n",
	} {
		for name, change := range map[string]func(*pipeline.Manifest, *pipeline.ManifestDestination){"schema": schema(cols), "no schema": func(*pipeline.Manifest, *pipeline.ManifestDestination) {}} {
			dir := t.TempDir()
			for i, row := range [][]any{{"1", "a"}, {"2", "b"}, {"3", "c"}} {
				of := cols
				if i == 1 && options != `{"includeHeaders":false}` { // by name, where there are names
					of, row = turned, []any{row[1], row[0]}
				}
				s := csvWith(t, dir, options, appends, change)
				settle(t, s, fill(t, s, 0, of, textBatch(t, of, row)))
				finish(t, s)
				cleanUp(t, s, false)
			}
			if got := read(t, dir); got != want {
				t.Errorf("%s, %s:\ngot  %q\nwant %q", options, name, got, want)
			}
		}
	}
}

// The last line of the file gets the end it lacks, once, also when the process that saw that is not the one that
// appends.
func TestCSVAppendAfterUnendedLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "id,qty\r\n1,\"a\r\nb\"")
	s, err := newCSVWith(dir, "", appends)
	if err != nil {
		t.Fatal(err)
	}
	state := claim(t, s, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cols := textColumns("id", "qty")
	if s, err = newCSVWith(dir, "", appends); err != nil {
		t.Fatal(err)
	}
	claim(t, s, state)
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"2", "c"})))
	settle(t, s, fill(t, s, 1, cols, textBatch(t, cols, []any{"3", "d"})))
	finish(t, s)
	if got, want := read(t, dir), "id,qty\r\n1,\"a\r\nb\"\r\n2,c\r\n3,d\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A file that rows cannot follow is refused, every difference named, and left alone.
func TestCSVAppendRefuses(t *testing.T) {
	known := schema(textColumns("id", "qty"))
	unknown := func(*pipeline.Manifest, *pipeline.ManifestDestination) {}
	for _, c := range []struct {
		name, file, options string
		change              func(*pipeline.Manifest, *pipeline.ManifestDestination)
		want                []string // nil: it is taken
	}{
		{"the same", "id,qty\r\n", "", known, nil},
		{"quoted", "\"id\",\"qty\"\r\n1,2\r\n", "", known, nil},
		{"names", "id,amount\r\n", "", known, []string{"only the file has amount", "only this run has qty", `"mode": "replace"`}},
		{"a new column", "id\r\n", "", known, []string{"only this run has qty"}},
		{"a column more", "id,qty,note\r\n", "", known, []string{"only the file has note"}},
		{"twice", "id,qty,qty\r\n", "", known, []string{"it has 3, this run 2"}},
		{"order", "qty,id\r\n", "", known, []string{"another order, qty, id, than this run's, id, qty"}},
		{"delimiter", "id;qty\r\n", "", known, []string{`separated by ";" ("delimiter": ";")`}},
		{"delimiter and columns", "id;qty;note\r\n", "", known, []string{`separated by ";" ("delimiter": ";"); its columns differ: only the file has note`}},
		{"delimiter, unknown columns", "id;qty\r\n", "", unknown, []string{`separated by ";" ("delimiter": ";")`}},
		{"line ends and mark", "\ufeffid,qty\n1,2\n", "", known, []string{`byte order mark ("bom": true)`, `end with LF ("lineEnd": "lf")`}},
		{"no mark", "id,qty\r\n", `{"bom":true,"lineEnd":"lf"}`, known, []string{`("bom": false)`, `end with CRLF ("lineEnd": "crlf")`}},
		{"UTF-16", "\xff\xfei\x00d\x00", "", known, []string{"UTF-16"}},
		{"damaged", "id,qty\r\n1,\"open", "", known, []string{"a quote without its counterpart"}},
		{"no header", "id\r\n1\r\n", `{"includeHeaders":false}`, known, []string{"its lines have 1 fields, and those of this run 2"}},
		{"no header, right", "a,b\r\n", `{"includeHeaders":false}`, known, nil},
		{"connection", "id,qty\r\n", `{"connectionColumn":true}`, unknown, []string{`first column is "id", not "_connection"`}},
		{"huge line", strings.Repeat("x", 2<<20), "", unknown, []string{"longer than 1048576 bytes"}},
		{"one column", "id", "", schema(textColumns("id")), nil},
	} {
		dir := t.TempDir()
		write(t, dir, c.file)
		s, err := newCSVWith(dir, c.options, appends, c.change)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, nil, nil)
		if (err == nil) != (c.want == nil) || err != nil && !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "sales.csv") {
				t.Errorf("%s: %v, want %q in it", c.name, err, part)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir); got != c.file {
			t.Errorf("%s: the file is %.40q now", c.name, got)
		}
	}
}

// Without names the number of fields decides, also for whoever takes over.
func TestCSVAppendWithoutHeaderCountsFields(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "1,2\r\n")
	s, err := newCSVWith(dir, `{"includeHeaders":false}`, appends)
	if err != nil {
		t.Fatal(err)
	}
	state := claim(t, s, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = newCSVWith(dir, `{"includeHeaders":false}`, appends); err != nil {
		t.Fatal(err)
	}
	claim(t, s, state)
	defer s.Close()
	o := opening(textColumns("a", "b", "c"))
	if _, err := s.Open(context.Background(), pipeline.PartID{Attempt: 1}, &o, nil, nil); err == nil || !strings.Contains(err.Error(), "2 fields") {
		t.Errorf("got %v", err)
	}
	fill(t, s, 1, textColumns("a", "b"))
}

// A fresh run over one that did not complete begins where that one did.
func TestCSVAppendFreshOverUnfinished(t *testing.T) {
	dir := t.TempDir()
	const before = "id,qty\r\n1,a\r\n"
	write(t, dir, before)
	cols := textColumns("id", "qty")
	s := csvWith(t, dir, "", appends)
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"2", "gone"})))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	abandoned, err := newCSVWith(dir, "", appends)
	if err != nil {
		t.Fatal(err)
	}
	cleanUp(t, abandoned, true)
	if got := read(t, dir); got != before+"2,gone\r\n" { // until the fresh run's first commit
		t.Errorf("after the clean-up %q", got)
	}
	s = csvWith(t, dir, "", appends, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) { m.Run = "run2" })
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"2", "b"})))
	finish(t, s)
	if got, want := read(t, dir), before+"2,b\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var report pipeline.Report
	raw, err := os.ReadFile(filepath.Join(dir, "sales.csv.manifest.json"))
	if err != nil || json.Unmarshal(raw, &report) != nil || report.Length != int64(len(before)+5) {
		t.Errorf("report %s, %v", raw, err)
	}
}
