package sinks_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// Excel takes a file for SYLK by its first two bytes. Whatever the options are, no file begins so, nothing but the
// first field is quoted for it, and what is read back is the same.
func TestCSVIsNotTakenForSYLK(t *testing.T) {
	id, item := textColumns("ID", "Item"), textColumns("Item", "ID")
	for _, c := range []struct {
		options string
		cols    []columnar.Column
		rows    [][]any
		want    string
	}{
		{`{}`, id, [][]any{{"ID1", "a"}}, "\"ID\",Item\r\nID1,a\r\n"},
		{`{}`, textColumns("ID;PWXL", "n"), [][]any{{"1", "a"}}, "\"ID;PWXL\",n\r\n1,a\r\n"},
		{`{"lineEnd":"lf"}`, textColumns("IDENT"), [][]any{{"1"}}, "\"IDENT\"\n1\n"},
		{`{"delimiter":";"}`, textColumns("ID", "PWXL"), [][]any{{"1", "a"}}, "\"ID\";PWXL\r\n1;a\r\n"},
		{`{"delimiter":"\t"}`, id, nil, "\"ID\"\tItem\r\n"},
		{`{"delimiter":"¦"}`, textColumns("ID § no", "Item"), nil, "\"ID § no\"¦Item\r\n"},
		{`{"delimiter":"D"}`, textColumns("I", "x"), [][]any{{"1", "2"}}, "\"I\"Dx\r\n1D2\r\n"},
		{`{"bom":true}`, id, [][]any{{"1", "a"}}, "\ufeff\"ID\",Item\r\n1,a\r\n"},
		{`{"columns":{"no":{"rename":"ID"}}}`, textColumns("no", "Item"), [][]any{{"1", "a"}}, "\"ID\",Item\r\n1,a\r\n"},
		{`{"columns":{"ID":{"order":1}}}`, item, [][]any{{"a", "1"}}, "\"ID\",Item\r\n1,a\r\n"},
		{`{"columns":{"Item":{"hide":true}}}`, item, [][]any{{"a", "1"}}, "\"ID\"\r\n1\r\n"},
		{`{"connectionColumn":"ID of branch"}`, item, [][]any{{"a", "1"}}, "\"ID of branch\",Item,ID\r\nPune,a,1\r\n"},
		{`{"quoting":"all"}`, id, [][]any{{"1", "a"}}, "\"ID\",\"Item\"\r\n\"1\",\"a\"\r\n"},
		{`{"formulaGuard":true,"nullText":"x"}`, id, [][]any{{"1", nil}}, "\"ID\",Item\r\n1,x\r\n"},
		// Other letters, another case, another place: as ever.
		{`{}`, textColumns("Id", "ID"), [][]any{{"ID", "ID"}}, "Id,ID\r\nID,ID\r\n"},
		{`{}`, textColumns(" ID", "IDE"), nil, " ID,IDE\r\n"},
		{`{"connectionColumn":true}`, id, [][]any{{"1", "a"}}, "_connection,ID,Item\r\nPune,1,a\r\n"},
		// Without a header it is the first row's, and only that.
		{`{"includeHeaders":false}`, id, [][]any{{"ID1", "a"}, {"ID2", "b"}}, "\"ID1\",a\r\nID2,b\r\n"},
		{`{"includeHeaders":false}`, id, [][]any{{"ID,1", "a"}, {"ID2", "b"}}, "\"ID,1\",a\r\nID2,b\r\n"},
		{`{"includeHeaders":false}`, id, [][]any{{nil, "ID"}, {"ID2", "b"}}, ",ID\r\nID2,b\r\n"},
		{`{"includeHeaders":false,"delimiter":";","bom":true}`, id, [][]any{{"ID1", "a"}}, "\ufeff\"ID1\";a\r\n"},
		{`{"includeHeaders":false,"lineEnd":"lf"}`, textColumns("ID"), [][]any{{"ID"}, {"ID"}}, "\"ID\"\nID\n"},
		{`{"includeHeaders":false,"columns":{"ID":{"hide":true}}}`, id, [][]any{{"1", "IDEA"}}, "\"IDEA\"\r\n"},
		{`{"includeHeaders":false,"delimiter":"I"}`, id, [][]any{{nil, "D"}}, "ID\r\n"}, // quoted, NULL would be a text
		{`{"includeHeaders":false}`, textColumns("n"), nil, ""},
	} {
		dir := t.TempDir()
		s := csvWith(t, dir, c.options)
		settle(t, s, fill(t, s, 0, c.cols, textBatch(t, c.cols, c.rows...)))
		finish(t, s)
		if got := read(t, dir); got != c.want {
			t.Errorf("%s of %s:\ngot  %q\nwant %q", c.options, c.cols[0].Name, got, c.want)
		}
	}
}

// A branch called ID... stands first in every line of its own.
func TestCSVBranchCalledID(t *testing.T) {
	cols := textColumns("a")
	dir := t.TempDir()
	s := csvWith(t, dir, `{"connectionColumn":true,"includeHeaders":false}`, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
		m.Connections[0].Name, m.Connections[1].Name = "IDUKKI", "IDAR"
	})
	settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1"}, []any{"2"})), fill(t, s, 1, cols, textBatch(t, cols, []any{"3"})))
	finish(t, s)
	if got, want := read(t, dir), "\"IDUKKI\",1\r\nIDUKKI,2\r\nIDAR,3\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// The file's first row is that of the first connection that has one, in whatever commit it comes, after a cut, too. A
// field longer than a buffer is quoted at both ends.
func TestCSVFirstRowIsNotTakenForSYLK(t *testing.T) {
	cols := textColumns("ID", "Item")
	for _, options := range []string{`{"includeHeaders":false}`, `{"includeHeaders":false,"bom":true}`} {
		dir := t.TempDir()
		s := csvWith(t, dir, options)
		settle(t, s, fill(t, s, 0, cols))
		settle(t, s, fill(t, s, 1, cols), fill(t, s, 2, cols, textBatch(t, cols, []any{"ID1", "a"})), fill(t, s, 3, cols, textBatch(t, cols, []any{"ID2", "b"})))
		finish(t, s)
		if got := strings.TrimPrefix(read(t, dir), "\ufeff"); got != "\"ID1\",a\r\nID2,b\r\n" {
			t.Errorf("%s, after connections without rows: %q", options, got)
		}

		dir = t.TempDir()
		long := "ID" + strings.Repeat("é", 1<<20)
		s, p := acrossCut(t, dir, options, 0, cols, textBatch(t, cols, []any{long, "a"}))
		add(t, p, textBatch(t, cols, []any{"ID2", "b"}))
		settle(t, s, p)
		settle(t, s, fill(t, s, 1, cols, textBatch(t, cols, []any{"ID3", "c"}))) // into the other private file, which takes both
		finish(t, s)
		if got := strings.TrimPrefix(read(t, dir), "\ufeff"); got != "\""+long+"\",a\r\nID2,b\r\nID3,c\r\n" {
			t.Errorf("%s, after a cut: %d bytes, %.10q ... %q", options, len(got), got, got[max(0, len(got)-40):])
		}
	}
}

// Rows are appended under either spelling of the header, and what is there stays as it is.
func TestCSVAppendToSYLK(t *testing.T) {
	cols := textColumns("ID", "Item")
	for options, there := range map[string]string{
		`{}`:                       "ID,Item\r\n1,a\r\n",
		`{"lineEnd":"lf"}`:         "\"ID\",Item\n1,a\n",
		`{"bom":true}`:             "\ufeffID,Item\r\n1,a\r\n",
		`{"includeHeaders":false}`: "ID1,a\r\n",
	} {
		for name, change := range map[string]func(*pipeline.Manifest, *pipeline.ManifestDestination){"schema": schema(cols), "no schema": func(*pipeline.Manifest, *pipeline.ManifestDestination) {}} {
			dir := t.TempDir()
			write(t, dir, there)
			s := csvWith(t, dir, options, appends, change)
			settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"ID2", "b"})))
			finish(t, s)
			if got, want := strings.ReplaceAll(read(t, dir), "\r", ""), strings.ReplaceAll(there, "\r", "")+"ID2,b\n"; got != want {
				t.Errorf("%s, %s:\ngot  %q\nwant %q", options, name, got, want)
			}
		}
	}
}

// A file per connection begins with its own first row.
func TestCSVFilesAreNotTakenForSYLK(t *testing.T) {
	cols := textColumns("ID", "Item")
	for options, want := range map[string]string{`{}`: "\"ID\",Item\r\nID%d,a\r\n", `{"includeHeaders":false}`: "\"ID%d\",a\r\n"} {
		dir := t.TempDir()
		s := csvWith(t, dir, options, func(m *pipeline.Manifest, d *pipeline.ManifestDestination) {
			for _, c := range m.Connections {
				d.Files = append(d.Files, filepath.Join(dir, c.ID+".csv"))
			}
		})
		for i := range 2 {
			settle(t, s, fill(t, s, i, cols, textBatch(t, cols, []any{fmt.Sprint("ID", i), "a"})))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"pune.csv", "delhi.csv"} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(got) != fmt.Sprintf(want, i) {
				t.Errorf("%s, %s: %q, %v", options, name, got, err)
			}
		}
	}
}

// nullText stands without quotes, and must therefore not begin a file.
func TestCSVNullTextOfSYLK(t *testing.T) {
	for options, bad := range map[string]bool{
		`{"nullText":"IDK","includeHeaders":false}`:                         true,
		`{"nullText":"IDK","includeHeaders":false,"connectionColumn":true}`: false,
		`{"nullText":"IDK"}`:                        false,
		`{"nullText":"idk","includeHeaders":false}`: false,
	} {
		err := sinks.Kinds()["csv"].Check(&pipeline.Destination{Type: "csv", FilePath: "a.csv", Options: json.RawMessage(options)})
		if (err != nil) != bad || bad && (!strings.Contains(err.Error(), "SYLK") || keysOf(err)[0] != "nullText") {
			t.Errorf("%s: %v", options, err)
		}
	}
}
