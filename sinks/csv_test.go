package sinks_test

import (
	"context"
	"encoding/csv"
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
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// tester is a test, a benchmark or a property.
type tester interface {
	Helper()
	Fatal(args ...any)
}

// opening describes one query's columns.
func opening(cols []columnar.Column) pipeline.Opening {
	return pipeline.NewOpening([]pipeline.Query{{}}, [][]columnar.Column{cols})
}

// textColumns are columns of text of these names.
func textColumns(names ...string) []columnar.Column {
	cols := make([]columnar.Column, len(names))
	for i, n := range names {
		cols[i] = columnar.Column{Name: n, Kind: columnar.Text}
	}
	return cols
}

// textBatch is a batch of texts; nil is NULL.
func textBatch(tb tester, cols []columnar.Column, rows ...[]any) *columnar.Batch {
	tb.Helper()
	b := columnar.NewBuilder(cols)
	for _, row := range rows {
		for i, v := range row {
			if v == nil {
				b.Column(i).Null()
			} else {
				b.Column(i).String(v.(string))
			}
		}
		b.EndRow()
	}
	return decodeBatch(tb, b)
}

func decodeBatch(tb tester, b *columnar.Builder) *columnar.Batch {
	tb.Helper()
	body, err := b.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	batch, err := columnar.Decode(slices.Clone(body))
	if err != nil {
		tb.Fatal(err)
	}
	return batch
}

// newCSV makes the sink of a CSV destination over so many branches.
func newCSV(tb tester, dir, zone string, options json.RawMessage, branches int) pipeline.Sink {
	tb.Helper()
	m := &pipeline.Manifest{Run: "run1", JobID: "job", TimeZone: zone}
	for i := range branches {
		id := fmt.Sprintf("शाखा/%d", i)
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: id, Name: id, Queries: make([]pipeline.ManifestQuery, 1)})
	}
	s, err := sinks.Kinds()["csv"].New(pipeline.SinkSpec{Manifest: m, StoreID: "store",
		Destination: &pipeline.ManifestDestination{ID: "csv", Type: "csv", Path: filepath.Join(dir, "sales.csv"), Options: options}})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// openCSV makes it and claims it for a fresh start.
func openCSV(tb testing.TB, dir, zone string, options json.RawMessage) pipeline.Sink {
	tb.Helper()
	s := newCSV(tb, dir, zone, options, 26)
	claim(tb, s, nil)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// claim claims and adopts, as the loop does around its compare-and-set.
func claim(tb tester, s pipeline.Sink, state json.RawMessage, parts ...pipeline.PartState) json.RawMessage {
	tb.Helper()
	next, err := s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, state, parts)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Release(context.Background(), nil, nil, false); err != nil {
		tb.Fatal(err)
	}
	return next.State
}

// cleanUp closes the sink of a file and removes what is private of it, as the end of a run does.
func cleanUp(tb tester, s pipeline.Sink, keepPrevious bool) {
	tb.Helper()
	m, d := sinks.OfFile(s)
	err := s.Close()
	if err == nil {
		_, err = sinks.Kinds()[d.Type].Clean(context.Background(), pipeline.SinkSpec{Manifest: m, Destination: d, StoreID: "store"}, keepPrevious)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// fill opens a part and writes batches to it.
func fill(tb tester, s pipeline.Sink, connection int, cols []columnar.Column, batches ...*columnar.Batch) pipeline.Part {
	tb.Helper()
	o := opening(cols)
	p, err := s.Open(context.Background(), pipeline.PartID{Connection: connection, Attempt: 1}, &o, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	add(tb, p, batches...)
	return p
}

func add(tb tester, p pipeline.Part, batches ...*columnar.Batch) {
	tb.Helper()
	for _, b := range batches {
		c, err := p.Encode(0, 0, b)
		if err != nil {
			tb.Fatal(err)
		}
		if err := p.Append(context.Background(), 0, c); err != nil {
			tb.Fatal(err)
		}
	}
}

// settle stages and releases finished parts.
func settle(tb tester, s pipeline.Sink, parts ...pipeline.Part) json.RawMessage {
	tb.Helper()
	for _, p := range parts {
		if _, err := p.Finish(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	staged, err := s.Stage(context.Background(), parts, 1, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Release(context.Background(), nil, &pipeline.Report{State: pipeline.RecordOpen}, false); err != nil {
		tb.Fatal(err)
	}
	return staged.State
}

// finish takes the sink to its end.
func finish(tb tester, s pipeline.Sink) {
	tb.Helper()
	ctx := context.Background()
	if _, err := s.Stage(ctx, nil, 1, &pipeline.Report{}); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Release(ctx, nil, &pipeline.Report{State: pipeline.RecordFinished}, true); err != nil {
		tb.Fatal(err)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func read(tb tester, dir string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "sales.csv"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// One header, the rows of a connection together, connections in commit order; NULL and "" differ.
func TestCSVFile(t *testing.T) {
	dir := t.TempDir()
	s := openCSV(t, dir, "", nil)
	cols := textColumns("id", "name, in full", `say "hi"`)
	first := fill(t, s, 0, cols, textBatch(t, cols, []any{"1", "Rao, \"K\"\r\nSons", nil}), textBatch(t, cols, []any{"2", "", " x "}))
	second := fill(t, s, 1, cols, textBatch(t, cols, []any{"3", nil, nil}))
	empty := fill(t, s, 2, cols)
	settle(t, s, second)
	settle(t, s, first, empty)
	finish(t, s)
	want := "id,\"name, in full\",\"say \"\"hi\"\"\"\r\n" + "3,,\r\n" + "1,\"Rao, \"\"K\"\"\r\nSons\",\r\n" + "2,\"\", x \r\n"
	if got := read(t, dir); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A connection without rows still makes a file with its header; without headers, an empty one.
func TestCSVWithoutRows(t *testing.T) {
	for options, want := range map[string]string{`{}`: "a,b\r\n", `{"includeHeaders": false}`: ""} {
		dir := t.TempDir()
		s := openCSV(t, dir, "", json.RawMessage(options))
		settle(t, s, fill(t, s, 0, textColumns("a", "b")))
		finish(t, s)
		if got := read(t, dir); got != want {
			t.Errorf("%s: %q", options, got)
		}
	}
}

// In a file of one column every row is a line that a reader sees, and what that costs is counted.
func TestCSVSingleColumn(t *testing.T) {
	dir := t.TempDir()
	s := openCSV(t, dir, "", nil)
	cols := textColumns("note")
	p := fill(t, s, 0, cols, textBatch(t, cols, []any{nil}, []any{""}, []any{"x"}, []any{nil}, []any{`\.`}))
	settle(t, s, p)
	if got, want := read(t, dir), "note\r\n\"\"\r\n\"\"\r\nx\r\n\"\"\r\n\"\\.\"\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	losses := sinks.SummaryOf(p).Losses
	if len(losses) != 1 || losses[0].Column != "note" || losses[0].Cells != 2 {
		t.Errorf("losses %+v", losses)
	}
}

// Columns go under the name they have, whatever their position; equal names keep their order.
func TestCSVColumnsMatchByName(t *testing.T) {
	dir := t.TempDir()
	s := openCSV(t, dir, "", nil)
	cols, other := textColumns("a", "b", "b", "c"), textColumns("c", "b", "a", "b")
	p := fill(t, s, 0, cols, textBatch(t, cols, []any{"a1", "b1", "B1", "c1"}))
	q := fill(t, s, 1, other, textBatch(t, other, []any{"c2", "b2", "a2", "B2"}))
	settle(t, s, p)
	settle(t, s, q)
	if got, want := read(t, dir), "a,b,b,c\r\na1,b1,B1,c1\r\na2,b2,B2,c2\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A connection whose columns differ is turned away alone, with their names.
func TestCSVRejectsOtherColumns(t *testing.T) {
	s := openCSV(t, t.TempDir(), "", nil)
	settle(t, s, fill(t, s, 0, textColumns("id", "hsn_code", "qty")))
	for want, names := range map[string][]string{
		"columns differ from the header: missing hsn_code; extra hsn": {"hsn", "id", "qty"},
		"columns differ from the header: missing qty":                 {"id", "hsn_code"},
		"columns differ from the header: missing id; extra id, id; id stands more than once, and which column belongs under which cannot be told": {"id", "hsn_code", "qty", "id"},
		`columns differ from the header: missing "qty"; extra "qty\u00a0"; "qty\u00a0" and "qty" look alike and are not the same`:                 {"id", "hsn_code", "qty\u00a0"},
		"the query returns no columns": {},
	} {
		o := opening(textColumns(names...))
		_, err := s.Open(context.Background(), pipeline.PartID{Connection: 1, Attempt: 1}, &o, nil, nil)
		var turned *pipeline.RejectError
		if !errors.As(err, &turned) || turned.Reason != want {
			t.Errorf("%v: %v, want %q", names, err, want)
		}
	}
	fill(t, s, 1, textColumns("qty", "id", "hsn_code"))
}

// Without a schema the first connection that is staged fixes the header, whatever began before it; one with the same
// columns in another order is written in the order of the first such one, and one with other columns is turned away.
func TestCSVHeaderIsThatOfTheFirstStaged(t *testing.T) {
	dir := t.TempDir()
	s := openCSV(t, dir, "", nil)
	odd, good, turned := textColumns("id", "other"), textColumns("id", "qty"), textColumns("qty", "id")
	first := fill(t, s, 0, odd, textBatch(t, odd, []any{"1", "x"}))
	p := fill(t, s, 1, good, textBatch(t, good, []any{"2", "5"}))
	q := fill(t, s, 2, turned, textBatch(t, turned, []any{"6", "3"}))
	settle(t, s, q)
	var reject *pipeline.RejectError
	if _, err := first.Finish(context.Background()); !errors.As(err, &reject) || reject.Reason != "columns differ from the header: missing qty; extra other" {
		t.Fatalf("the odd connection: %v", err)
	}
	settle(t, s, p)
	if got, want := read(t, dir), "id,qty\r\n3,6\r\n2,5\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Invariant 3: a claim after a cut goes on with what was recorded, under the header that was fixed before, though
// nothing was committed yet and the part that fixed it is gone; what was written after the cut is not seen twice.
func TestCSVResumeAfterCut(t *testing.T) {
	dir := t.TempDir()
	s := newCSV(t, dir, "", nil, 3)
	state := claim(t, s, nil)
	cols, other := textColumns("a", "b"), textColumns("b", "a")
	gone := fill(t, s, 0, cols)
	p := fill(t, s, 1, other, textBatch(t, other, []any{"b1", "a1"}))
	if err := gone.Discard(); err != nil {
		t.Fatal(err)
	}
	raw, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cut := pipeline.PartState{PartID: pipeline.PartID{Connection: 1, Attempt: 1}, State: raw, Open: opening(other)}
	add(t, p, textBatch(t, other, []any{"lost", "lost"}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	next := newCSV(t, dir, "", nil, 3)
	state = claim(t, next, state, cut)
	again, err := next.Open(context.Background(), cut.PartID, &cut.Open, &cut, nil)
	if err != nil {
		t.Fatal(err)
	}
	add(t, again, textBatch(t, other, []any{"b2", "a2"}))
	settle(t, next, again)
	settle(t, next, fill(t, next, 2, other, textBatch(t, other, []any{"b3", "a3"})))
	finish(t, next)
	if got, want := read(t, dir), "a,b\r\na1,b1\r\na2,b2\r\na3,b3\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	_ = state
}

// The header of the state holds for every connection after a claim.
func TestCSVHeaderIsRecorded(t *testing.T) {
	dir := t.TempDir()
	s := newCSV(t, dir, "", nil, 2)
	claim(t, s, nil)
	cols, other := textColumns("a", "b"), textColumns("b", "a")
	state := settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1", "2"})))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := newCSV(t, dir, "", nil, 2)
	claim(t, next, state)
	settle(t, next, fill(t, next, 1, other, textBatch(t, other, []any{"4", "3"})))
	finish(t, next)
	if got, want := read(t, dir), "a,b\r\n1,2\r\n3,4\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A part can be finished, then synced and recorded, and reopened by the next claim.
func TestCSVSyncAfterFinish(t *testing.T) {
	s := openCSV(t, t.TempDir(), "", nil)
	cols := textColumns("a")
	p := fill(t, s, 0, cols, textBatch(t, cols, []any{"1"}))
	if _, err := p.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	raw, err := p.Save(context.Background())
	if err != nil || string(raw) != `{"length":3,"tally":[{"filled":1}]}` {
		t.Errorf("%s, %v", raw, err)
	}
}

// Every kind has the text that columnar gives it, whatever the loop's shortcuts; instants are in the job's zone, across
// changes of its offset.
func TestCSVKinds(t *testing.T) {
	for _, options := range []string{`{}`, `{"delimiter": ":"}`, `{"delimiter": "¦"}`} {
		dir := t.TempDir()
		s := openCSV(t, dir, "Europe/Berlin", json.RawMessage(options))
		spread := spreadBatch(t)
		settle(t, s, fill(t, s, 0, spread.columns, spread.batch))
		var o struct{ Delimiter string }
		if err := json.Unmarshal([]byte(options), &o); err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(strings.NewReader(read(t, dir)))
		if o.Delimiter != "" {
			r.Comma = []rune(o.Delimiter)[0]
		}
		got, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		want := expected(t, spread.batch, "Europe/Berlin")
		if len(got) != len(want)+1 {
			t.Fatalf("%d lines for %d rows", len(got), len(want))
		}
		for i := range want {
			if !slices.Equal(got[i+1], want[i]) {
				t.Fatalf("%s row %d:\ngot  %q\nwant %q", options, i, got[i+1], want[i])
			}
		}
	}
}

// Moments beside one that is none, which has made texts of them, are in the job's zone like all others, whatever else
// is asked for.
func TestCSVOddValueAmongMoments(t *testing.T) {
	cols := []columnar.Column{{Name: "at", Kind: columnar.Instant}, {Name: "note", Kind: columnar.Text}}
	for options, want := range map[string]string{
		`{}`:                                  "at,note\r\n2024-02-29 13:45:06.25+05:30,2024-02-29 08:15:06+00:00\r\ninfinity,x\r\n9999-12-31 23:59:59.9999999+05:30,y\r\n,z\r\n",
		`{"quoting": "all"}`:                  "\"at\",\"note\"\r\n\"2024-02-29 13:45:06.25+05:30\",\"2024-02-29 08:15:06+00:00\"\r\n\"infinity\",\"x\"\r\n\"9999-12-31 23:59:59.9999999+05:30\",\"y\"\r\n,\"z\"\r\n",
		`{"columns": {"note": {"order": 1}}}`: "note,at\r\n2024-02-29 08:15:06+00:00,2024-02-29 13:45:06.25+05:30\r\nx,infinity\r\ny,9999-12-31 23:59:59.9999999+05:30\r\nz,\r\n",
	} {
		dir := t.TempDir()
		s := openCSV(t, dir, "Asia/Kolkata", json.RawMessage(options))
		b := columnar.NewBuilder(cols)
		at, note := b.Column(0), b.Column(1)
		row := func(text string) {
			note.String(text)
			b.EndRow()
		}
		at.Moment(1_709_194_506_250_000, 0)
		row("2024-02-29 08:15:06+00:00") // a text stays what it is
		at.Retype(columnar.Mixed)
		at.Mixed(columnar.ClassStray, []byte("infinity"))
		row("x")
		at.Moment(253_402_280_999_999_999, 900)
		row("y")
		at.Null()
		row("z")
		settle(t, s, fill(t, s, 0, cols, decodeBatch(t, b)))
		if got := read(t, dir); got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", options, got, want)
		}
	}
}

// A thousand connections, committed one by one and together, make one exact file, and the recorded state stays small.
func TestCSVThousandConnections(t *testing.T) {
	const branches, rows = 1000, 10
	dir := t.TempDir()
	s := newCSV(t, dir, "", nil, branches)
	claim(t, s, nil)
	cols := textColumns("branch", "row")
	var want strings.Builder
	want.WriteString("branch,row\r\n")
	var ready []pipeline.Part
	var state json.RawMessage
	for c := range branches {
		var data [][]any
		for r := range rows {
			data = append(data, []any{fmt.Sprint(c), fmt.Sprint(r)})
			fmt.Fprintf(&want, "%d,%d\r\n", c, r)
		}
		ready = append(ready, fill(t, s, c, cols, textBatch(t, cols, data...)))
		if c < 20 || c%70 == 0 || c == branches-1 {
			state = settle(t, s, ready...)
			ready = ready[:0:0]
		}
	}
	finish(t, s)
	if got := read(t, dir); got != want.String() {
		t.Error("the file differs")
	}
	if len(state) > 1024 {
		t.Errorf("the state has %d bytes", len(state))
	}
	clean := newCSV(t, dir, "", nil, branches)
	cleanUp(t, clean, false)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

// Everything that is wrong is said at once, at its key.
func TestCSVOptions(t *testing.T) {
	kind := sinks.Kinds()["csv"]
	for options, keys := range map[string]string{
		``: "", `{}`: "", `{"delimiter":";"}`: "", `{"delimiter":"\t","includeHeaders":false}`: "", `{"delimiter":"§"}`: "",
		`{"nullText":"NULL","bom":true,"formulaGuard":true,"connectionColumn":"branch","quoting":"nonNumeric","lineEnd":"lf"}`: "",
		`{"connectionColumn":true,"columns":{"a":{"rename":"A","hide":false,"order":2},"b":{"order":1}}}`:                      "",
		`{"delimiter":""}`:                              "delimiter",
		`{"delimiter":",,"}`:                            "delimiter",
		`{"delimiter":"\""}`:                            "delimiter",
		`{"delimiter":"\n"}`:                            "delimiter",
		`{"nullText":"a,b"}`:                            "nullText",
		`{"nullText":"a;b","delimiter":";"}`:            "nullText",
		`{"nullText":"a,b","delimiter":";"}`:            "",
		`{"nullText":"\"","delimiter":""}`:              "delimiter nullText",
		`{"connectionColumn":" "}`:                      "connectionColumn",
		`{"columns":{"a":{"order":1},"b":{"order":1}}}`: "columns.b.order",
		`{"columns":{"a":{"order":1,"rename":""}}}`:     "columns.a.rename",
	} {
		d := &pipeline.Destination{ID: "csv", FilePath: "x.csv", Options: json.RawMessage(options)}
		if got := strings.Join(keysOf(kind.Check(d)), " "); got != keys {
			t.Errorf("%s: mistakes at %q, want %q", options, got, keys)
		}
	}
	if got := keysOf(kind.Check(&pipeline.Destination{Mode: "add"})); !slices.Equal(got, []string{"filePath", "mode"}) {
		t.Errorf("mistakes at %q", got)
	}
}

// keysOf are the keys that an error names.
func keysOf(err error) []string {
	var keyed interface{ Key() string }
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var keys []string
		for _, e := range many.Unwrap() {
			keys = append(keys, keysOf(e)...)
		}
		return keys
	}
	if errors.As(err, &keyed) {
		return []string{keyed.Key()}
	}
	return nil
}

// A file takes one query's rows: several need a choice, and those of the others leave no trace.
func TestCSVTakesOneQuery(t *testing.T) {
	dir, two := t.TempDir(), 1
	m := &pipeline.Manifest{Connections: []pipeline.ManifestConnection{{ID: "c", Queries: make([]pipeline.ManifestQuery, 2)}}}
	d := &pipeline.ManifestDestination{ID: "csv", Path: filepath.Join(dir, "sales.csv")}
	kind := sinks.Kinds()["csv"]
	if _, err := kind.New(pipeline.SinkSpec{Manifest: m, Destination: d}); !pipeline.IsPermanent(err) {
		t.Errorf("without a choice: %v", err)
	}
	d.Query = &two
	s, err := kind.New(pipeline.SinkSpec{Manifest: m, Destination: d})
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s, nil)
	cols := textColumns("second")
	o := pipeline.NewOpening(make([]pipeline.Query, 2), [][]columnar.Column{textColumns("first", "x"), cols})
	p, err := s.Open(context.Background(), pipeline.PartID{Attempt: 1}, &o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for q, b := range []*columnar.Batch{textBatch(t, textColumns("first", "x"), []any{"1", "2"}), textBatch(t, cols, []any{"3"})} {
		c, err := p.Encode(q, 0, b)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Append(context.Background(), q, c); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, s, p)
	finish(t, s)
	if got, want := read(t, dir), "second\r\n3\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A part that was shortened behind our back never gets into the file.
func TestCSVShortPart(t *testing.T) {
	dir := t.TempDir()
	s := openCSV(t, dir, "", nil)
	cols := textColumns("a")
	p := fill(t, s, 0, cols, textBatch(t, cols, []any{"12345"}))
	if _, err := p.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, ".fanmill", "sales.csv", "*", "0-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(context.Background(), []pipeline.Part{p}, 1, nil); !pipeline.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// lines reads a file back as any program does that follows the RFC.
func lines(t tester, text string, comma rune) [][]string {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma = comma
	var all [][]string
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
}
