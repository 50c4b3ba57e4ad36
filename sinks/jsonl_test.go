package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// jsonlWith is a JSON Lines destination with options, claimed for a fresh start.
func jsonlWith(tb tester, dir, options string, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) pipeline.Sink {
	tb.Helper()
	s, err := newLines("jsonl", dir, options, change...)
	if err != nil {
		tb.Fatal(err)
	}
	claim(tb, s, nil)
	return s
}

func readJSONL(tb tester, dir string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "sales.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// member is one key of an object with its value: a string, a json.Number, a bool or nil.
type member struct {
	key   string
	value any
}

// objects reads every line as one object, keys in their order. A line ends where any reader might end it.
func objects(tb tester, text string) (all [][]member) {
	tb.Helper()
	ends := func(r rune) bool { return r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029 }
	if text != "" && !strings.HasSuffix(text, "\n") {
		tb.Fatal(fmt.Sprintf("the last line has no end: %q", text))
	}
	for _, line := range strings.FieldsFunc(text, ends) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		t, err := d.Token()
		if err != nil || t != json.Delim('{') {
			tb.Fatal(fmt.Sprintf("%q is no object: %v", line, err))
		}
		var object []member
		for d.More() {
			key, err := d.Token()
			if err != nil {
				tb.Fatal(fmt.Sprintf("%q: %v", line, err))
			}
			value, err := d.Token()
			if err != nil {
				tb.Fatal(fmt.Sprintf("%q: %v", line, err))
			}
			object = append(object, member{key.(string), value})
		}
		if _, err := d.Token(); err != nil {
			tb.Fatal(fmt.Sprintf("%q: %v", line, err))
		}
		if _, err := d.Token(); err != io.EOF {
			tb.Fatal(fmt.Sprintf("%q: more follows the object", line))
		}
		all = append(all, object)
	}
	return all
}

// Values of every kind, from all their corners, are read back with all their digits.
func TestJSONLValues(t *testing.T) {
	sp := spreadBatch(t)
	const zone = "Asia/Kolkata"
	for _, numbers := range []string{"number", "string"} {
		dir := t.TempDir()
		s := jsonlWith(t, dir, `{"numbers":"`+numbers+`"}`, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) { m.TimeZone = zone })
		p := fill(t, s, 0, sp.columns, sp.batch)
		notFinite := map[string]int64{}
		settle(t, s, p)
		finish(t, s)
		got := objects(t, readJSONL(t, dir))
		want := expected(t, sp.batch, zone)
		if len(got) != len(want) {
			t.Fatalf("%d lines for %d rows", len(got), len(want))
		}
		for i, row := range want {
			for c, text := range row {
				v, kind := &sp.batch.Cols[c], sp.columns[c].Kind
				have := got[i][c]
				var value any = text
				switch kind {
				case columnar.Bool:
					value = text == "true"
				case columnar.Float, columnar.Float32:
					value = json.Number(text)
				case columnar.Int, columnar.Uint, columnar.Decimal, columnar.Numeric:
					if numbers == "number" {
						value = json.Number(text)
					}
				case columnar.Timestamp, columnar.Instant:
					value = strings.Replace(text, " ", "T", 1)
				}
				if v.Null(i) {
					value = nil
				} else if kind == columnar.Float32 || kind == columnar.Float {
					if strings.HasSuffix(text, "NaN") || strings.HasSuffix(text, "y") {
						notFinite[have.key]++
						value = nil
					}
				}
				if have.key != sp.columns[c].Name || have.value != value {
					t.Fatalf("row %d: %s is %#v, want %s %#v", i, have.key, have.value, sp.columns[c].Name, value)
				}
			}
		}
		for _, l := range sinks.SummaryOf(p).Losses {
			if notFinite[l.Column] != l.Cells || !strings.Contains(l.What, "null") {
				t.Errorf("loss %+v, want %d", l, notFinite[l.Column])
			}
			delete(notFinite, l.Column)
		}
		if len(notFinite) > 0 {
			t.Errorf("not counted: %v", notFinite)
		}
	}
}

// Whatever bytes a text has, its row is one line for every reader, and valid texts come back as they were.
func TestJSONLTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "jsonl")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		odd := rapid.SampledFrom([]string{"", "a", `"`, `\`, "\n", "\r\n", "\x00", "\x1f", "\x7f", "\u0085", "\u2028", "\u2029", "\ufffd", "\ufeff", "é", "中", "🙂", "\xff", "\xed\xa0\x80", "\xc2", "\xe2\x80", `{"a": [1]}`})
		texts := rapid.SliceOfN(odd, 1, 8)
		name := strings.ToValidUTF8(strings.Join(texts.Draw(t, "name"), ""), "?") + "x"
		var rows [][]any
		var want []string
		invalid := int64(0)
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			text := strings.Join(texts.Draw(t, "text"), "")
			rows, want = append(rows, []any{text}), append(want, string([]rune(text)))
			if !utf8.ValidString(text) {
				invalid++
			}
		}
		cols := textColumns(name)
		s := jsonlWith(t, dir, `{}`)
		p := fill(t, s, 0, cols, textBatch(t, cols, rows...))
		settle(t, s, p)
		finish(t, s)
		got := objects(t, readJSONL(t, dir))
		if len(got) != len(want) {
			t.Fatalf("%d lines for %d rows", len(got), len(want))
		}
		for i, text := range want {
			if got[i][0].key != name || got[i][0].value != text {
				t.Fatalf("%q: %q, want %q: %q", got[i][0].key, got[i][0].value, name, text)
			}
		}
		lost := int64(0)
		for _, l := range sinks.SummaryOf(p).Losses {
			lost += l.Cells
		}
		if lost != invalid {
			t.Fatalf("%d losses, want %d", lost, invalid)
		}
	})
}

// A column is one kind of value; what is none of it is a string, counted and named, also across a claim. A number
// never becomes one by its neighbours.
func TestJSONLStrays(t *testing.T) {
	dir := t.TempDir()
	cols := []columnar.Column{{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "paid", Kind: columnar.Bool}, {Name: "rate", Kind: columnar.Float},
		{Name: "at", Kind: columnar.Instant}}
	s, err := newLines("jsonl", dir, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	state := claim(t, s, nil)
	o := opening(cols)
	id := pipeline.PartID{Attempt: 1}
	p, err := s.Open(context.Background(), id, &o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(first int64, odd bool) {
		t.Helper()
		b := columnar.NewBuilder(cols)
		b.Column(0).Decimal(decimal128.FromI64(150))
		b.Column(1).Bool(true)
		b.Column(2).Float(0.1)
		b.Column(3).Moment(1_709_214_306_500_000, 0)
		b.EndRow()
		if odd {
			b.Column(0).Retype(columnar.Mixed)
			b.Column(0).Mixed(columnar.ClassStray, []byte("42"))
			b.Column(1).Retype(columnar.Mixed)
			b.Column(1).Mixed(columnar.ClassStray, []byte("2"))
			b.Column(2).Float(math.Inf(-1))
			b.Column(3).Retype(columnar.Mixed)
			b.Column(3).Mixed(columnar.ClassStray, []byte("infinity"))
			b.EndRow()
		}
		c, err := p.Encode(0, first, decodeBatch(t, b))
		if err == nil {
			err = p.Append(context.Background(), 0, c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	batch(0, false)
	batch(1, true)
	raw, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = newLines("jsonl", dir, `{}`); err != nil {
		t.Fatal(err)
	}
	cut := pipeline.PartState{PartID: id, State: raw, Open: o}
	claim(t, s, state, cut)
	if p, err = s.Open(context.Background(), id, &o, &cut, nil); err != nil {
		t.Fatal(err)
	}
	batch(3, true)
	settle(t, s, p)
	finish(t, s)
	plain := `{"amount":1.50,"paid":true,"rate":0.1,"at":"2024-02-29T13:45:06.5+00:00"}` + "\n"
	odd := `{"amount":"42","paid":"2","rate":null,"at":"infinity"}` + "\n"
	if got, want := readJSONL(t, dir), plain+plain+odd+plain+odd; got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	sum := sinks.SummaryOf(p)
	want := []string{"amount: 2 of 5 values are not numbers; the first in row 3", "paid: 2 of 5 values are not booleans; the first in row 3", "at: 2 of 5 values are not dates; the first in row 3"}
	if !slices.Equal(sum.Notes, want) {
		t.Errorf("notes are %q, want %q", sum.Notes, want)
	}
	if len(sum.Losses) != 1 || sum.Losses[0].Column != "rate" || sum.Losses[0].Cells != 2 {
		t.Errorf("losses are %+v", sum.Losses)
	}
}

// What no database declares may be numbers in one connection and texts in another: the later one says so, also after
// a claim, and so does the one that differs from what others declare.
func TestJSONLUndeclared(t *testing.T) {
	cols := []columnar.Column{{Name: "x", Kind: columnar.Unknown}, {Name: "n", Kind: columnar.Unknown}, {Name: "none", Kind: columnar.Unknown}, {Name: "late", Kind: columnar.Unknown}}
	declared := slices.Clone(cols)
	declared[1].Kind = columnar.Int
	change := schema(declared)
	batch := func(kind columnar.Kind, late bool) *columnar.Batch {
		b := columnar.NewBuilder(cols)
		for i := range 2 {
			if b.Column(i).Retype(kind); kind == columnar.Text {
				b.Column(i).String("00042")
			} else {
				b.Column(i).Long(42)
			}
		}
		if b.Column(2).Null(); late {
			b.Column(3).Retype(columnar.Text)
			b.Column(3).String("b")
		} else {
			b.Column(3).Null()
		}
		b.EndRow()
		return decodeBatch(t, b)
	}
	dir := t.TempDir()
	s := jsonlWith(t, dir, `{}`, change)
	numbers := fill(t, s, 0, cols, batch(columnar.Int, false), batch(columnar.Int, true))
	state := settle(t, s, numbers)
	if notes := sinks.SummaryOf(numbers).Notes; len(notes) > 0 {
		t.Errorf("the first connection has the notes %q", notes)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := newLines("jsonl", dir, `{}`, change)
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s, state)
	texts := fill(t, s, 1, cols, batch(columnar.Text, true))
	settle(t, s, texts)
	finish(t, s)
	const why = ": its values are texts here and numbers elsewhere, and the database does not say what it is: a cast in the query does"
	if notes := sinks.SummaryOf(texts).Notes; !slices.Equal(notes, []string{"x" + why, "n" + why}) {
		t.Errorf("the notes are %q", notes)
	}
	want := `{"x":42,"n":42,"none":null,"late":null}` + "\n" + `{"x":42,"n":42,"none":null,"late":"b"}` + "\n" + `{"x":"00042","n":"00042","none":null,"late":"b"}` + "\n"
	if got := readJSONL(t, dir); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// Keys: names that differ, an order, renamed and hidden columns, the connection's; NULL for what a connection lacks;
// texts where others have texts.
func TestJSONLKeys(t *testing.T) {
	cols := []columnar.Column{{Name: "a", Kind: columnar.Int}, {Name: "a", Kind: columnar.Bool}, {Name: "b\"", Kind: columnar.Int}}
	row := func() *columnar.Batch {
		b := columnar.NewBuilder(cols)
		b.Column(0).Long(-7)
		b.Column(1).Bool(false)
		b.Column(2).Long(math.MinInt64)
		b.EndRow()
		return decodeBatch(t, b)
	}
	asTexts := func(m *pipeline.Manifest, d *pipeline.ManifestDestination) {
		schema([]columnar.Column{{Name: "a", Kind: columnar.Int}, {Name: "a", Kind: columnar.Bool}, {Name: "b\"", Kind: columnar.Text}, {Name: "late", Kind: columnar.Int}})(m, d)
		m.Schemas[0].Columns[0].Times, m.Schemas[0].Columns[1].Times = 2, 2
	}
	for _, c := range []struct {
		options, want string
		change        []func(*pipeline.Manifest, *pipeline.ManifestDestination)
	}{
		{options: `{}`, want: `{"a":-7,"a_2":false,"b\"":-9223372036854775808}`},
		{options: `{"numbers":"string"}`, want: `{"a":"-7","a_2":false,"b\"":"-9223372036854775808"}`},
		{options: `{"connectionColumn":true}`, want: `{"_connection":"Pune","a":-7,"a_2":false,"b\"":-9223372036854775808}`},
		{options: `{"connectionColumn":"a"}`, want: `{"a":"Pune","a_2":-7,"a_3":false,"b\"":-9223372036854775808}`},
		{options: `{"columns":{"b\"":{"rename":"B","order":1}}}`, want: `{"B":-9223372036854775808,"a":-7,"a_2":false}`},
		{options: `{"columns":{"a":{"hide":true}}}`, want: `{"b\"":-9223372036854775808}`},
		{options: `{}`, want: `{"a":-7,"a_2":false,"b\"":"-9223372036854775808","late":null}`, change: []func(*pipeline.Manifest, *pipeline.ManifestDestination){asTexts}},
	} {
		dir := t.TempDir()
		s := jsonlWith(t, dir, c.options, c.change...)
		settle(t, s, fill(t, s, 0, cols, row()))
		finish(t, s)
		if got := readJSONL(t, dir); got != c.want+"\n" {
			t.Errorf("%s: got %s, want %s", c.options, got, c.want)
		}
	}
}

// Keys that a reader may take for each other are named.
func TestJSONLTwins(t *testing.T) {
	dir := t.TempDir()
	s := jsonlWith(t, dir, `{}`)
	p := fill(t, s, 0, textColumns("caf\u00e9", "cafe\u0301", "a\u00a0b", "a b", "id", "id"))
	settle(t, s, p)
	finish(t, s)
	want := []string{`a second column is called "id": its key is "id_2"`, `of the keys "caf\u00e9" and "cafe\u0301" look alike and are not the same`,
		`of the keys "a\u00a0b" and "a b" look alike and are not the same`}
	if notes := sinks.SummaryOf(p).Notes; !slices.Equal(notes, want) {
		t.Errorf("the notes are %q", notes)
	}
}

// Numbers are as JSON has them, whatever the digits of the database.
func TestJSONLNumbers(t *testing.T) {
	cols := []columnar.Column{{Name: "n", Kind: columnar.Numeric}}
	texts := []string{"0", "-0", "007", "-007.50", "+1", ".5", "-.5", "5.", "123456789012345678901234567890.5", "0.000"}
	want := []string{"0", "-0", "7", "-7.50", "1", "0.5", "-0.5", "5", "123456789012345678901234567890.5", "0.000"}
	b := columnar.NewBuilder(cols)
	for _, text := range texts {
		b.Column(0).String(text)
		b.EndRow()
	}
	dir := t.TempDir()
	s := jsonlWith(t, dir, `{}`)
	settle(t, s, fill(t, s, 0, cols, decodeBatch(t, b)))
	finish(t, s)
	for i, o := range objects(t, readJSONL(t, dir)) {
		if o[0].value != json.Number(want[i]) {
			t.Errorf("%s is %v, want %s", texts[i], o[0].value, want[i])
		}
	}
}

// Rows follow those of an earlier run, also after a line without an end; other keys, or another kind of file, are
// refused.
func TestJSONLAppend(t *testing.T) {
	cols := textColumns("id", "qty")
	put := func(dir, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "sales.jsonl"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	put(dir, `{"id":"1","qty":"a"}`)
	s := jsonlWith(t, dir, `{}`, appends)
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"2", "b"})))
	settle(t, s, fill(t, s, 1, cols, textBatch(t, cols, []any{"3", "c"})))
	finish(t, s)
	if got, want := readJSONL(t, dir), "{\"id\":\"1\",\"qty\":\"a\"}\n{\"id\":\"2\",\"qty\":\"b\"}\n{\"id\":\"3\",\"qty\":\"c\"}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for text, says := range map[string]string{
		"id,qty\r\n1,a\r\n":              "no JSON object",
		"[1]\n":                          "no JSON object",
		"{}\n":                           "no JSON object",
		"{\"id\":\"1\",\"other\":1}\n":   "other",
		"{\"qty\":\"1\",\"id\":\"a\"}\n": "qty, id",
	} {
		dir := t.TempDir()
		put(dir, text)
		s, err := newLines("jsonl", dir, `{}`, appends, schema(cols))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, nil, nil); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", text, err, says)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := readJSONL(t, dir); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestJSONLOptions(t *testing.T) {
	kind := sinks.Kinds()["jsonl"]
	for options, keys := range map[string]string{
		``: "", `{"numbers":"string","connectionColumn":"branch","columns":{"a":{"rename":"A","hide":false,"order":2}}}`: "",
		`{"connectionColumn":" "}`:                      "connectionColumn",
		`{"columns":{"a":{"rename":" "}}}`:              "columns.a.rename",
		`{"columns":{"a":{"order":1},"b":{"order":1}}}`: "columns.b.order",
	} {
		d := &pipeline.Destination{ID: "x", FilePath: "x.jsonl", Options: json.RawMessage(options)}
		if got := strings.Join(keysOf(kind.Check(d)), " "); got != keys {
			t.Errorf("%s: mistakes at %q, want %q", options, got, keys)
		}
	}
}

func FuzzJSONLText(f *testing.F) {
	for _, seed := range []string{"", "a\u2028b", "\xed\xa0\x80", "\x00\"\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		out := sinks.AppendJSONText(nil, s)
		var got string
		if err := json.Unmarshal(out, &got); err != nil || got != string(bytes.Runes(s)) && got != string([]rune(string(s))) {
			t.Fatalf("%q became %s, which is %q: %v", s, out, got, err)
		}
	})
}
