package sinks

import (
	"context"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

// splitParallel is how many files are worked on at a time: enough to keep a disk busy that gathers what several ask
// of it.
const splitParallel = 8

// splitFile is one connection's file while it is not done.
type splitFile struct {
	connection int
	sink       *fileSink
	phase      splitPhase
	recorded   splitPhase     // as of the last state returned
	state      pipeline.State // the sink's, as it last returned it
	parts      int            // open ones
	age        string         // of the earlier run's file that stands in its place at the end
}

type splitPhase uint8

const (
	splitOpened splitPhase = iota
	splitStaged
	splitFinished
	splitPublished
)

// newFile makes the sink of a connection's file. It touches nothing yet.
func (s *splitSink) newFile(connection int) (*splitFile, error) {
	m, d := *s.spec.Manifest, *s.spec.Destination
	c := &m.Connections[connection]
	m.Connections = m.Connections[connection : connection+1 : connection+1]
	if !s.dataset {
		m.Schemas = nil // of a file that all share
	}
	d.Path, d.Files = d.Files[connection], nil
	sink, err := s.single(pipeline.SinkSpec{Manifest: &m, Destination: &d, StoreID: s.spec.StoreID, Home: s.spec.Home, Log: s.spec.Log.With("connection", c.ID)})
	return &splitFile{connection: connection, sink: sink}, err
}

// rest gives up the file's handles, unless parts are being written.
func (f *splitFile) rest() error {
	if f.parts > 0 {
		return nil
	}
	return f.sink.Close()
}

// recover claims the file, and takes up what the last record said of it.
func (f *splitFile) recover(ctx context.Context, fence pipeline.Fence, parts []pipeline.PartState) error {
	found, err := f.sink.Recover(ctx, fence, f.state, parts)
	f.state = found.State
	return err
}

// stage brings a part into the file; final makes its last form.
func (f *splitFile) stage(ctx context.Context, parts []pipeline.Part, final *pipeline.Report) error {
	staged, err := f.sink.Stage(ctx, parts, 1, final)
	f.state = staged.State
	return err
}

// finish makes the final form.
func (f *splitFile) finish(ctx context.Context, r *pipeline.Report) (err error) {
	if err = f.stage(ctx, nil, f.report(r, pipeline.RecordFinishing)); err != nil {
		return err
	}
	f.phase = splitFinished
	return f.rest()
}

// releaseFinal makes it public. Without insist that is tried once; a program that holds the file has it wait in its
// phase.
func (f *splitFile) releaseFinal(ctx context.Context, r *pipeline.Report, insist bool) error {
	own, err := f.sink.reported(f.report(r, pipeline.RecordFinished))
	if err != nil {
		return err
	}
	public, err := f.sink.artifact.PublishFinal(ctx, own, insist)
	if err != nil || !public {
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
func each[F any](files []F, do func(F) error) error {
	var g errgroup.Group
	g.SetLimit(splitParallel)
	for _, f := range files {
		g.Go(func() error { return do(f) })
	}
	return g.Wait()
}
