package sinks_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// union gives the run the schema that connections with these columns make.
func union(all ...[]columnar.Column) func(*pipeline.Manifest, *pipeline.ManifestDestination) {
	return func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
		var known []pipeline.Described
		for _, cols := range all {
			known = append(known, pipeline.Described{Columns: opening(cols).Queries[0].Columns})
		}
		m.Schemas = []pipeline.Schema{pipeline.Union(known)}
	}
}

// Columns of one name are never paired by their place with those of a connection that has the name another number of
// times; columns that are called alike because they are renamed are told apart by the database's names.
func TestCSVTwinsAreNotPairedByPlace(t *testing.T) {
	for _, c := range []struct {
		options string
		cols    [][]columnar.Column
		rows    [][]any
		want    string
		note    string // of the last one
	}{
		{`{}`, [][]columnar.Column{textColumns("id", "amount", "amount"), textColumns("id", "amount")}, [][]any{{"1", "net", "gross"}, {"2", "other"}},
			"id,amount,amount,amount\r\n1,net,gross,\r\n2,,,other\r\n", "in the header amount stands 3 times"},
		{`{}`, [][]columnar.Column{textColumns("amount"), textColumns("amount", "id", "amount")}, [][]any{{"other"}, {"net", "2", "gross"}},
			"amount,amount,id,amount\r\nother,,,\r\n,net,2,gross\r\n", "amount stands 2 times here, and not as often elsewhere: which is which cannot be told"},
		{`{"columns":{"net":{"rename":"Amount"},"gross":{"rename":"Amount"}}}`, [][]columnar.Column{textColumns("id", "net", "gross"), textColumns("gross", "id")},
			[][]any{{"1", "n", "g"}, {"G", "2"}}, "id,Amount,Amount\r\n1,n,g\r\n2,,G\r\n", "in the header Amount stands 2 times"},
		{`{"columns":{"x":{"rename":"id"}}}`, [][]columnar.Column{textColumns("id", "x"), textColumns("x")}, [][]any{{"1", "a"}, {"b"}}, "id,id\r\n1,a\r\n,b\r\n", "in the header id stands 2 times"},
		{`{"connectionColumn":"id"}`, [][]columnar.Column{textColumns("id"), textColumns("ID")}, [][]any{{"1"}, {"2"}}, "id,id\r\nPune,1\r\nDelhi,2\r\n", "in the header id stands 2 times"},
		{`{}`, [][]columnar.Column{textColumns("Id", "ID"), textColumns("id")}, [][]any{{"1", "2"}, {"3"}}, "Id,ID,id\r\n1,2,\r\n,,3\r\n", "in the header Id, ID and id differ by case alone"},
		{`{}`, [][]columnar.Column{textColumns("qty"), textColumns("qty\u00a0")}, [][]any{{"1"}, {"2"}}, "qty,qty\u00a0\r\n1,\r\n,2\r\n", `"qty\u00a0" and "qty" look alike and are not the same`},
		// Options are for all columns of a name.
		{`{"columns":{"a":{"rename":"A!","order":1}}}`, [][]columnar.Column{textColumns("id", "a", "a")}, [][]any{{"1", "x", "y"}}, "A!,A!,id\r\nx,y,1\r\n", "in the header A! stands 2 times"},
		{`{"columns":{"a":{"hide":true}}}`, [][]columnar.Column{textColumns("id", "a", "a"), textColumns("a", "id")}, [][]any{{"1", "x", "y"}, {"z", "2"}}, "id\r\n1\r\n2\r\n", ""},
	} {
		dir := t.TempDir()
		s := csvWith(t, dir, c.options, union(c.cols...))
		var notes []string
		for i, cols := range c.cols {
			p := fill(t, s, i, cols, textBatch(t, cols, c.rows[i]))
			settle(t, s, p)
			notes = notesOf(p)
		}
		finish(t, s)
		if got := read(t, dir); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.options, got, c.want)
		}
		if c.note != "" && !slices.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, want %s", c.options, notes, c.note)
		}
	}
}

// rejected is why a connection is turned away; "" if it is not.
func rejected(t *testing.T, s pipeline.Sink, connection int, cols []columnar.Column) string {
	t.Helper()
	o := opening(cols)
	_, err := s.Open(context.Background(), pipeline.PartID{Connection: connection, Attempt: 2}, &o, nil, nil)
	var turned *pipeline.RejectError
	if errors.As(err, &turned) {
		return turned.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

// Where no schema is known the first connection's columns are the header. Renamed twins keep to the columns that they
// were made of, in a second attempt, after a cut and in the next process, too.
func TestCSVTwinsWithoutSchema(t *testing.T) {
	const options = `{"columns":{"net":{"rename":"Amount"},"gross":{"rename":"Amount"}}}`
	cols, turned := textColumns("net", "gross"), textColumns("gross", "net")
	dir := t.TempDir()
	s, p := acrossCut(t, dir, options, 0, cols, textBatch(t, cols, []any{"n", "g"}))
	settle(t, s, fill(t, s, 1, turned, textBatch(t, turned, []any{"G", "N"})), p)
	if why := rejected(t, s, 2, textColumns("gross")); !strings.Contains(why, "missing Amount, Amount; extra Amount; Amount stands more than once") {
		t.Errorf("it says %q", why)
	}
	if why := rejected(t, s, 2, textColumns("net", "net")); !strings.Contains(why, "cannot be told") {
		t.Errorf("it says %q", why)
	}
	finish(t, s)
	if got, want := read(t, dir), "Amount,Amount\r\nN,G\r\nn,g\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	dir = t.TempDir()
	s = csvWith(t, dir, options)
	state := settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"n", "g"})))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := newCSVWith(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s, state)
	settle(t, s, fill(t, s, 1, turned, textBatch(t, turned, []any{"G", "N"})))
	finish(t, s)
	if got, want := read(t, dir), "Amount,Amount\r\nn,g\r\nN,G\r\n"; got != want {
		t.Errorf("in the next process: got %q, want %q", got, want)
	}
}

// Rows are appended under twins only where the file and the query have them alike: a query's own, in their order. Of
// those that were renamed, or that come from connections which have a name differently often, the file does not tell
// which is which.
func TestCSVAppendToTwins(t *testing.T) {
	twins, one, renamed := textColumns("id", "amount", "amount"), textColumns("id", "amount"), `{"columns":{"net":{"rename":"amount"},"gross":{"rename":"amount"}}}`
	for _, c := range []struct {
		there, options string
		change         func(*pipeline.Manifest, *pipeline.ManifestDestination)
		cols           []columnar.Column
		claim, open    string // why not
	}{
		{"id,amount,amount\r\n", `{}`, nil, twins, "", ""},
		{"id,amount,amount\r\n", `{}`, union(twins), twins, "", ""},
		{"id,amount\r\n", `{}`, nil, twins, "", "missing amount; extra amount, amount; amount stands more than once"},
		{"id,amount,amount\r\n", `{}`, nil, one, "", "missing amount, amount; extra amount; amount stands more than once"},
		{"id,amount,amount\r\n", renamed, nil, textColumns("id", "net", "gross"), "", "amount stands more than once"},
		{"id,amount,amount\r\n", renamed, union(textColumns("id", "net", "gross")), nil, "amount stands more than once in its header, for different columns: which is which cannot be told", ""},
		{"id,amount,amount,amount\r\n", `{}`, union(twins, one), nil, "amount stands more than once in its header, for different columns", ""},
		{"id,amount\u00a0\r\n", `{}`, union(one), nil, `only the file has "amount\u00a0"; only this run has "amount"`, ""},
	} {
		dir := t.TempDir()
		write(t, dir, c.there)
		change := []func(*pipeline.Manifest, *pipeline.ManifestDestination){appends}
		if c.change != nil {
			change = append(change, c.change)
		}
		s, err := newCSVWith(dir, c.options, change...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, nil, nil); c.claim != "" {
			if err == nil || !strings.Contains(err.Error(), c.claim) {
				t.Errorf("%q %s: %v, want %s", c.there, c.options, err, c.claim)
			}
		} else if err != nil {
			t.Errorf("%q %s: %v", c.there, c.options, err)
		} else if why := rejected(t, s, 0, c.cols); c.open == "" && why != "" || !strings.Contains(why, c.open) {
			t.Errorf("%q %s: %q, want %q", c.there, c.options, why, c.open)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file per connection has its connection's own columns, twins and all.
func TestCSVTwinsInFilesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	s := csvWith(t, dir, `{}`, func(m *pipeline.Manifest, d *pipeline.ManifestDestination) {
		for _, c := range m.Connections {
			d.Files = append(d.Files, filepath.Join(dir, c.ID+".csv"))
		}
	})
	for i, cols := range [][]columnar.Column{textColumns("a", "a"), textColumns("a")} {
		p := fill(t, s, i, cols, textBatch(t, cols, []any{"1", "2"}[:len(cols)]))
		settle(t, s, p)
		if notes := notesOf(p); (len(notes) == 1 && notes[0] == "in the header a stands 2 times") != (i == 0) {
			t.Errorf("notes of connection %d are %q", i, notes)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"pune.csv": "a,a\r\n1,2\r\n", "delhi.csv": "a\r\n1\r\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// Connections of one name, or of names that look alike, are named where the file has nothing else of them.
func TestCSVNamesakes(t *testing.T) {
	cols := textColumns("a")
	for options, want := range map[string][]string{
		`{"connectionColumn":true}`: {"Pune is the name of delhi, too: the file does not tell them apart", `connection =goa is called "Pune ", and this one "Pune"`, "connection agra is called PUNE, and this one Pune"},
		`{}`:                        nil,
	} {
		s := csvWith(t, t.TempDir(), options, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
			m.Connections[1].Name, m.Connections[2].Name, m.Connections[3].Name = "Pune", "Pune ", "PUNE"
		})
		notes := notesOf(fill(t, s, 0, cols))
		slices.Sort(notes)
		slices.Sort(want)
		if !slices.Equal(notes, want) {
			t.Errorf("%s: notes %q, want %q", options, notes, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// In a workbook the columns of a sheet, and connections of one name, are named as well; such a connection with the
// sheet that it has.
func TestExcelTwins(t *testing.T) {
	w := newExcelWorld(t, `{"columns":{"b":{"rename":"A"},"a ":{"width":9}}}`, "Pune", "Delhi", "Pune", "pune")
	w.cols = textColumns("a", "A", "b", "a")
	w.claim()
	notes := notesOf(fill(t, w.sink, 2, w.cols))
	for _, want := range []string{
		`the options name columns that it does not return: "a "`,
		`"a " and "a" look alike and are not the same`,
		"in the header a stands 2 times", "in the header A stands 2 times", "in the header a and A differ by case alone",
		"Pune is the name of id of Pune, too: this one's rows are in Pune_2",
		"connection id of pune is called pune, and this one Pune",
	} {
		if !slices.Contains(notes, want) {
			t.Errorf("notes %q, want %s", notes, want)
		}
	}
	if notes := notesOf(fill(t, w.sink, 1, textColumns("a", "b"))); len(notes) != 3 || notes[2] != "in the header a and A differ by case alone" {
		t.Errorf("notes %q", notes)
	}
}
