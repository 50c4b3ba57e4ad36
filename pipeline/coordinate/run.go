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
	leftOut []leftOut
}

// leftOut is a connection that some destination lacks and that is not asked this time.
type leftOut struct {
	id  string
	doc *checkpoint.Document[checkpoint.ConnRecord]
}

func (r *run) putManifest(ctx context.Context) error {
	return checkpoint.StoreManifest(ctx, r.c.Stores.Runs, r.m, r.c.optionsOf)
}
