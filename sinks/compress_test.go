package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
	"fanmill/sinks"
)

var endings = []string{".gz", ".zst"}

// deliverLines brings connections in with a claim in the middle of one, and tells what is public after each commit
// and at the end.
func deliverLines(t *testing.T, kind, dir, options, ending string) (path string, saw []string) {
	t.Helper()
	cols := textColumns("ID", "Item")
	path = filepath.Join(dir, "sales."+kind+ending)
	open := func() pipeline.Sink {
		t.Helper()
		s, err := newLines(kind, dir, options, ends(ending))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	look := func(one bool) {
		t.Helper()
		text, err := unpack(path, one)
		if err != nil {
			t.Fatalf("%s, %s%s: after %d commits: %v", options, kind, ending, len(saw), err)
		}
		saw = append(saw, text)
	}
	s := open()
	claim(t, s, nil)
	settle(t, s, fill(t, s, 0, cols)) // no rows
	look(false)
	long := "ID" + strings.Repeat("é", 70_000)
	p := fill(t, s, 1, cols, textBatch(t, cols), textBatch(t, cols, []any{long, "a"}, []any{"ID2", nil}))
	raw, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cut := pipeline.PartState{PartID: pipeline.PartID{Connection: 1, Attempt: 1}, State: raw, Open: opening(cols)}
	add(t, p, textBatch(t, cols, []any{"lost", "lost"}))
	state := sinks.StateOf(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	claim(t, s, state, cut)
	if p, err = s.Open(context.Background(), cut.PartID, &cut.Open, &cut, nil); err != nil {
		t.Fatal(err)
	}
	add(t, p, textBatch(t, cols, []any{"ID3", "c"}))
	settle(t, s, p, fill(t, s, 2, cols, textBatch(t, cols, []any{"ID4", "d"})))
	look(false)
	state = settle(t, s, fill(t, s, 3, cols))
	look(false)
	if len(state) > 2000 {
		t.Errorf("the state has %d bytes", len(state))
	}
	finish(t, s)
	look(true)
	return path, saw
}

// Invariant 1: what is public is a valid file at every commit, of the text that the file has without compression, and
// in the end one member.
func TestCompressedIsThePlainText(t *testing.T) {
	for _, c := range [][2]string{{"csv", `{}`}, {"csv", `{"bom":true}`}, {"csv", `{"includeHeaders":false}`}, {"csv", `{"includeHeaders":false,"bom":true,"quoting":"all"}`},
		{"csv", `{"includeHeaders":false,"connectionColumn":"ID","lineEnd":"lf"}`}, {"jsonl", `{}`}, {"jsonl", `{"connectionColumn":true}`}} {
		_, want := deliverLines(t, c[0], t.TempDir(), c[1], "")
		for _, ending := range []string{".gz", ".zst", ".GZ"} {
			path, got := deliverLines(t, c[0], t.TempDir(), c[1], ending)
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s %s: after %d commits\n%.200q, not\n%.200q", filepath.Base(path), c[1], i+1, got[i], want[i])
				}
			}
		}
	}
}

// The same rows are the same bytes.
func TestCompressedBytesRepeat(t *testing.T) {
	for _, ending := range endings {
		var all [2][]byte
		for i := range all {
			path, _ := deliverLines(t, "csv", t.TempDir(), `{}`, ending)
			all[i], _ = os.ReadFile(path)
		}
		if !bytes.Equal(all[0], all[1]) {
			t.Errorf("%s: %d and %d bytes", ending, len(all[0]), len(all[1]))
		}
	}
}

// A run that commits nothing, and one that commits connections without rows, make a file that can be read.
func TestCompressedWithoutRows(t *testing.T) {
	for _, ending := range endings {
		for _, commits := range []int{0, 1, 3} {
			dir := t.TempDir()
			s := csvWith(t, dir, `{"includeHeaders":false}`, ends(ending))
			for i := range commits {
				settle(t, s, fill(t, s, i, textColumns("a", "b")))
			}
			finish(t, s)
			if text, err := unpack(filepath.Join(dir, "sales.csv"+ending), true); text != "" || err != nil {
				t.Errorf("%s after %d commits: %q, %v", ending, commits, text, err)
			}
		}
	}
}

// A resume adds a connection to a finished file whose private files are gone: it is one member again.
func TestCompressedGrowsAfterItsEnd(t *testing.T) {
	cols := textColumns("id")
	for _, ending := range endings {
		for n := range 4 {
			tidied, dir, mode, before := n&1 != 0, t.TempDir(), "replace", ""
			if n&2 != 0 {
				mode, before = "append", string(packWith(t, ending, "id\r\n0\r\n"))
				if err := os.WriteFile(filepath.Join(dir, "sales.csv"+ending), []byte(before), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			ofMode := func(_ *pipeline.Manifest, d *pipeline.ManifestDestination) { d.Mode = mode }
			s := csvWith(t, dir, `{}`, ends(ending), ofMode)
			settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1"})))
			settle(t, s, fill(t, s, 1, cols, textBatch(t, cols, []any{"2"})))
			ctx := context.Background()
			state, err := s.Stage(ctx, nil, 1, &pipeline.Report{})
			if err == nil {
				_, err = s.Release(ctx, nil, &pipeline.Report{State: pipeline.RecordFinished}, true)
			}
			if err != nil {
				t.Fatal(err)
			}
			if tidied {
				cleanUp(t, s, true)
			} else if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = newCSVWith(dir, `{}`, ends(ending), ofMode); err != nil {
				t.Fatal(err)
			}
			claim(t, s, state.State)
			settle(t, s, fill(t, s, 2, cols, textBatch(t, cols, []any{"3"})))
			finish(t, s)
			data, err := os.ReadFile(filepath.Join(dir, "sales.csv"+ending))
			added, found := bytes.CutPrefix(data, []byte(before))
			if err != nil || !found {
				t.Fatalf("%s, tidied %t: what was there has changed: %v", ending, tidied, err)
			}
			want := "id\r\n1\r\n2\r\n3\r\n"
			if before != "" {
				want = "1\r\n2\r\n3\r\n"
			}
			if text, err := unpackAs(ending, added, true); text != want || err != nil {
				t.Errorf("%s, %s, tidied %t: %q, %v", ending, mode, tidied, text, err)
			}
		}
	}
}

// R8: commits do not make the record grow.
func TestCompressedRecordIsSmall(t *testing.T) {
	cols := textColumns("id")
	const commits = 50
	s := csvWith(t, t.TempDir(), `{}`, ends(".gz"), func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) {
		for i := range commits {
			m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: fmt.Sprint(i), Queries: make([]pipeline.ManifestQuery, 1)})
		}
	})
	first := len(settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1"}))))
	last := 0
	for i := range commits {
		last = len(settle(t, s, fill(t, s, i+1, cols, textBatch(t, cols, []any{"2"}))))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if last > first+300 { // digits of lengths, and what an earlier commit left public
		t.Errorf("%d bytes after one commit, %d after %d", first, last, commits+1)
	}
}

// Members of any texts, of sizes around the limits of blocks, join to one of the whole text, also where the first is
// one of joined ones.
func TestCompressedMembersJoin(t *testing.T) {
	noise := make([]byte, 3<<20)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	rapid.Check(t, func(rt *rapid.T) {
		ending := rapid.SampledFrom(endings).Draw(rt, "ending")
		codec := sinks.Codecs[ending]
		var data, text []byte
		for range rapid.IntRange(0, 4).Draw(rt, "members") {
			size := rapid.SampledFrom([]int{0, 1, 100, 32 << 10, 64 << 10, 65535, 128 << 10, 1 << 20}).Draw(rt, "size") + rapid.IntRange(-1, 1).Draw(rt, "more")
			piece := bytes.Repeat([]byte("row,"), max(size, 0)/4+1)[:max(size, 0)]
			if rapid.Bool().Draw(rt, "noise") {
				piece = noise[:max(size, 0)]
			}
			before := len(data)
			data = codec.Pack(data, piece)
			if got, err := unpackAs(ending, data[before:], true); err != nil || got != string(piece) {
				rt.Fatalf("a member of %d bytes: %d, %v", len(piece), len(got), err)
			}
			text = append(text, piece...)
			if rapid.Bool().Draw(rt, "join") {
				data = joined(rt, codec, data, 0)
			}
		}
		const before = "not a member"
		data = joined(rt, codec, append([]byte(before), data...), len(before))
		if got, err := unpackAs(ending, data, true); err != nil || got != string(text) {
			rt.Fatalf("%d bytes, not %d: %v", len(got), len(text), err)
		}
	})
}

func unpackAs(ending string, data []byte, one bool) (string, error) {
	if ending == ".gz" {
		return unpackGzip(data, one)
	}
	return unpackZstd(data, one)
}

func joined(t tester, codec sinks.Codec, data []byte, from int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := codec.Join(&out, bytes.NewReader(data), int64(from), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Bytes that are not as they were written are never joined.
func TestCompressedDamageIsSeen(t *testing.T) {
	for _, ending := range endings {
		codec := sinks.Codecs[ending]
		data := codec.Pack(codec.Pack(nil, []byte("one,two\r\n")), []byte("three,four\r\n"))
		for _, length := range []int{1, 5, len(data) / 2, len(data) - 1} {
			if err := codec.Join(io.Discard, bytes.NewReader(data[:length]), 0, int64(length)); err == nil {
				t.Errorf("%s: %d of %d bytes were joined", ending, length, len(data))
			}
		}
		for _, at := range []int{0, 3, 16, len(data) - 9} {
			bad := bytes.Clone(data)
			bad[at] ^= 0x41
			if err := codec.Join(io.Discard, bytes.NewReader(bad), 0, int64(len(bad))); err == nil {
				t.Errorf("%s: byte %d was changed, and nobody saw it", ending, at)
			}
		}
	}
}

// The length in a trailer is that of the text modulo 2^32.
func TestGzipLengthWraps(t *testing.T) {
	const text = 1<<32 - 1
	_, length := sinks.GzipSum(5, 7, text)
	if five := uint64(5) * text; length != uint32(five) {
		t.Errorf("%d, want %d", length, uint32(five))
	}
}

// Batches are compressed side by side, each to the same bytes as alone.
func TestCompressedSideBySide(t *testing.T) {
	for _, ending := range endings {
		codec := sinks.Codecs[ending]
		var wg sync.WaitGroup
		for i := range 8 {
			text := []byte(strings.Repeat(fmt.Sprintf("%d,branch\r\n", i), 20_000))
			want := codec.Pack(nil, text)
			wg.Go(func() {
				for range 5 {
					if !bytes.Equal(codec.Pack(nil, text), want) {
						t.Errorf("%s: text %d was packed otherwise", ending, i)
					}
				}
			})
		}
		wg.Wait()
	}
}

// The ending and the option agree, or validate says what to write.
func TestCompressionOption(t *testing.T) {
	for _, c := range []struct{ path, option, key, says string }{
		{"a.csv", ``, "", ""}, {"a.csv", `"none"`, "", ""}, {"a.csv.gz", ``, "", ""}, {"a.csv.GZ", `"gzip"`, "", ""}, {"a.zst", ``, "", ""},
		{"a.Jsonl.Zst", `"zstd"`, "", ""}, {"a.dat", `"zstd"`, "", ""}, {"{jobName}", `"gzip"`, "", ""}, {" a.gz ", `"gzip"`, "", ""},
		{"a.csv", `"gzip"`, "compression", `"filePath": "a.csv.gz"`},
		{"a.jsonl", `"zstd"`, "compression", `"filePath": "a.jsonl.zst"`},
		{"a.csv.gz", `"zstd"`, "compression", `"filePath": "a.csv.zst"`},
		{"a.csv.ZST", `"none"`, "compression", `"filePath": "a.csv"`},
		{"D:/x/a.csv.zip", ``, "filePath", "D:/x/a.csv.gz"},
		{"a.bz2", ``, "filePath", ".gz (gzip) or .zst (zstd)"}, {"a.csv.XZ", `"gzip"`, "filePath", "ends in .XZ"}, {"a.7z", `"none"`, "filePath", "ends in .7z"},
	} {
		for _, kind := range []string{"csv", "jsonl"} {
			options := json.RawMessage(`{}`)
			if c.option != "" {
				options = json.RawMessage(`{"compression":` + c.option + `}`)
			}
			err := sinks.Kinds()[kind].Check(&pipeline.Destination{Type: kind, FilePath: c.path, Options: options})
			keys := strings.Join(keysOf(err), " ")
			if keys != c.key || c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s %q %s: %q, %v", kind, c.path, c.option, keys, err)
			}
		}
	}
}

// What a token brings in decides as what is written does, where no key says it, and never stops a run.
func TestCompressionOfTokens(t *testing.T) {
	cols := textColumns("id")
	for ending, c := range map[string]struct{ option, unpackAs string }{"/a.gz": {`{}`, ".gz"}, "/b.gz": {`{"compression":"none"}`, ""}, "/c.zip": {`{}`, ""}, "/d": {`{"compression":"zstd"}`, ".zst"}} {
		path := filepath.Join(t.TempDir(), ending)
		s := csvWith(t, "", c.option, func(_ *pipeline.Manifest, d *pipeline.ManifestDestination) { d.Path = path })
		settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, []any{"1"})))
		finish(t, s)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := string(data)
		if c.unpackAs != "" {
			got, err = unpackAs(c.unpackAs, data, true)
		}
		if got != "id\r\n1\r\n" || err != nil {
			t.Errorf("%s %s: %q, %v", ending, c.option, got, err)
		}
	}
}

// A batch of many kinds of values comes through as in a plain file.
func TestCompressedKinds(t *testing.T) {
	batch := salesBatch(t, 0, 3000, true)
	var want string
	for _, ending := range []string{"", ".gz", ".zst"} {
		dir := t.TempDir()
		s := csvWith(t, dir, `{}`, ends(ending))
		settle(t, s, fill(t, s, 0, salesColumns, batch, batch))
		finish(t, s)
		got, err := unpack(filepath.Join(dir, "sales.csv"+ending), true)
		if err != nil {
			t.Fatal(err)
		}
		if ending == "" {
			want = got
		} else if got != want {
			t.Errorf("%s: %d bytes of text, want %d", ending, len(got), len(want))
		}
	}
}
