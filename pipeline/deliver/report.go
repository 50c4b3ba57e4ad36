package deliver

import (
	"maps"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// report describes the artifact as the record has it.
func (v *delivery) report() *pipeline.Report {
	v.mu.Lock()
	reasons := maps.Clone(v.errors)
	v.mu.Unlock()
	return checkpoint.NewReport(v.m, v.dest, v.claim.Record(), reasons)
}

// finalReport describes it as finished, a moment before the record says so.
func (v *delivery) finalReport() *pipeline.Report {
	r := v.report()
	r.State = pipeline.RecordFinished
	return r
}
