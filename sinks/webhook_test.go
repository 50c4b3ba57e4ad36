package sinks_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// hook is a webhook's sink over a folder.
type hook struct {
	t      *testing.T
	sink   pipeline.Sink
	folder string
	m      pipeline.Manifest
	grown  int64
}

func newHook(t *testing.T, mode, options string, connections int) *hook {
	t.Helper()
	w := &hook{t: t, folder: t.TempDir(), m: pipeline.Manifest{Run: "r1", JobID: "job", JobName: "Job"}}
	for i := range connections {
		id := fmt.Sprintf("c%d", i)
		w.m.Connections = append(w.m.Connections, pipeline.ManifestConnection{ID: id, Name: "Branch " + id, Queries: []pipeline.ManifestQuery{{}}})
	}
	d := pipeline.ManifestDestination{ID: "hook", Type: "webhook", Mode: mode, Options: json.RawMessage(options)}
	var err error
	if w.sink, err = sinks.Kinds()["webhook"].New(pipeline.SinkSpec{Manifest: &w.m, Destination: &d, StoreID: "s"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sink.Close() })
	_, err = w.sink.Recover(t.Context(), pipeline.Fence{Token: "t", Epoch: 1, Birth: "b", Folder: w.folder, Grow: func(n int64) { w.grown += n }}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// part composes a connection's rows.
func (w *hook) part(connection int, cols []columnar.Column, batches ...*columnar.Batch) (pipeline.Part, pipeline.Summary, error) {
	w.t.Helper()
	o := opening(cols)
	p, err := w.sink.Open(w.t.Context(), pipeline.PartID{Connection: connection, Attempt: 1}, &o, nil, spooled(batches))
	if err != nil {
		return nil, pipeline.Summary{}, err
	}
	sum, err := p.Finish(w.t.Context())
	return p, sum, err
}

// bodies are the requests' bodies, after their checksums were compared.
func (w *hook) bodies(requests []pipeline.WireRequest) (texts []string) {
	w.t.Helper()
	for _, r := range requests {
		data, err := os.ReadFile(filepath.Join(w.folder, r.File))
		if err != nil {
			w.t.Fatal(err)
		}
		section := data[r.Offset : r.Offset+r.Length]
		if sum := sha256.Sum256(section); hex.EncodeToString(sum[:]) != r.SHA256 {
			w.t.Errorf("the checksum of request %+v does not fit", r)
		}
		if r.Encoding == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(section))
			if err != nil {
				w.t.Fatal(err)
			}
			z.Multistream(false)
			if section, err = io.ReadAll(z); err != nil {
				w.t.Fatal(err)
			}
		}
		texts = append(texts, string(section))
	}
	return texts
}

func (w *hook) report(states ...string) *pipeline.Report {
	r := &pipeline.Report{}
	for i, c := range w.m.Connections {
		line := pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportSealed}
		if i < len(states) {
			line.State = states[i]
		}
		r.Connections = append(r.Connections, line)
	}
	return r
}

var hookColumns = []columnar.Column{{Name: "no", Kind: columnar.Text}, {Name: "branch_total", Kind: columnar.Text}}

func hookRows(t *testing.T, rows ...[]any) *columnar.Batch {
	t.Helper()
	return textBatch(t, hookColumns, rows...)
}

// A body is one JSON object with the rows of all connections, each once.
func TestWebhookBatch(t *testing.T) {
	w := newHook(t, "batch", `{"url":"http://h"}`, 2)
	a, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}, []any{"2", "y"}), hookRows(t, []any{"1", "x"}))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := w.part(1, hookColumns, hookRows(t, []any{"2", "y"}, []any{"3", nil}))
	if err != nil {
		t.Fatal(err)
	}
	staged, err := w.sink.Stage(t.Context(), []pipeline.Part{a, b}, 1, w.report())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"jobId":"job","jobName":"Job","runId":"r1","connections":[{"id":"c0","name":"Branch c0","state":"included","rows":2},{"id":"c1","name":"Branch c1","state":"included","rows":1}],"rows":[` +
		`{"_connection":"Branch c0","no":"1","branch_total":"x"},` + "\n" + `{"_connection":"Branch c0","no":"2","branch_total":"y"},` + "\n" + `{"_connection":"Branch c1","no":"3","branch_total":null}],"request":1,"last":true}` + "\n"
	if got := w.bodies(staged.Requests); len(got) != 1 || got[0] != want {
		t.Errorf("the bodies are\n%s", strings.Join(got, "\n"))
	}
	if !slices.Equal(staged.Allocated, []int{0, 1}) || staged.Requests[0].Rows != 3 || staged.Requests[0].Connection != pipeline.OfAll {
		t.Errorf("%+v", staged)
	}
	if notes := fmt.Sprint(staged.Notes); notes != "map[0:[1 of 3 rows are repetitions of others and are not sent] 1:[1 of 2 rows are repetitions of others and are not sent]]" {
		t.Errorf("the notes are %s", notes)
	}
}

// Limits split a body; every request is whole by itself, and the last one says so.
func TestWebhookLimits(t *testing.T) {
	for name, options := range map[string]string{"rows": `"maxRowsPerRequest":2`, "bytes": `"maxBytesPerRequest":1024`} {
		t.Run(name, func(t *testing.T) {
			w := newHook(t, "batch", `{"url":"http://h","gzip":true,`+options+`}`, 1)
			var rows [][]any
			for i := range 7 {
				rows = append(rows, []any{fmt.Sprint(i), strings.Repeat("x", 300)})
			}
			p, _, err := w.part(0, hookColumns, hookRows(t, rows...))
			if err != nil {
				t.Fatal(err)
			}
			staged, err := w.sink.Stage(t.Context(), []pipeline.Part{p}, 1, w.report())
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for i, text := range w.bodies(staged.Requests) {
				var body struct {
					Rows    []map[string]any
					Request int
					Last    bool
				}
				if err := json.Unmarshal([]byte(text), &body); err != nil {
					t.Fatalf("%v in %s", err, text)
				}
				if name == "bytes" && len(text) > 1024 || name == "rows" && len(body.Rows) > 2 || body.Request != i+1 || body.Last != (i == len(staged.Requests)-1) || staged.Requests[i].Rows != int64(len(body.Rows)) {
					t.Errorf("request %d of %d bytes: %d rows, %+v", i, len(text), len(body.Rows), staged.Requests[i])
				}
				n += len(body.Rows)
			}
			if n != 7 || len(staged.Requests) < 4 {
				t.Errorf("%d rows in %d requests", n, len(staged.Requests))
			}
			if info, err := os.Stat(filepath.Join(w.folder, staged.Requests[0].File)); err != nil || w.grown != info.Size() {
				t.Errorf("%d bytes are counted (%v)", w.grown, err)
			}
		})
	}
}

// A row that fits no request turns its connection away.
func TestWebhookRowTooLarge(t *testing.T) {
	for _, mode := range []string{"batch", "stream"} {
		w := newHook(t, mode, `{"url":"http://h","maxBytesPerRequest":1024}`, 1)
		_, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}, []any{"2", strings.Repeat("x", 2000)}))
		var turned *pipeline.RejectError
		if !errors.As(err, &turned) || !strings.HasPrefix(turned.Reason, "row 2 has 20") {
			t.Errorf("%s: %v", mode, err)
		}
		if left, err := os.ReadDir(w.folder); err != nil || len(left) > 0 {
			t.Errorf("%s: %d files are left (%v)", mode, len(left), err)
		}
	}
}

// In stream mode each connection has its own requests, a connection without rows none, and one request closes the
// round.
func TestWebhookStream(t *testing.T) {
	w := newHook(t, "stream", `{"url":"http://h","format":"ndjson","connectionColumn":false}`, 2)
	a, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}, []any{"1", "x"}))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := w.part(1, hookColumns)
	if err != nil {
		t.Fatal(err)
	}
	staged, err := w.sink.Stage(t.Context(), []pipeline.Part{a, b}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := `{"no":"1","branch_total":"x"}` + "\n"
	if got := w.bodies(staged.Requests); !slices.Equal(got, []string{row + row}) || staged.Requests[0].Type != "application/x-ndjson" || staged.Requests[0].Connection != 0 {
		t.Errorf("%q of %+v", got, staged.Requests)
	}
	if !slices.Equal(staged.Allocated, []int{0, 1}) {
		t.Errorf("allocated: %v", staged.Allocated)
	}
	report := w.report(pipeline.ReportSettled, pipeline.ReportFailed)
	report.Connections[0].Rows = []int64{2}
	if staged, err = w.sink.Stage(t.Context(), nil, 1, report); err != nil {
		t.Fatal(err)
	}
	want := `{"jobId":"job","jobName":"Job","runId":"r1","connections":[{"id":"c0","name":"Branch c0","state":"delivered","rows":2},{"id":"c1","name":"Branch c1","state":"missing","rows":0}],"closing":true}` + "\n"
	if got := w.bodies(staged.Requests); !slices.Equal(got, []string{want}) || !staged.Requests[0].Closing || staged.Requests[0].Type != "application/json" {
		t.Errorf("%q of %+v", got, staged.Requests)
	}
}

// A template makes other objects.
func TestWebhookTemplate(t *testing.T) {
	w := newHook(t, "batch", `{"url":"http://h","body":"{\"source\": {{json .JobName}}, \"records\": [{{rows}}]}","connectionColumn":false}`, 1)
	p, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}, []any{"2", "y"}))
	if err != nil {
		t.Fatal(err)
	}
	staged, err := w.sink.Stage(t.Context(), []pipeline.Part{p}, 1, w.report())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"source": "Job", "records": [{"no":"1","branch_total":"x"},` + "\n" + `{"no":"2","branch_total":"y"}]}`
	if got := w.bodies(staged.Requests); !slices.Equal(got, []string{want}) {
		t.Errorf("%q", got)
	}
}

// What was sent in an earlier round is not sent by a later one, in whatever process.
func TestWebhookLateRows(t *testing.T) {
	for keep, want := range map[string]string{"first": "were sent by an earlier round and are not sent again", "last": "would have taken the place of rows that an earlier round has sent, and are not sent"} {
		w := newHook(t, "batch", `{"url":"http://h","dedupe":{"keys":["no"],"keep":"`+keep+`"}}`, 2)
		a, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}, []any{"2", "y"}))
		if err != nil {
			t.Fatal(err)
		}
		first, err := w.sink.Stage(t.Context(), []pipeline.Part{a}, 1, w.report(pipeline.ReportSealed, pipeline.ReportFailed))
		if err != nil || len(first.Keep) != 1 {
			t.Fatalf("%+v, %v", first, err)
		}
		// The next claim: its folder has what was named.
		next := newHook(t, "batch", `{"url":"http://h","dedupe":{"keys":["no"],"keep":"`+keep+`"}}`, 2)
		text, err := os.ReadFile(filepath.Join(w.folder, first.Keep[0]))
		if err == nil {
			err = os.WriteFile(filepath.Join(next.folder, first.Keep[0]), text, 0o600)
		}
		if err == nil {
			_, err = next.sink.Recover(t.Context(), pipeline.Fence{Token: "u", Epoch: 2, Folder: next.folder, Grow: func(int64) {}}, first.State, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := next.part(1, hookColumns, hookRows(t, []any{"2", "late"}, []any{"3", "z"}))
		if err != nil {
			t.Fatal(err)
		}
		second, err := next.sink.Stage(t.Context(), []pipeline.Part{b}, 2, next.report(pipeline.ReportSettled))
		if err != nil {
			t.Fatal(err)
		}
		body := next.bodies(second.Requests)
		if len(body) != 1 || strings.Contains(body[0], "late") || !strings.Contains(body[0], `"round":2`) || !strings.Contains(body[0], `"no":"3"`) {
			t.Errorf("%s: the second round sends %q", keep, body)
		}
		if got := fmt.Sprint(second.Notes); got != "map[1:[1 of 2 rows "+want+"]]" {
			t.Errorf("%s: the notes are %s", keep, got)
		}
	}
}

// With onPartial hold nothing is made while a connection is missing.
func TestWebhookHolds(t *testing.T) {
	w := newHook(t, "batch", `{"url":"http://h","onPartial":"hold"}`, 2)
	p, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.sink.Stage(t.Context(), []pipeline.Part{p}, 1, w.report(pipeline.ReportSealed, pipeline.ReportFailed))
	var owing *pipeline.Owing
	if !errors.As(err, &owing) || !strings.Contains(owing.Reason, "Branch c1") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(w.folder); err != nil || len(left) > 0 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
}

// A batch without rows is one request, or none.
func TestWebhookEmpty(t *testing.T) {
	for options, want := range map[string]int{`{"url":"http://h"}`: 1, `{"url":"http://h","sendEmpty":false}`: 0} {
		w := newHook(t, "batch", options, 1)
		p, _, err := w.part(0, hookColumns)
		if err != nil {
			t.Fatal(err)
		}
		staged, err := w.sink.Stage(t.Context(), []pipeline.Part{p}, 1, w.report())
		if err != nil || len(staged.Requests) != want || len(staged.Allocated) != 1 {
			t.Errorf("%s: %+v, %v", options, staged, err)
		}
		if left, _ := os.ReadDir(w.folder); len(left) != want {
			t.Errorf("%s: %d files", options, len(left))
		}
	}
}

// Options that cannot work are refused, all at once, at their keys.
func TestWebhookOptions(t *testing.T) {
	check := func(mode, options string) map[string]string {
		found := map[string]string{}
		err := sinks.Kinds()["webhook"].Check(&pipeline.Destination{ID: "hook", Type: "webhook", Mode: mode, Options: json.RawMessage(options)})
		var walk func(error)
		walk = func(err error) {
			if many, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range many.Unwrap() {
					walk(e)
				}
				return
			}
			if at, ok := err.(interface{ Key() string }); ok {
				found[at.Key()] = err.Error()
			} else if err != nil {
				found["?"] = err.Error()
			}
		}
		walk(err)
		return found
	}
	for _, c := range []struct {
		mode, options string
		keys          []string
	}{
		{"batch", `{"url":"https://example.com/x"}`, nil},
		{"stream", `{"url":"https://example.com/x","dedupe":false}`, nil},
		{"stream", `{"url":"https://example.com/x","dedupe":{"keys":["a"]},"onPartial":"hold"}`, []string{"dedupe", "onPartial"}},
		{"batch", `{"url":"https://user:pw@example.com/x"}`, []string{"url"}},
		{"batch", `{"url":"example.com/x"}`, []string{"url"}},
		{"batch", `{"url":"https://example.com","body":"[]"}`, []string{"body"}},
		{"batch", `{"url":"https://example.com","body":"{{rows}}"}`, nil},
		{"batch", `{"url":"https://example.com","body":"[{{rows}}"}`, []string{"body"}},
		{"batch", `{"url":"https://example.com","body":"[{{rows}},{{rows}}]"}`, []string{"body"}},
		{"batch", `{"url":"https://example.com","body":"[{{.Nobody}}]"}`, []string{"body"}},
		{"batch", `{"url":"https://example.com","format":"ndjson","body":"[{{rows}}]"}`, []string{"body"}},
		{"batch", `{"url":"https://example.com","connectionColumn":" "}`, []string{"connectionColumn"}},
	} {
		got := check(c.mode, c.options)
		if have := slices.Sorted(maps.Keys(got)); !slices.Equal(have, c.keys) {
			t.Errorf("%s %s: %v, want mistakes at %v", c.mode, c.options, got, c.keys)
		}
	}
}

// How long the receiver remembers keys is a day, unless the destination says otherwise.
func TestWebhookKeyTTL(t *testing.T) {
	for options, want := range map[string]time.Duration{
		`{"url":"http://h"}`:                24 * time.Hour,
		`{"url":"http://h","keyTTL":"90m"}`: 90 * time.Minute,
	} {
		for _, kind := range []string{"webhook", "api"} {
			if got := sinks.Kinds()[kind].KeyTTL(&pipeline.ManifestDestination{Options: json.RawMessage(options)}); got != want {
				t.Errorf("%s %s: %v, want %v", kind, options, got, want)
			}
		}
	}
}

// A key that is no column is named before anything is made.
func TestWebhookUnknownKey(t *testing.T) {
	w := newHook(t, "batch", `{"url":"http://h","dedupe":{"keys":["invoice"]}}`, 1)
	_, _, err := w.part(0, hookColumns)
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `"invoice" of dedupe is no column of the rows that are sent; they have no, branch_total`) {
		t.Errorf("%v", err)
	}
}

// After a refusal of the target the references are read again: a token that was changed meanwhile counts without a restart.
func TestWebhookReadsTokensAgain(t *testing.T) {
	r, err := receiver.New(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.Script(receiver.Say(http.StatusUnauthorized, "no"))
	m := pipeline.Manifest{Run: "r1", JobID: "job", JobName: "Job", Connections: []pipeline.ManifestConnection{{ID: "c0", Name: "c0", Queries: []pipeline.ManifestQuery{{}}}}}
	d := pipeline.ManifestDestination{ID: "erp", Type: "api", Mode: "batch", Options: json.RawMessage(`{"url":"` + r.URL + `","auth":{"bearer":"${TOKEN}"}}`)}
	token := "token-of-yesterday"
	expand := func(text string) (string, error) { return strings.ReplaceAll(text, "${TOKEN}", token), nil }
	s, err := sinks.Kinds()["api"].New(pipeline.SinkSpec{Manifest: &m, Destination: &d, StoreID: "s", Expand: expand})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &hook{t: t, sink: s, folder: t.TempDir(), m: m}
	if _, err := s.Recover(t.Context(), pipeline.Fence{Token: "t", Folder: w.folder, Grow: func(int64) {}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	p, _, err := w.part(0, hookColumns, hookRows(t, []any{"1", "x"}))
	if err != nil {
		t.Fatal(err)
	}
	staged, err := s.Stage(t.Context(), []pipeline.Part{p}, 1, w.report())
	if err != nil {
		t.Fatal(err)
	}
	next := staged.Requests
	next[0].Number, next[0].Key = 1, "key1"
	var trouble *pipeline.Trouble
	if _, err := s.Release(t.Context(), next, w.report(), false); !errors.As(err, &trouble) || trouble.Scope != pipeline.OfTarget || strings.Contains(err.Error(), token) {
		t.Fatalf("the first try: %v", err)
	}
	token = "token-of-today"
	if out, err := s.Release(t.Context(), next, w.report(), false); err != nil || len(out.Receipts) != 1 {
		t.Fatalf("the second try: %+v, %v", out, err)
	}
	if stored := r.Stored(); len(stored) != 1 || stored[0].Header.Get("Authorization") != "Bearer token-of-today" {
		t.Errorf("stored: %+v", stored)
	}
}
