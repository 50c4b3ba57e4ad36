package sinks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// splitWorld is a destination with a file per connection as its loop sees it.
type splitWorld struct {
	t        tester
	dir      string
	branches int
	group    int // connections that are committed together
	run      string
	mode     string
	failed   int // connection that fails; -1 for none
	log      *slog.Logger
	record   splitRecord
}

// splitRecord is what of a commit record this test needs.
type splitRecord struct {
	Claims   int
	Settled  map[int]bool
	Parts    []pipeline.PartState
	Artifact json.RawMessage
	Finished bool
}

func newSplitWorld(t tester, dir string, branches, group int) *splitWorld {
	return &splitWorld{t: t, dir: dir, branches: branches, group: group, run: "run1", failed: -1}
}

func (w *splitWorld) path(i int) string {
	return filepath.Join(w.dir, "out", fmt.Sprintf("Branch_%03d.csv", i))
}

func (w *splitWorld) spec() pipeline.SinkSpec {
	m := &pipeline.Manifest{Run: w.run, JobID: "job", Schemas: []pipeline.Schema{{Columns: opening(textColumns("not", "mine")).Queries[0].Columns}}}
	d := &pipeline.ManifestDestination{ID: "d", Type: "csv", Path: filepath.Join(w.dir, "out", "{connection}"), Mode: w.mode}
	for i := range w.branches {
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: fmt.Sprintf("c%d", i), Name: fmt.Sprintf("Branch_%03d", i), Queries: make([]pipeline.ManifestQuery, 1)})
		d.Files = append(d.Files, w.path(i))
	}
	return pipeline.SinkSpec{Manifest: m, StoreID: "store", Destination: d, Log: w.log}
}

func (w *splitWorld) sink() pipeline.Sink {
	w.t.Helper()
	s, err := sinks.Kinds()["csv"].New(w.spec())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// cas writes the record.
func (w *splitWorld) cas(change func(*splitRecord)) { change(&w.record) }

func (w *splitWorld) report(state pipeline.RecordState) *pipeline.Report {
	r := &pipeline.Report{Run: w.run, State: state}
	for i := range w.branches {
		c := pipeline.ReportConnection{ID: fmt.Sprintf("c%d", i), Name: fmt.Sprintf("Branch_%03d", i), State: pipeline.ReportPending}
		if w.record.Settled[i] {
			c.State = pipeline.ReportSettled
		} else if i == w.failed {
			c.State, c.Error = pipeline.ReportFailed, "no route to host"
		}
		r.Connections = append(r.Connections, c)
	}
	return r
}

// columns differ from connection to connection: each file has its own.
func (w *splitWorld) columns(i int) []columnar.Column {
	return textColumns("id", fmt.Sprintf("qty%d", i%3))
}

func (w *splitWorld) batch(i, n int) *columnar.Batch {
	return textBatch(w.t, w.columns(i), []any{fmt.Sprintf("%s-%d-%d", w.run, i, n), "x"})
}

// add writes row n of connection i.
func (w *splitWorld) add(p pipeline.Part, i, n int) {
	w.t.Helper()
	c, err := p.Encode(0, int64(n), w.batch(i, n))
	if err == nil {
		err = p.Append(context.Background(), 0, c)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// whole is connection i's CSV.
func (w *splitWorld) whole(i int) string {
	return fmt.Sprintf("id,qty%d\r\n%s-%d-0,x\r\n%s-%d-1,x\r\n", i%3, w.run, i, w.run, i)
}

// step is called where a process may be replaced: at each step of the protocol.
type step func(name string)

// deliver drives a sink from its claim to the end, as the loop does: parts are cut half way.
func (w *splitWorld) deliver(at step) error {
	ctx := context.Background()
	s := w.sink()
	w.cas(func(r *splitRecord) { r.Claims++ })
	found, err := s.Recover(ctx, pipeline.Fence{Token: fmt.Sprintf("token%d", w.record.Claims)}, w.record.Artifact, w.record.Parts)
	if err != nil {
		return err
	}
	at("claimed")
	w.cas(func(r *splitRecord) { r.Artifact = found.State })
	at("claim recorded")
	if _, err := s.Release(ctx, nil, nil, false); err != nil {
		return err
	}
	at("adopted")
	open := map[int]pipeline.Part{}
	for _, p := range w.record.Parts {
		if open[p.Connection], err = s.Open(context.Background(), p.PartID, &p.Open, &p, nil); err != nil {
			return err
		}
	}
	var todo []int
	for i := range w.branches {
		if !w.record.Settled[i] && i != w.failed {
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		group := todo[:min(w.group, len(todo))]
		todo = todo[len(group):]
		if err := w.commit(s, group, open, at); err != nil {
			return err
		}
	}
	staged, err := s.Stage(ctx, nil, 1, w.report(pipeline.RecordFinishing))
	if err != nil {
		return err
	}
	at("finished")
	w.cas(func(r *splitRecord) { r.Artifact = staged.State })
	at("finish recorded")
	if _, err := s.Release(ctx, nil, w.report(pipeline.RecordFinished), true); err != nil {
		return err
	}
	at("published finally")
	w.cas(func(r *splitRecord) { r.Finished = true })
	return s.Close()
}

// commit brings a group of connections in.
func (w *splitWorld) commit(s pipeline.Sink, group []int, open map[int]pipeline.Part, at step) error {
	ctx := context.Background()
	var parts []pipeline.Part
	var cut []pipeline.PartState
	for _, i := range group {
		if open[i] == nil {
			o := opening(w.columns(i))
			p, err := s.Open(context.Background(), pipeline.PartID{Connection: i, Attempt: 1}, &o, nil, nil)
			if err != nil {
				return err
			}
			open[i] = p
			w.add(p, i, 0)
		}
		raw, err := open[i].Save(context.Background())
		if err != nil {
			return err
		}
		cut = append(cut, pipeline.PartState{PartID: pipeline.PartID{Connection: i, Attempt: 1}, State: raw, Open: opening(w.columns(i))})
	}
	at("cut")
	w.cas(func(r *splitRecord) { r.Parts = cut })
	at("cut recorded")
	for _, i := range group {
		w.add(open[i], i, 1)
		if _, err := open[i].Finish(context.Background()); err != nil {
			return err
		}
		parts = append(parts, open[i])
	}
	staged, err := s.Stage(ctx, parts, 1, nil)
	if err != nil {
		return err
	}
	at("staged")
	w.cas(func(r *splitRecord) {
		if r.Settled == nil {
			r.Settled = map[int]bool{}
		}
		for _, i := range group {
			r.Settled[i] = true
		}
		r.Artifact, r.Parts = staged.State, nil
	})
	at("stage recorded")
	if _, err := s.Release(ctx, nil, w.report(pipeline.RecordOpen), false); err != nil {
		return err
	}
	at("published")
	return nil
}

// exact checks the files at the end of the run.
func (w *splitWorld) exact() {
	w.t.Helper()
	for i := range w.branches {
		if i == w.failed {
			continue
		}
		text, err := os.ReadFile(w.path(i))
		if err != nil || string(text) != w.whole(i) {
			w.t.Fatal(fmt.Sprintf("%s holds %q, want %q: %v", w.path(i), text, w.whole(i), err))
		}
		var r pipeline.Report
		raw, err := os.ReadFile(w.path(i) + ".manifest.json")
		info, noFile := os.Stat(w.path(i))
		if noFile != nil || err != nil || json.Unmarshal(raw, &r) != nil || r.State != pipeline.RecordFinished || r.Artifact != w.path(i) ||
			len(r.Connections) != 1 || r.Connections[0].ID != fmt.Sprintf("c%d", i) || r.Length != info.Size() {
			w.t.Fatal(fmt.Sprintf("the report of %s: %s, %v", w.path(i), raw, err))
		}
	}
}

func (w *splitWorld) clean(keepPrevious bool) {
	w.t.Helper()
	if _, err := sinks.Kinds()["csv"].Clean(context.Background(), w.spec(), keepPrevious); err != nil {
		w.t.Fatal(err)
	}
}

// names lists the folder of the files.
func (w *splitWorld) names() []string {
	entries, err := os.ReadDir(filepath.Join(w.dir, "out"))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// onlyFiles checks that a file and its report is all that each connection has.
func (w *splitWorld) onlyFiles(also ...string) {
	w.t.Helper()
	if names := w.names(); len(names) != 2*w.branches+len(also) || strings.Contains(strings.Join(names, " "), "edited") != (len(also) > 0) {
		w.t.Fatal(fmt.Sprintf("the folder holds %q", names))
	}
}

func noStep(string) {}
