package sinks

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

// splitParallel is how many files are worked on at a time: enough to keep a disk busy that gathers what several ask of it.
const splitParallel = 8

// splitFile is one connection's file while it is not done.
type splitFile struct {
	connection int
	sink       pipeline.Sink
	phase      splitPhase
	recorded   splitPhase      // as of the last state returned
	state      json.RawMessage // the sink's, as it last returned it
	parts      int             // open ones
	age        string          // of the earlier run's file that stands in its place at the end
}

type splitPhase uint8

const (
	splitOpened splitPhase = iota
	splitSpliced
	splitFinished
	splitPublished
)

// newFile makes the sink of a connection's file. It touches nothing yet.
func (s *splitSink) newFile(connection int) (*splitFile, error) {
	m, d := *s.spec.Manifest, *s.spec.Destination
	c := &m.Connections[connection]
	m.Connections = m.Connections[connection : connection+1 : connection+1]
	m.Schemas = nil // of a file that all share
	d.Path, d.Files = d.Files[connection], nil
	sink, err := s.kind.New(pipeline.SinkSpec{Manifest: &m, Destination: &d, StoreID: s.spec.StoreID, Log: s.spec.Log.With("connection", c.ID)})
	return &splitFile{connection: connection, sink: sink}, err
}

// rest gives up the file's handles, unless parts are being written.
func (f *splitFile) rest() error {
	if f.parts > 0 {
		return nil
	}
	return f.sink.Close()
}

// finish makes the final form.
func (f *splitFile) finish(ctx context.Context, r *pipeline.Report) (err error) {
	if f.state, err = f.sink.Finish(ctx, f.report(r, pipeline.RecordFinishing)); err != nil {
		return err
	}
	f.phase = splitFinished
	return f.rest()
}

// publishFinal makes it public.
func (f *splitFile) publishFinal(ctx context.Context, r *pipeline.Report) error {
	if err := f.sink.PublishFinal(ctx, f.report(r, pipeline.RecordFinished)); err != nil {
		return err
	}
	f.phase = splitPublished
	return f.rest()
}

// report is what concerns this file of the run's report, in a state of its own.
func (f *splitFile) report(r *pipeline.Report, state pipeline.RecordState) *pipeline.Report {
	if r == nil {
		return nil
	}
	own := *r
	own.State, own.Artifact = state, "" // the sink's path
	if f.connection < len(r.Connections) {
		own.Connections = r.Connections[f.connection : f.connection+1]
	}
	return &own
}

// each calls do for files side by side.
func each(files []*splitFile, do func(*splitFile) error) error {
	var g errgroup.Group
	g.SetLimit(splitParallel)
	for _, f := range files {
		g.Go(func() error { return do(f) })
	}
	return g.Wait()
}
