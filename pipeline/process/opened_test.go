package process_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/deliver"

	"fanmill/pipeline"
)

// lostLog is a row log that is not found, or is another one, for so many looks.
type lostLog struct {
	*logScript
	looks   int
	another bool
	seen    []int // the generations that were asked for
}

func (l *lostLog) Open(_ context.Context, _ string, generation int) (pipeline.RowLog, error) {
	l.seen = append(l.seen, generation)
	if l.looks--; l.looks < 0 {
		return l.logScript, nil
	}
	if l.another {
		return anotherLog{logScript: l.logScript}, nil
	}
	return nil, pipeline.ErrNoLog
}

// anotherLog was made at another time.
type anotherLog struct{ *logScript }

func (anotherLog) State(context.Context) (pipeline.LogState, error) {
	id := scriptID
	id.Created = time.Unix(1, 0)
	return pipeline.LogState{ID: id, First: 1, Last: 1 << 40}, nil
}

// deliverFrom delivers a run of one connection from a row log, of which run is the record and rec that of the
// destination, and returns what that has become.
func deliverFrom(t *testing.T, log *lostLog, run checkpoint.RunRecord, rec checkpoint.CommitRecord, incarnation int) (checkpoint.CommitRecord, error) {
	t.Helper()
	w := newWorld(t, 8*mb)
	a := &attempt{id: "a", number: 1}
	log.logScript = &logScript{max: 8 * mb}
	log.put(a.open(), a.row(10), a.eof())
	m := &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job", Destinations: []pipeline.ManifestDestination{{ID: "d", Type: "memory", Path: "d"}},
		Connections: []pipeline.ManifestConnection{{ID: "a", Name: "A", Queries: []pipeline.ManifestQuery{{}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log.idle = cancel
	if _, err := checkpoint.CreateDocument(ctx, w.node.Stores.Runs, checkpoint.RunKey("r"), run); err != nil {
		t.Fatal(err)
	}
	if err := w.node.Records.Create(ctx, "r", "d", rec); err != nil {
		t.Fatal(err)
	}
	d := deliver.NewDeliverer(deliver.Deliverer{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: w.node.Jobs, Budget: w.node.Budget, Records: w.node.Records, RowLogs: log,
		Sinks: w.node.Sinks, Owner: w.node.Owner, StoreID: "s", Timeout: time.Nanosecond, Log: w.node.Log})
	w.keepRun(m, incarnation)
	err := d.Deliver(ctx, pipeline.SinkCommand{Run: "r", Incarnation: incarnation, Destination: "d"}, nil)
	after, loadErr := w.node.Records.Load(t.Context(), "r", "d")
	if loadErr != nil {
		t.Fatal(loadErr)
	}
	return after, err
}

// Sequence 9: a worker whose row log is not there, or is another one than its record was written against, lets go of
// its claim and looks at the run. Where that has gone on without it, it ends; the destination is neither detached nor
// given a gap, after whatever time.
func TestDestinationWithoutItsRowLog(t *testing.T) {
	opened := checkpoint.Opened{Epoch: 1, Generation: 1}
	for name, c := range map[string]struct {
		run     checkpoint.RunRecord
		another bool
	}{
		"it was resumed":              {checkpoint.RunRecord{State: pipeline.RunRunning, Resumes: 1, Generation: 1}, false},
		"it has another log":          {checkpoint.RunRecord{State: pipeline.RunRunning, Generation: 2}, false},
		"it was taken over":           {checkpoint.RunRecord{State: pipeline.RunInterrupted, Taken: true, Generation: 1}, false},
		"another log, and it resumed": {checkpoint.RunRecord{State: pipeline.RunRunning, Resumes: 1, Generation: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.run.Job = "job"
			log := &lostLog{looks: 1 << 30, another: c.another}
			before := checkpoint.CommitRecord{Opened: opened, State: pipeline.RecordOpen, Log: scriptID}
			after, err := deliverFrom(t, log, c.run, before, 0)
			if !errors.Is(err, pipeline.ErrFenced) || len(log.seen) != 1 {
				t.Errorf("it answers %v after it has looked for %v", err, log.seen)
			}
			if after.State != pipeline.RecordOpen || after.Token != "" || after.Log != before.Log || after.Error != "" {
				t.Errorf("the record is %+v", after)
			}
		})
	}
}

// While the run goes on as it is, the worker looks again, and takes the log up as soon as it is there: that its log was
// not found is no trouble of the destination.
func TestDestinationFindsItsRowLogAgain(t *testing.T) {
	t.Parallel()
	for name, another := range map[string]bool{"no log": false, "another log": true} {
		t.Run(name, func(t *testing.T) {
			log := &lostLog{looks: 3, another: another}
			rec := checkpoint.CommitRecord{Opened: checkpoint.Opened{Epoch: 5, Incarnation: 2, Generation: 7}, State: pipeline.RecordOpen, Log: scriptID}
			after, err := deliverFrom(t, log, checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Resumes: 2, Generation: 7}, rec, 2)
			if err != nil || after.State != pipeline.RecordFinished || len(after.Settled) != 1 {
				t.Errorf("the record is %+v, %v", after, err)
			}
			for _, g := range log.seen {
				if g != 7 {
					t.Errorf("it looked for generation %d, and the record names 7", g)
				}
			}
		})
	}
}

// Sequence 9: a late command for a record whose claim a resume has ended changes nothing.
func TestLateSinkCommand(t *testing.T) {
	rec := checkpoint.CommitRecord{Opened: checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 2}, State: pipeline.RecordOpen, Log: scriptID, Epoch: 4}
	log := &lostLog{}
	after, err := deliverFrom(t, log, checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Resumes: 1, Generation: 2}, rec, 0)
	if !errors.Is(err, pipeline.ErrFenced) || len(log.seen) > 0 {
		t.Errorf("it answers %v after it has looked for %v", err, log.seen)
	}
	if after.State != rec.State || after.Epoch != rec.Epoch || after.Token != "" || after.Error != "" || after.Log != rec.Log {
		t.Errorf("the record is %+v", after)
	}
}
