package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// csvWith is a CSV destination with options, in a folder of its own unless d has a path, claimed for a fresh start.
func csvWith(tb tester, dir, options string, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) pipeline.Sink {
	tb.Helper()
	s, err := newCSVWith(dir, options, change...)
	if err != nil {
		tb.Fatal(err)
	}
	claim(tb, s, nil)
	return s
}

func newCSVWith(dir, options string, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) (pipeline.Sink, error) {
	return newLines("csv", dir, options, change...)
}

// newLines makes the sink of a file of lines.
func newLines(kind, dir, options string, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) (pipeline.Sink, error) {
	m := &pipeline.Manifest{Run: "run1", JobID: "job"}
	for _, name := range []string{"Pune", "Delhi", "=Goa", "Agra"} {
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: strings.ToLower(name), Name: name, Queries: make([]pipeline.ManifestQuery, 1)})
	}
	d := &pipeline.ManifestDestination{ID: kind, Type: kind, Path: filepath.Join(dir, "sales."+kind), Options: json.RawMessage(options)}
	for _, f := range change {
		f(m, d)
	}
	return sinks.Kinds()[kind].New(pipeline.SinkSpec{Manifest: m, StoreID: "store", Destination: d})
}

// schema gives the run a schema of these columns.
func schema(cols []columnar.Column) func(*pipeline.Manifest, *pipeline.ManifestDestination) {
	return func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
		m.Schemas = []pipeline.Schema{{Columns: opening(cols).Queries[0].Columns}}
	}
}

// acrossCut writes a batch of a connection, makes that durable as a cut does, and goes on in the next claim.
func acrossCut(tb tester, dir, options string, connection int, cols []columnar.Column, first *columnar.Batch) (pipeline.Sink, pipeline.Part) {
	tb.Helper()
	s, err := newCSVWith(dir, options)
	if err != nil {
		tb.Fatal(err)
	}
	state := claim(tb, s, nil)
	raw, err := fill(tb, s, connection, cols, first).Save(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	cut := pipeline.PartState{PartID: pipeline.PartID{Connection: connection, Attempt: 1}, State: raw, Open: opening(cols)}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	if s, err = newCSVWith(dir, options); err != nil {
		tb.Fatal(err)
	}
	claim(tb, s, state, cut)
	p, err := s.Open(context.Background(), cut.PartID, &cut.Open, &cut, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return s, p
}

func notesOf(p pipeline.Part) []string { return sinks.SummaryOf(p).Notes }

// Each option alone, byte for byte.
func TestCSVOptionBytes(t *testing.T) {
	cols := append(textColumns("id", "remark"), columnar.Column{Name: "amount", Kind: columnar.Int}, columnar.Column{Name: "paid", Kind: columnar.Bool},
		columnar.Column{Name: "size", Kind: columnar.Numeric})
	b := columnar.NewBuilder(cols)
	add := func(id, remark any, amount int64, size string) {
		for i, v := range []any{id, remark} {
			if v == nil {
				b.Column(i).Null()
			} else {
				b.Column(i).String(v.(string))
			}
		}
		b.Column(2).Long(amount)
		b.Column(3).Bool(amount > 0)
		if isNumber(size) {
			b.Column(4).Mixed(columnar.ClassNumber, []byte(size))
		} else {
			b.Column(4).Mixed(columnar.ClassStray, []byte(size))
		}
		b.EndRow()
	}
	b.Column(4).Retype(columnar.Mixed)
	add("1", nil, 5, "1e5")
	add("", "NULL", -7, "n/a")
	add("=1", "-2", 0, "-3")
	batch := decodeBatch(t, b)
	for options, want := range map[string]string{
		`{}`:                                  "id,remark,amount,paid,size\r\n1,,5,true,1e5\r\n\"\",NULL,-7,false,n/a\r\n=1,-2,0,false,-3\r\n",
		`{"lineEnd":"lf"}`:                    "id,remark,amount,paid,size\n1,,5,true,1e5\n\"\",NULL,-7,false,n/a\n=1,-2,0,false,-3\n",
		`{"bom":true}`:                        "\ufeffid,remark,amount,paid,size\r\n1,,5,true,1e5\r\n\"\",NULL,-7,false,n/a\r\n=1,-2,0,false,-3\r\n",
		`{"bom":true,"includeHeaders":false}`: "\ufeff1,,5,true,1e5\r\n\"\",NULL,-7,false,n/a\r\n=1,-2,0,false,-3\r\n",
		`{"nullText":"NULL"}`:                 "id,remark,amount,paid,size\r\n1,NULL,5,true,1e5\r\n\"\",\"NULL\",-7,false,n/a\r\n=1,-2,0,false,-3\r\n",
		`{"nullText":"false"}`:                "id,remark,amount,paid,size\r\n1,false,5,true,1e5\r\n\"\",NULL,-7,\"false\",n/a\r\n=1,-2,0,\"false\",-3\r\n",
		`{"nullText":"0"}`:                    "id,remark,amount,paid,size\r\n1,0,5,true,1e5\r\n\"\",NULL,-7,false,n/a\r\n=1,-2,\"0\",false,-3\r\n",
		`{"formulaGuard":true}`:               "id,remark,amount,paid,size\r\n1,,5,true,1e5\r\n\"\",NULL,-7,false,n/a\r\n'=1,'-2,0,false,-3\r\n",
		`{"quoting":"all"}`:                   "\"id\",\"remark\",\"amount\",\"paid\",\"size\"\r\n\"1\",,\"5\",\"true\",\"1e5\"\r\n\"\",\"NULL\",\"-7\",\"false\",\"n/a\"\r\n\"=1\",\"-2\",\"0\",\"false\",\"-3\"\r\n",
		`{"quoting":"nonNumeric"}`:            "\"id\",\"remark\",\"amount\",\"paid\",\"size\"\r\n\"1\",,5,\"true\",1e5\r\n\"\",\"NULL\",-7,\"false\",\"n/a\"\r\n\"=1\",\"-2\",0,\"false\",-3\r\n",
		`{"connectionColumn":true}`:           "_connection,id,remark,amount,paid,size\r\nPune,1,,5,true,1e5\r\nPune,\"\",NULL,-7,false,n/a\r\nPune,=1,-2,0,false,-3\r\n",
		`{"connectionColumn":"branch"}`:       "branch,id,remark,amount,paid,size\r\nPune,1,,5,true,1e5\r\nPune,\"\",NULL,-7,false,n/a\r\nPune,=1,-2,0,false,-3\r\n",
		`{"columns":{"ID":{"rename":"No, id"},"paid":{"hide":true},"size":{"hide":true},"amount":{"order":1},"remark":{"hide":true}}}`: "amount,\"No, id\"\r\n5,1\r\n-7,\"\"\r\n0,=1\r\n",
	} {
		dir := t.TempDir()
		s := csvWith(t, dir, options)
		settle(t, s, fill(t, s, 0, cols, batch))
		finish(t, s)
		if got := read(t, dir); got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", options, got, want)
		}
	}
}

// Guarded texts are counted by column, also across a cut; a connection's name and a header are guarded as texts are,
// numbers are not, whatever they are kept as.
func TestCSVFormulaGuardIsCounted(t *testing.T) {
	dir, options := t.TempDir(), `{"formulaGuard":true,"connectionColumn":true,"lineEnd":"lf"}`
	cols := textColumns("@id", "remark")
	s, p := acrossCut(t, dir, options, 2, cols, textBatch(t, cols, []any{"+1", "a"}, []any{"2", "\tb"}))
	add(t, p, textBatch(t, cols, []any{"-3,0", "\r"}))
	settle(t, s, p)
	finish(t, s)
	want := "_connection,'@id,remark\n'=Goa,'+1,a\n'=Goa,2,'\tb\n'=Goa,\"'-3,0\",\"'\r\"\n"
	if got := read(t, dir); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	notes := []string{"_connection: the name got a ' in front, so that no program takes it for a formula", "@id: 2 texts got a ' in front, so that no program takes them for formulas", "remark: 2 texts got a ' in front, so that no program takes them for formulas"}
	if got := notesOf(p); !slices.Equal(got, notes) {
		t.Errorf("notes %q", got)
	}
}

// The schema is the header from the start. A connection that lacks a column has NULL there, and says so; one with a
// column of its own is turned away, unless nobody wants to see that.
func TestCSVSchema(t *testing.T) {
	dir := t.TempDir()
	all := textColumns("id", "qty", "discount", "secret")
	s := csvWith(t, dir, `{"nullText":"-","columns":{"secret":{"hide":true},"note":{"hide":true},"amonut":{"rename":"x"}}}`, schema(all))
	cols := []columnar.Column{{Name: "qty", Kind: columnar.Int}, {Name: "id", Kind: columnar.Text}, {Name: "note", Kind: columnar.Text}}
	b := columnar.NewBuilder(cols)
	for i := range 20 {
		b.Column(0).Long(int64(i))
		b.Column(1).String("a")
		b.Column(2).String("unseen")
		b.EndRow()
	}
	p := fill(t, s, 1, cols, decodeBatch(t, b))
	o := opening(textColumns("id", "qty", "discount", "extra"))
	var turned *pipeline.RejectError
	if _, err := s.Open(context.Background(), pipeline.PartID{Connection: 2, Attempt: 1}, &o, nil, nil); !errors.As(err, &turned) || turned.Reason != "columns differ from the header: extra extra" {
		t.Errorf("a column of its own: %v", err)
	}
	settle(t, s, p)
	finish(t, s)
	want := "id,qty,discount\r\n"
	for i := range 20 {
		want += fmt.Sprintf("a,%d,-\r\n", i)
	}
	if got := read(t, dir); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	notes := []string{"lacks discount: NULL there", "qty is int here and text elsewhere; its texts are written as they are", `has no column "amonut", for which the job has options`}
	if got := notesOf(p); !slices.Equal(got, notes) {
		t.Errorf("notes %q", got)
	}
}

// Nothing but the connection's name can be asked for, and nothing at all not.
func TestCSVAllHidden(t *testing.T) {
	cols := textColumns("a")
	dir := t.TempDir()
	s := csvWith(t, dir, `{"connectionColumn":true,"columns":{"a":{"hide":true}}}`)
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1"}, []any{nil})))
	finish(t, s)
	if got, want := read(t, dir), "_connection\r\nPune\r\nPune\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	o := opening(cols)
	var turned *pipeline.RejectError
	if _, err := csvWith(t, t.TempDir(), `{"columns":{"a":{"hide":true}}}`).Open(context.Background(), pipeline.PartID{Attempt: 1}, &o, nil, nil); !errors.As(err, &turned) {
		t.Errorf("got %v", err)
	}
}

// A cut between two batches brings no hidden column back.
func TestCSVHiddenStayHiddenAfterCut(t *testing.T) {
	for options, want := range map[string]string{
		`{"connectionColumn":true,"columns":{"a":{"hide":true},"b":{"hide":true}}}`: "_connection\r\nPune\r\nPune\r\n",
		`{"columns":{"a":{"hide":true}}}`:                                           "b\r\nb1\r\nb2\r\n",
	} {
		cols := textColumns("a", "b")
		dir := t.TempDir()
		s, p := acrossCut(t, dir, options, 0, cols, textBatch(t, cols, []any{"a1", "b1"}))
		add(t, p, textBatch(t, cols, []any{"a2", "b2"}))
		settle(t, s, p)
		finish(t, s)
		if got := read(t, dir); got != want {
			t.Errorf("%s: got %q, want %q", options, got, want)
		}
	}
}

// The ' in front of a formula may itself be the delimiter: the field is quoted then.
func TestCSVGuardThatIsTheDelimiter(t *testing.T) {
	dir, cols := t.TempDir(), textColumns("a", "b")
	s := csvWith(t, dir, `{"delimiter":"'","formulaGuard":true}`)
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"=1+1", "x"})))
	finish(t, s)
	if got, want := read(t, dir), "a'b\r\n\"'=1+1\"'x\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// field is a field as it stands in a file.
type field struct {
	text   string
	quoted bool
}

// fields reads a file by the letter: whether a field is quoted counts.
func fields(text, delimiter, lineEnd string) (lines [][]field) {
	line := []field{}
	for text != "" {
		var f field
		if text[0] == '"' {
			f.quoted = true
			for text = text[1:]; ; {
				i := strings.IndexByte(text, '"')
				f.text += text[:i]
				if text = text[i+1:]; text == "" || text[0] != '"' {
					break
				}
				f.text, text = f.text+`"`, text[1:]
			}
		} else {
			end := len(text)
			for _, stop := range []string{delimiter, lineEnd} {
				if i := strings.Index(text, stop); i >= 0 {
					end = min(end, i)
				}
			}
			f.text, text = text[:end], text[end:]
		}
		line = append(line, f)
		if rest, ok := strings.CutPrefix(text, lineEnd); ok {
			lines, line, text = append(lines, line), nil, rest
		} else {
			text = strings.TrimPrefix(text, delimiter)
			if strings.HasPrefix(text, lineEnd) { // an empty field at the end
				lines, line, text = append(lines, append(line, field{})), nil, text[len(lineEnd):]
			}
		}
	}
	return lines
}

// csvCase is a file that options and values were drawn for.
type csvCase struct {
	options map[string]any
	rows    [][]any // text, or nil for NULL
	text    string
}

func drawCSV(t *rapid.T) csvCase {
	c := csvCase{options: map[string]any{
		"delimiter": rapid.SampledFrom([]string{",", ";", "\t", "|", "1", "e"}).Draw(t, "delimiter"),
		"quoting":   rapid.SampledFrom([]string{"minimal", "nonNumeric", "all"}).Draw(t, "quoting"),
		"lineEnd":   rapid.SampledFrom([]string{"crlf", "lf"}).Draw(t, "lineEnd"), "includeHeaders": false,
		"formulaGuard": rapid.Bool().Draw(t, "guard"),
		"nullText":     rapid.SampledFrom([]string{"", "-", "NULL", `\N`, "0", "'=", "x"}).Draw(t, "nullText"),
	}}
	text := rapid.StringOfN(rapid.SampledFrom([]rune("=+-@\tx1'0e, ;\"\n\\N.🙂")), 0, 5, -1)
	c.rows = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any {
		if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			return nil
		}
		return rapid.OneOf(text, rapid.SampledFrom([]string{"-", "NULL", `\N`, "0", "'=", "=", "x"})).Draw(t, "text")
	}), 3, 3), 1, 8).Draw(t, "rows")
	dir, err := os.MkdirTemp("", "csv")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	options, err := json.Marshal(c.options)
	if err != nil {
		t.Fatal(err)
	}
	s := csvWith(t, dir, string(options))
	cols := textColumns("a", "b")
	cols = append(cols, columnar.Column{Name: "n", Kind: columnar.Numeric})
	b := columnar.NewBuilder(cols)
	b.Column(2).Retype(columnar.Mixed)
	for _, row := range c.rows {
		for i, v := range row {
			text, filled := v.(string)
			switch {
			case !filled:
				b.Column(i).Null()
			case i < 2:
				b.Column(i).String(text)
			case isNumber(text):
				b.Column(i).Mixed(columnar.ClassNumber, []byte(text))
			default:
				b.Column(i).Mixed(columnar.ClassStray, []byte(text))
			}
		}
		b.EndRow()
	}
	settle(t, s, fill(t, s, 0, cols, decodeBatch(t, b)))
	finish(t, s)
	c.text = read(t, dir)
	return c
}

// isNumber reports whether a text is a number as databases write them.
func isNumber(text string) bool {
	return regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?(e[0-9]+)?$`).MatchString(text)
}

// want is what a reader finds in a field of text or NULL.
func (c csvCase) want(v any, number bool) string {
	if v == nil {
		return c.options["nullText"].(string)
	}
	s := v.(string)
	if c.options["formulaGuard"].(bool) && s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) && !number {
		return "'" + s
	}
	return s
}

// Whatever the options: every value reads back, with a ' in front where one is asked for, and NULL alone looks like
// NULL.
func TestCSVOptionsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCSV(t)
		lineEnd := map[string]string{"crlf": "\r\n", "lf": "\n"}[c.options["lineEnd"].(string)]
		lines := fields(c.text, c.options["delimiter"].(string), lineEnd)
		if len(lines) != len(c.rows) {
			t.Fatalf("%d lines for %d rows: %q", len(lines), len(c.rows), c.text)
		}
		for i, row := range c.rows {
			for k, v := range row {
				got := lines[i][k]
				if want := c.want(v, k == 2 && isNumber(fmt.Sprint(v))); got.text != want {
					t.Fatalf("row %d, field %d: %q, want %q, in %q", i, k, got.text, want, c.text)
				}
				if isNull := !got.quoted && got.text == c.options["nullText"]; isNull != (v == nil) {
					t.Fatalf("row %d, field %d: %v is %+v, in %q", i, k, v, got, c.text)
				}
				if c.options["quoting"] == "all" && got.quoted != (v != nil) {
					t.Fatalf("row %d, field %d: %v is %+v", i, k, v, got)
				}
			}
		}
	})
}

// Python's reader agrees.
func TestCSVReadsBackInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	type job struct{ Text, Delimiter string }
	var cases []csvCase
	var jobs []job
	rapid.Check(t, func(t *rapid.T) {
		if len(cases) < 100 {
			c := drawCSV(t)
			cases, jobs = append(cases, c), append(jobs, job{c.text, c.options["delimiter"].(string)})
		}
	})
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", `import csv, io, json, sys
json.dump([list(csv.reader(io.StringIO(j["Text"], newline=""), delimiter=j["Delimiter"], strict=True)) for j in json.load(sys.stdin)], sys.stdout)`)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got [][][]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		lineEnd := map[string]string{"crlf": "\r\n", "lf": "\n"}[c.options["lineEnd"].(string)]
		var want [][]string
		for _, line := range fields(c.text, c.options["delimiter"].(string), lineEnd) {
			var row []string
			for _, f := range line {
				row = append(row, f.text)
			}
			want = append(want, row)
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Fatalf("%q:\npython %q\nhere   %q", c.text, got[i], want)
		}
	}
}
