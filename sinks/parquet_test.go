package sinks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// sales are a number and a text; the second kind of branch has the number as a decimal, and a note.
var (
	parquetColumns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "item", Kind: columnar.Text}}
	parquetWide    = []columnar.Column{{Name: "item", Kind: columnar.Text}, {Name: "ID", Kind: columnar.Decimal, Precision: 10, Scale: 2}, {Name: "note", Kind: columnar.Text}}
)

func parquetBatch(tb tester, first, rows int) *columnar.Batch {
	tb.Helper()
	b := columnar.NewBuilder(parquetColumns)
	for i := range rows {
		b.Column(0).Long(int64(first + i))
		b.Column(1).String(fmt.Sprint("item ", first+i))
		b.EndRow()
	}
	return decodeBatch(tb, b)
}

func wideBatch(tb tester) *columnar.Batch {
	tb.Helper()
	b := columnar.NewBuilder(parquetWide)
	b.Column(0).String("rice")
	b.Column(1).Decimal(decimal128.FromI64(725))
	b.Column(2).Null()
	b.EndRow()
	return decodeBatch(tb, b)
}

// described gives the run the schema of both kinds of branches.
func described(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
	m.Schemas = []pipeline.Schema{pipeline.Union([]pipeline.Described{
		{Connection: "pune", Columns: opening(parquetColumns).Queries[0].Columns}, {Connection: "delhi", Columns: opening(parquetWide).Queries[0].Columns}})}
}

// Every committed state is a valid file of whole connections, also after a claim that knows nothing but the record; the
// columns are those of all connections, with the widest types; the finished file says what is in it.
func TestParquetGrowsByCommits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sales.parquet")
	s := parquetWith(t, dir, `{"connectionColumn": "branch"}`, described)
	state := settle(t, s, fillSpooled(t, s, 0, parquetColumns, parquetBatch(t, 1, 2), parquetBatch(t, 3, 1)))
	want := []string{"Pune|1.00|item 1|null", "Pune|2.00|item 2|null", "Pune|3.00|item 3|null"}
	for commit := 1; ; commit++ {
		got := readParquet(t, path)
		if lines := texts(got); !slices.Equal(got.header, []string{"branch", "id", "item", "note"}) || !slices.Equal(lines, want) {
			t.Fatalf("commit %d: %v %v, want %v", commit, got.header, lines, want)
		}
		if commit == 3 {
			break
		}
		if commit == 2 { // a crash
			s = reclaimed(t, dir, `{"connectionColumn": "branch"}`, state, described)
			state = settle(t, s, fillSpooled(t, s, 3, parquetColumns), fillSpooled(t, s, 2, parquetColumns, parquetBatch(t, 9, 1)))
			want = append(want, "=Goa|9.00|item 9|null")
		} else {
			state = settle(t, s, fillSpooled(t, s, 1, parquetWide, wideBatch(t)))
			want = append(want, "Delhi|7.25|rice|null")
		}
	}
	if got := readParquet(t, path); got.meta["fanmill.run"] != "run1" || got.meta["fanmill.totals"] != "" || got.groups != 3 {
		t.Errorf("before the end: %v, %d row groups", got.meta, got.groups)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	finishReport(t, s, pipeline.ReportConnection{ID: "pune", Name: "Pune", State: pipeline.ReportSettled, Rows: []int64{3}},
		pipeline.ReportConnection{ID: "x", Name: "X", State: pipeline.ReportFailed, Rows: []int64{5}})
	got := readParquet(t, path)
	if !slices.Equal(texts(got), want) || got.groups != 1 {
		t.Errorf("finished: %v in %d row groups", texts(got), got.groups)
	}
	if want := `{"rows":3,"connections":[{"id":"pune","name":"Pune","state":"settled","rows":3},{"id":"x","name":"X","state":"failed","rows":0}]}`; got.meta["fanmill.totals"] != want {
		t.Errorf("totals %s, want %s", got.meta["fanmill.totals"], want)
	}
	if after, err := os.Stat(path); err != nil || after.Size() >= before.Size() {
		t.Errorf("%d bytes at the end, %d before: %v", after.Size(), before.Size(), err)
	}
}

// texts are the rows, decimals with their point.
func texts(f parquetFile) (lines []string) {
	for _, row := range f.rows {
		row = slices.Clone(row)
		for i, typ := range f.types {
			if strings.HasPrefix(typ, "DECIMAL") && row[i] != "null" {
				var unscaled int64
				if _, err := fmt.Sscan(row[i], &unscaled); err == nil {
					row[i] = fmt.Sprintf("%d.%02d", unscaled/100, unscaled%100)
				} else { // big-endian bytes
					for _, b := range []byte(row[i]) {
						unscaled = unscaled<<8 | int64(b)
					}
					row[i] = fmt.Sprintf("%d.%02d", unscaled/100, unscaled%100)
				}
			}
		}
		lines = append(lines, strings.Join(row, "|"))
	}
	return lines
}

// Without a schema the first connection fixes the columns, also for later claims. What another one has and they cannot
// hold is NULL and counted, or turns it away; a column that they lack turns it away always.
func TestParquetWithoutSchema(t *testing.T) {
	for _, onLoss := range []string{"count", "fail"} {
		dir := t.TempDir()
		options := `{"onLoss": "` + onLoss + `"}`
		s := parquetWith(t, dir, options)
		state := settle(t, s, fillSpooled(t, s, 0, parquetColumns, parquetBatch(t, 1, 1)))
		s = reclaimed(t, dir, options, state)
		cols := []columnar.Column{{Name: "item", Kind: columnar.Text}, {Name: "id", Kind: columnar.Uint}}
		b := columnar.NewBuilder(cols)
		for i, item := range []string{"oil", "tea"} {
			b.Column(0).String(item)
			b.Column(1).Uint([]uint64{2, math.MaxUint64}[i])
			b.EndRow()
		}
		odd := fillSpooled(t, s, 1, cols, decodeBatch(t, b))
		sum, err := odd.Finish(context.Background())
		if onLoss == "fail" {
			if turned := (*pipeline.RejectError)(nil); !errors.As(err, &turned) || !strings.Contains(err.Error(), `id: a value would be NULL`) || !strings.Contains(err.Error(), "in row 2") {
				t.Errorf("lost in silence: %v", err)
			}
			if err := odd.Discard(); err != nil {
				t.Error(err)
			}
		} else {
			if err != nil || len(sum.Losses) != 1 || sum.Losses[0].Cells != 1 || sum.Losses[0].Column != "id" {
				t.Errorf("%+v, %v", sum, err)
			}
			settle(t, s, odd)
		}
		o := opening(parquetWide)
		if _, err := s.Open(context.Background(), pipeline.PartID{Connection: 2, Attempt: 1}, &o, nil, spooled(nil)); !errors.As(err, new(*pipeline.RejectError)) || !strings.Contains(err.Error(), "note") {
			t.Errorf("a column more: %v", err)
		}
		finishReport(t, s)
		want := []string{"1|item 1", "2|oil", "null|tea"}
		if onLoss == "fail" {
			want = want[:1]
		}
		if got := readParquet(t, filepath.Join(dir, "sales.parquet")); !slices.Equal(got.lines(), want) {
			t.Errorf("%s: %v, want %v", onLoss, got.lines(), want)
		}
	}
}

// No two columns have one name for readers that ignore case, none is without a name, and options are of the database's
// names.
func TestParquetNames(t *testing.T) {
	dir := t.TempDir()
	s := parquetWith(t, dir, `{"connectionColumn": true, "columns": {"key": {"form": "uuid", "order": 1}, "gone": {"hide": true}, "doc": {"form": "json", "rename": "Document"}}}`)
	cols := append(textColumns("id", "ID", "", "key", "gone"), columnar.Column{Name: "doc", Kind: columnar.Unknown})
	texts := textColumns("id", "ID", "", "key", "gone", "doc") // of an unknown type are texts what their values ask for
	p := fillSpooled(t, s, 0, cols, textBatch(t, texts, []any{"a", "b", "c", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "x", `{"a":1}`}))
	sum, err := p.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(sum.Notes, "\n")
	for _, want := range []string{`"ID": it is "ID_2"`, `column 5 has no name: it is called "column_5"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the notes do not say %q:\n%s", want, said)
		}
	}
	settle(t, s, p)
	finishReport(t, s)
	got := readParquet(t, filepath.Join(dir, "sales.parquet"))
	if want := []string{"_connection", "key", "id", "ID_2", "column_5", "Document"}; !slices.Equal(got.header, want) {
		t.Errorf("columns %q, want %q", got.header, want)
	}
	if got.types[1] != "UUID" || got.types[5] != "JSON" || got.types[2] != "STRING" {
		t.Errorf("types %v", got.types)
	}
	if row := got.rows[0]; row[0] != "Pune" || row[1] != "\xa0\xee\xbc\x99\x9c\x0bN\xf8\xbbmk\xb9\xbd8\n\x11" && row[1] != "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" || row[5] != `{"a":1}` {
		t.Errorf("row %q", row)
	}
}

// The files of a dataset have the columns of all connections, one without rows, too. What stands beside them is no data
// for readers: they take what ends in .parquet, or what does not begin with a point.
func TestParquetDataset(t *testing.T) {
	dir := t.TempDir()
	split := func(m *pipeline.Manifest, d *pipeline.ManifestDestination) {
		described(m, d)
		for _, c := range m.Connections {
			d.Files = append(d.Files, filepath.Join(dir, "item="+c.ID, "part-0.parquet"))
		}
	}
	for run := range 2 {
		s := parquetWith(t, dir, `{}`, split, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) { m.Run = fmt.Sprint("run", run) })
		sum := settleSummaries(t, s, fillSpooled(t, s, 0, parquetColumns, parquetBatch(t, run, 2)), fillSpooled(t, s, 1, parquetWide, wideBatch(t)), fillSpooled(t, s, 3, parquetColumns))
		if !strings.Contains(strings.Join(sum[0].Notes, "\n"), "readers make a column item of the folder item=pune") {
			t.Errorf("the notes are %q", sum[0].Notes)
		}
		var all []pipeline.ReportConnection
		for i, id := range []string{"pune", "delhi", "=goa", "agra"} {
			c := pipeline.ReportConnection{ID: id, State: pipeline.ReportSettled}
			if i == 2 {
				c.State = pipeline.ReportFailed
			}
			all = append(all, c)
		}
		finishReport(t, s, all...)
		for i, rows := range map[string]int{"pune": 2, "delhi": 1, "agra": 0} {
			if got := readParquet(t, filepath.Join(dir, "item="+i, "part-0.parquet")); !slices.Equal(got.header, []string{"id", "item", "note"}) || len(got.rows) != rows {
				t.Errorf("%s: %v, %d rows", i, got.header, len(got.rows))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "item=pune", "part-0.parquet"), []byte("edited"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	companions := 0
	for _, name := range filesIn(t, dir) {
		base := filepath.Base(name)
		if base == "part-0.parquet" {
			continue
		}
		if companions++; !strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".parquet") {
			t.Errorf("readers take %s for data", name)
		}
	}
	if companions < 5 { // a report each, and the one that was edited
		t.Errorf("only %v", filesIn(t, dir))
	}
}

// settleSummaries is settle with what the parts have to say.
func settleSummaries(t *testing.T, s pipeline.Sink, parts ...pipeline.Part) (sums []pipeline.Summary) {
	t.Helper()
	for _, p := range parts {
		sum, err := p.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
	}
	if _, err := s.Stage(context.Background(), parts, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Release(context.Background(), nil, &pipeline.Report{State: pipeline.RecordOpen}, false); err != nil {
		t.Fatal(err)
	}
	return sums
}

// What the options cannot mean is refused at its key.
func TestParquetRefuses(t *testing.T) {
	kind := sinks.Kinds()["parquet"]
	for want, d := range map[string]pipeline.Destination{
		"filePath":         {FilePath: "out/sales.csv"},
		"mode":             {FilePath: "out/sales.parquet", Mode: "append"},
		"connectionColumn": {FilePath: "out/Branch={connection}/part-0.parquet", Options: json.RawMessage(`{"connectionColumn": "branch"}`)},
		"columns.a.rename": {FilePath: "out/sales.parquet", Options: json.RawMessage(`{"columns": {"a": {"rename": " "}}}`)},
		"":                 {FilePath: "out/branch={connection}/part-0.PARQUET", Options: json.RawMessage(`{"connectionColumn": "_c"}`)},
	} {
		err := kind.Check(&d)
		var keyed interface{ Key() string }
		if got := errors.As(err, &keyed); got != (want != "") || got && keyed.Key() != want {
			t.Errorf("%+v: %v, want it at %q", d, err, want)
		}
	}
}
