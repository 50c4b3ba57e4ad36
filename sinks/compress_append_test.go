package sinks_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
)

// Runs append to what another program has compressed, in several members: those stay as they are, each run adds one,
// and a header stands once.
func TestCompressedAppend(t *testing.T) {
	cols := textColumns("id", "qty")
	for _, ending := range endings {
		for kind, there := range map[string][2]string{"csv": {"id,qty\r\n1,", "a"}, "jsonl": {`{"id":"1",`, `"qty":"a"}`}} { // unended
			for name, change := range map[string]func(*pipeline.Manifest, *pipeline.ManifestDestination){"schema": schema(cols), "no schema": func(*pipeline.Manifest, *pipeline.ManifestDestination) {}} {
				dir := t.TempDir()
				path := filepath.Join(dir, "sales."+kind+ending)
				before := append(packWith(t, ending, there[0]), packWith(t, ending, there[1])...)
				if err := os.WriteFile(path, before, 0o666); err != nil {
					t.Fatal(err)
				}
				for _, row := range [][]any{{"2", "b"}, {"3", "c"}} {
					s, err := newLines(kind, dir, `{}`, ends(ending), appends, change)
					if err != nil {
						t.Fatal(err)
					}
					state := claim(t, s, nil)
					if err := s.Close(); err != nil { // who has looked is not who appends
						t.Fatal(err)
					}
					if s, err = newLines(kind, dir, `{}`, ends(ending), appends, change); err != nil {
						t.Fatal(err)
					}
					claim(t, s, state)
					settle(t, s, fill(t, s, 0, cols))
					settle(t, s, fill(t, s, 1, cols, textBatch(t, cols, row[:2], row[:2])))
					finish(t, s)
					cleanUp(t, s, false)
					data, err := os.ReadFile(path)
					if err != nil || !bytes.HasPrefix(data, before) {
						t.Fatalf("%s, %s: what was there has changed: %v", path, name, err)
					}
					if _, err := unpackAs(ending, data[len(before):], true); err != nil {
						t.Fatalf("%s, %s: the run has added more than a member: %v", path, name, err)
					}
					before = data
				}
				want := "id,qty\r\n1,a\r\n2,b\r\n2,b\r\n3,c\r\n3,c\r\n"
				if kind == "jsonl" {
					want = ""
					for _, row := range []string{"1a", "2b", "2b", "3c", "3c"} {
						want += `{"id":"` + row[:1] + `","qty":"` + row[1:] + "\"}\n"
					}
				}
				if got, err := unpack(path, false); got != want || err != nil {
					t.Errorf("%s, %s: %v\ngot  %q\nwant %q", path, name, err, got, want)
				}
			}
		}
	}
}

// A file without text is the beginning of one; a run that brings nothing leaves what is there.
func TestCompressedAppendToNothing(t *testing.T) {
	cols := textColumns("ID", "qty")
	for _, ending := range endings {
		for options, want := range map[string]string{`{}`: "\"ID\",qty\r\nID1,a\r\n", `{"includeHeaders":false}`: "\"ID1\",a\r\n", `{"bom":true}`: "\ufeff\"ID\",qty\r\nID1,a\r\n"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "sales.csv"+ending)
			empty := packWith(t, ending, "")
			if err := os.WriteFile(path, empty, 0o666); err != nil {
				t.Fatal(err)
			}
			s := csvWith(t, dir, options, ends(ending), appends)
			finish(t, s)
			cleanUp(t, s, false)
			if got, err := os.ReadFile(path); !bytes.Equal(got, empty) || err != nil {
				t.Errorf("%s %s: a run without connections made it %q, %v", ending, options, got, err)
			}
			s = csvWith(t, dir, options, ends(ending), appends)
			settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"ID1", "a"})))
			finish(t, s)
			if got, err := unpack(path, false); got != want || err != nil {
				t.Errorf("%s %s: %q, want %q: %v", ending, options, got, want, err)
			}
		}
	}
}

// What cannot be read to its end, or is of another kind, is refused with the reason, and stays.
func TestCompressedAppendRefuses(t *testing.T) {
	cols := textColumns("id", "qty")
	text := "id,qty\r\n" + strings.Repeat("1,a\r\n2,bcd\r\n", 1000)
	for _, ending := range endings {
		good := packWith(t, ending, text)
		flipped := slices.Clone(good)
		flipped[len(flipped)-2] ^= 1 // of the checksum, or the length
		for _, c := range []struct {
			name   string
			data   []byte
			ending string
			says   string
		}{
			{"cut", good[:len(good)/2], ending, "it is damaged: it ends in the middle"},
			{"flipped", flipped, ending, "it is damaged"},
			{"garbage behind", append(slices.Clone(good), "1,a\r\n"...), ending, "it is damaged"},
			{"zeros behind", append(slices.Clone(good), make([]byte, 512)...), ending, "it is damaged"},
			{"text", []byte(text), ending, "it is not compressed with"},
			{"one byte", good[:1], ending, "it is not compressed with"},
			{"plain destination", good, "", "it is compressed with"},
			{"the other way", packWith(t, map[string]string{".gz": ".zst", ".zst": ".gz"}[ending], text), ending, "it is not compressed with"},
			{"other columns", packWith(t, ending, "id,item\r\n"), ending, "only the file has item"},
			{"open quote", packWith(t, ending, "id,qty\r\n1,\"a\r\n"), ending, "quote without its counterpart"},
			{"long line", packWith(t, ending, strings.Repeat("x", 3<<20)), ending, "its first line is longer"},
			{"other line ends", packWith(t, ending, "id,qty\n"), ending, `"lineEnd": "lf"`},
		} {
			dir := t.TempDir()
			path := filepath.Join(dir, "sales.csv"+c.ending)
			if err := os.WriteFile(path, c.data, 0o666); err != nil {
				t.Fatal(err)
			}
			s, err := newCSVWith(dir, `{}`, ends(c.ending), appends, schema(cols))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, nil, nil)
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v does not say %q", ending, c.name, err, c.says)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if got, _ := os.ReadFile(path); !bytes.Equal(got, c.data) {
				t.Errorf("%s, %s: the file was changed", ending, c.name)
			}
		}
	}
}
