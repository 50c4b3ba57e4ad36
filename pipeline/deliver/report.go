package deliver

import (
	"context"
	"maps"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// report describes the artifact as the record has it.
func (v *delivery) report() *pipeline.Report {
	v.mu.Lock()
	reasons := maps.Clone(v.errors)
	v.mu.Unlock()
	dest, rec := *v.dest, v.claim.Record()
	if v.dest.Closes() {
		dest.ID = v.dest.Whole()
		rec = checkpoint.Whole(v.m, dest.ID, v.records())
	}
	r := checkpoint.NewReport(v.m, &dest, rec, reasons)
	r.Compare(v.before, v.m.Alert)
	return r
}

// finalReport describes it as finished, a moment before the record says so.
func (v *delivery) finalReport() *pipeline.Report {
	r := v.report()
	r.State = pipeline.RecordFinished
	return r
}

// lookBefore reads what the connections delivered the last time, for the report alone.
func (v *delivery) lookBefore(ctx context.Context) {
	var err error
	if v.before, err = checkpoint.LoadBefore(ctx, v.d.Runs, v.m.Run); err != nil && ctx.Err() == nil {
		v.log.Warn("what was delivered the last time could not be read; the report says nothing of it", "error", err)
	}
}
