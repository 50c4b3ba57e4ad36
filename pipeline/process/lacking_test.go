package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/deliver"
	"fanmill/pipeline/spec"
)

// noVariable is a variable that a process lacks.
type noVariable string

func (v noVariable) Error() string   { return "${" + string(v) + "} is not set" }
func (v noVariable) Missing() string { return "${" + string(v) + "}" }

// A process that lacks a variable which a destination refers to claims nothing, and says so; another one, which has it,
// delivers.
func TestDestinationIsLeftToAnotherProcess(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Sinks["hook"] = hookKind(w)
	a := &attempt{id: "a", number: 1}
	log := &logScript{max: 8 * mb}
	log.put(a.open(), a.row(10), a.eof())
	m := &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job",
		Destinations: []pipeline.ManifestDestination{{ID: "d", Type: "hook", Path: "d", Options: json.RawMessage(`{"url": "https://${HOST}", "auth": {"token": "${TOKEN}"}}`)}},
		Connections:  []pipeline.ManifestConnection{{ID: "a", Name: "A", Queries: []pipeline.ManifestQuery{{}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log.idle = cancel
	w.keepRun(m, 0)
	if err := w.node.Records.Create(ctx, "r", "d", checkpoint.CommitRecord{Opened: checkpoint.Opened{Epoch: 1, Generation: 1}, State: pipeline.RecordOpen}); err != nil {
		t.Fatal(err)
	}
	carryOut := func(expand func(string) (string, error)) (claims int, rec checkpoint.CommitRecord) {
		t.Helper()
		d := deliver.NewDeliverer(deliver.Deliverer{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: &spec.Jobs{Elsewhere: expand}, Budget: w.node.Budget, Records: w.node.Records, RowLogs: log,
			Sinks: w.node.Sinks, Owner: w.node.Owner, StoreID: "s", Timeout: time.Minute, Log: w.node.Log})
		err := d.Deliver(ctx, pipeline.SinkCommand{Run: "r", Destination: "d"}, func(context.Context) error { claims++; return errors.New("no answer") })
		if err == nil {
			rec, err = w.node.Records.Load(t.Context(), "r", "d")
		}
		if err != nil {
			t.Fatal(err)
		}
		return claims, rec
	}
	claims, rec := carryOut(func(text string) (string, error) {
		if strings.Contains(text, "${TOKEN}") {
			return "", noVariable("TOKEN")
		}
		return text, nil
	})
	if claims != 0 || rec.Token != "" || rec.Epoch != 0 || rec.State != pipeline.RecordOpen {
		t.Errorf("%d claims, the record is %+v", claims, rec)
	}
	if claims, rec = carryOut(func(text string) (string, error) { return text, nil }); claims != 1 || rec.State != pipeline.RecordFinished || len(rec.Settled) != 1 {
		t.Errorf("%d claims, the record is %+v", claims, rec)
	}
}
