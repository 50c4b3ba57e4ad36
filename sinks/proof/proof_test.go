package proof_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/sinks/proof"
)

const rows = "no\r\n1\r\n2\r\n"

// report is of a CSV with rows.
func report() *pipeline.Report {
	sum := sha256.Sum256([]byte(rows))
	return &pipeline.Report{Run: "20261123-191112-psckdj", JobID: "gst", Destination: "csv", Artifact: `D:\Reports\GST.csv`, State: pipeline.RecordFinished,
		Length: int64(len(rows)), SHA256: hex.EncodeToString(sum[:]),
		Connections: []pipeline.ReportConnection{{ID: "c1", Name: "One", State: pipeline.ReportSettled, Rows: []int64{2}}},
		Format:      &pipeline.ReportFormat{Type: "csv", Layout: json.RawMessage(`{"delimiter":",","header":true}`)}}
}

// check is what is found of a file with this text and this manifest, both named GST.csv.
func check(t *testing.T, text string, manifest []byte) proof.Result {
	t.Helper()
	path := filepath.Join(t.TempDir(), "GST.csv")
	for name, text := range map[string][]byte{path: []byte(text), path + ".manifest.json": manifest} {
		if err := os.WriteFile(name, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	found, err := proof.Find(path)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	checker := proof.Checker{Kinds: sinks.Kinds()}
	return checker.Check(context.Background(), found[0])
}

func sealed(t *testing.T, r *pipeline.Report) []byte {
	t.Helper()
	text, err := pipeline.SealReport(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What a report says that is sealed and false is found where it can be.
func TestStates(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pipeline.Report)
		text   string
		want   proof.State
		why    string // in a reason or a note
	}{
		"as published":              {func(*pipeline.Report) {}, rows, proof.Proven, ""},
		"of another name":           {func(r *pipeline.Report) { r.Artifact = "/reports/Old.csv" }, rows, proof.Proven, "called it Old.csv"},
		"of another file":           {func(r *pipeline.Report) { r.Artifact = "/reports/Old.csv" }, "x\r\n", proof.Other, "another file, Old.csv"},
		"a run that goes on":        {func(r *pipeline.Report) { r.State = pipeline.RecordOpen }, "no\r\n1\r\n", proof.Running, "not over"},
		"a run that is interrupted": {func(r *pipeline.Report) { r.State = pipeline.RecordOpen }, rows, proof.Partial, ""},
		"an earlier run's file": {func(r *pipeline.Report) { r.Connections[0].State, r.Length = pipeline.ReportFailed, 0 }, rows, proof.Other,
			"has delivered nothing"},
		"a state that is none":    {func(r *pipeline.Report) { r.State = "done" }, rows, proof.Unknown, `no state "done"`},
		"a checksum that is none": {func(r *pipeline.Report) { r.SHA256 = "12" }, rows, proof.Unknown, "sha256"},
		"rows below 0":            {func(r *pipeline.Report) { r.Connections[0].Rows[0] = -2 }, rows, proof.Unknown, "below 0"},
		"another number of rows":  {func(r *pipeline.Report) { r.Connections[0].Rows[0] = 3 }, rows, proof.Changed, "its rows are not"},
		"another layout":          {func(r *pipeline.Report) { r.Format.Layout = json.RawMessage(`{"compression":"gzip","delimiter":","}`) }, rows, proof.Changed, "gzip"},
		"no layout":               {func(r *pipeline.Report) { r.Format.Layout = json.RawMessage(`[]`) }, rows, proof.Changed, "layout"},
		"bytes beyond its end":    {func(r *pipeline.Report) { r.Format.Layout = json.RawMessage(`{"delimiter":",","earlierBytes":1000}`) }, rows, proof.Changed, "1000"},
		"a type of tomorrow":      {func(r *pipeline.Report) { r.Format.Type = "avro" }, rows, proof.Proven, `type "avro"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := report()
			c.change(r)
			got := check(t, c.text, sealed(t, r))
			if said := strings.Join(append(got.Why, got.Notes...), "\n"); got.State != c.want || !strings.Contains(said, c.why) {
				t.Errorf("it is %s, not %s: %s", got.State, c.want, said)
			}
		})
	}
}

// A manifest of an earlier fanmill proves the bytes, and says what it cannot prove.
func TestEarlierManifest(t *testing.T) {
	r := report()
	r.Format = nil
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := check(t, rows, text)
	if said := strings.Join(got.Notes, "\n"); got.State != proof.Proven || got.Counted || got.Sealed || !strings.Contains(said, "no checksum of its own") || !strings.Contains(said, "not counted") {
		t.Errorf("it is %s: %+v", got.State, got)
	}
	if got := check(t, rows[:5], text); got.State != proof.Changed {
		t.Errorf("cut it is %s", got.State)
	}
}

// What is no manifest is named so.
func TestNoManifest(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "{}", "null", `"x"`, `{"run":5}`, "\x00\x01", `{"connections":[{}]}`} {
		if got := check(t, rows, []byte(text)); got.State != proof.Unknown || len(got.Why) != 1 || !strings.Contains(got.Why[0], "damaged") {
			t.Errorf("%q is %s: %q", text, got.State, got.Why)
		}
	}
}

// All that is read is told of, and no more: the size of the file, twice.
func TestReadIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "GST.csv")
	for name, text := range map[string][]byte{path: []byte(rows), path + ".manifest.json": sealed(t, report())} {
		if err := os.WriteFile(name, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan int64, 1000)
	checker := proof.Checker{Kinds: sinks.Kinds(), Read: func(n int64) { told <- n }}
	checker.Check(context.Background(), proof.Target{Path: path, Manifest: path + ".manifest.json"})
	close(told)
	all := int64(0)
	for n := range told {
		all += n
	}
	if all != 2*int64(len(rows)) {
		t.Errorf("of %d bytes it tells of %d", len(rows), all)
	}
}
