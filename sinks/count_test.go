package sinks_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks"
)

// Every kind that writes files can count their rows.
func TestFilesAreCounted(t *testing.T) {
	for name, kind := range sinks.Kinds() {
		if (kind.Traits.Target == pipeline.TargetFile) != (kind.Count != nil) {
			t.Errorf("%s has Count: %v", name, kind.Count != nil)
		}
	}
}

// trickyNames are those that a counter may take for each other, or for a delimiter or a line end.
var trickyNames = []string{"A", "AB", "A,", `A"`, `"`, "", "A\r\nB", "\n", "connection", "_connection", "'A", `A"",`, "支店", ",", "{", `\u0041`}

// counted is what a kind counts in a text, by name.
func counted(t *testing.T, kind, layout string, text []byte) (map[string]int64, pipeline.Counts) {
	t.Helper()
	r := &pipeline.Report{Format: &pipeline.ReportFormat{Type: kind, Layout: json.RawMessage(layout)}}
	for _, name := range trickyNames {
		r.Connections = append(r.Connections, pipeline.ReportConnection{ID: name, Name: name, State: pipeline.ReportSettled, Rows: []int64{0}})
	}
	c, err := sinks.Kinds()[kind].Count(context.Background(), pipeline.CountedFile{R: bytes.NewReader(text), Size: int64(len(text)), Report: r})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int64{}
	for _, s := range c.Shares {
		by[s.Of] = s.Has
	}
	return by, c
}

// Rows are counted by the name that other readers find in them, wherever the pieces of the text that are read end.
func TestLinesAreCountedByName(t *testing.T) {
	const most = 60
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		want := map[string]int64{}
		var text, objects bytes.Buffer
		w := csv.NewWriter(&text)
		_ = w.Write([]string{"_connection", "a\nb", "c"})
		rows := int64(0)
		for range random.IntN(most) {
			name := trickyNames[random.IntN(len(trickyNames))]
			for range 1 + random.IntN(20) {
				value := strings.Repeat("x\"\r\n,", random.IntN(200))
				if random.IntN(300) == 0 {
					value = strings.Repeat("y\n", 1<<20)
				}
				_ = w.Write([]string{name, value, "z"})
				n, _ := json.Marshal(name)
				v, _ := json.Marshal(value)
				fmt.Fprintf(&objects, "{\"_connection\":%s,\"v\":%s}\n", n, v)
				want[name]++
				rows++
			}
		}
		w.Flush()
		for kind, c := range map[string]struct {
			layout string
			text   []byte
		}{"csv": {`{"delimiter":",","header":true,"connectionColumn":"_connection"}`, text.Bytes()}, "jsonl": {`{"connectionColumn":"_connection"}`, objects.Bytes()}} {
			by, all := counted(t, kind, c.layout, c.text)
			if all.Rows != rows || len(all.Faults) > 0 {
				t.Errorf("seed %d: of %s %d rows are counted, not %d: %q", seed, kind, all.Rows, rows, all.Faults)
			}
			for _, name := range trickyNames {
				if by[name] != want[name] {
					t.Errorf("seed %d: of %s %q has %d rows, not %d", seed, kind, name, by[name], want[name])
				}
			}
		}
	}
}

// What a text ends with, and begins with, counts as it should.
func TestLinesAtTheirEnds(t *testing.T) {
	for text, want := range map[string]struct {
		rows   int64
		faults int
		error  string
	}{
		"": {}, "\ufeff": {}, "a\r\n": {}, "a": {faults: 1}, "\ufeffa\n1\n": {rows: 1}, "a\n1": {rows: 1, faults: 1}, "a\n\"\"\n": {rows: 1}, "a\n\"1\n2\"\n": {rows: 1},
		"a\n\"1\n": {error: "within quotes"}, "\r\na\r\n1\r\n": {rows: 1},
	} {
		r := &pipeline.Report{Format: &pipeline.ReportFormat{Layout: json.RawMessage(`{"delimiter":",","header":true}`)}}
		c, err := sinks.Kinds()["csv"].Count(context.Background(), pipeline.CountedFile{R: strings.NewReader(text), Size: int64(len(text)), Report: r})
		if want.error != "" {
			if err == nil || !strings.Contains(err.Error(), want.error) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil || c.Rows != want.rows || len(c.Faults) != want.faults {
			t.Errorf("%q has %+v, %v", text, c, err)
		}
	}
}
