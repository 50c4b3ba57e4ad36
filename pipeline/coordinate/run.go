package coordinate

import (
	"context"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// run is one execution, as its owner holds it.
type run struct {
	c       *Coordinator
	def     *spec.Definition
	job     *pipeline.Job
	m       *pipeline.Manifest
	doc     *checkpoint.Document[checkpoint.RunRecord]
	log     pipeline.RowLog
	fixed   checkpoint.RunRecord            // as the run was begun or resumed; doc belongs to the supervisor's goroutine
	asker   string                          // the id of the trigger that asked for it
	wanted  []string                        // ids of the connections to ask, in job order
	suspect map[string]checkpoint.Suspicion // those of them that may be what ends processes
	span    *pipeline.RunSpan               // of this incarnation; nil where nothing traces it
	homes   []filesAt                       // of a new run: files that were nowhere before
	// What was under way when it was adopted; nil of a run that this process has begun or resumed.
	handover *handover
}

// putSpec writes the specification that the records of the run are opened for. It comes before the run's record: until
// that names its incarnation nobody reads it, and who resumes the run in this one's place writes over it.
func (r *run) putSpec(ctx context.Context, o checkpoint.Opened) error {
	if r.def.Stored != nil {
		return r.def.Stored.Traced(r.span).StoreAgain(ctx, r.c.Stores.Runs, r.m.Run, o.Incarnation, o.Epoch)
	}
	s, err := spec.New(r.job, r.m, r.c.Holds)
	if err != nil {
		return err
	}
	return s.Traced(r.span).Store(ctx, r.c.Stores.Runs, r.m.Run, o.Incarnation, o.Epoch)
}

func (r *run) putManifest(ctx context.Context) error {
	return checkpoint.StoreManifest(ctx, r.c.Stores.Runs, r.m, r.c.optionsOf)
}
