package coordinate

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// probeTargets looks at the targets before the first database is asked. What will stay as it is ends the run here; what
// may pass is said, and the destination waits for it. Destinations that have everything, by their records, are left
// alone, and so are files on other disks than this process's; records is nil for a new run.
func (r *run) probeTargets(ctx context.Context, records []checkpoint.CommitRecord) error {
	found := make([]error, len(r.m.Destinations))
	var g errgroup.Group
	for i := range r.m.Destinations {
		d, rec := &r.m.Destinations[i], checkpoint.CommitRecord{}
		if records != nil {
			rec = records[i]
		}
		kind := r.c.Sinks[d.Type]
		files := kind != nil && kind.Traits.Target == pipeline.TargetFile
		if rec.State != pipeline.RecordFinished && !d.Shared() && (!files || rec.At(r.m, d, kind) == pipeline.HomePlace(r.c.Owner.Home)) {
			whole := *d
			whole.ID = d.Whole()
			g.Go(func() error {
				found[i] = r.c.Targets.Probe(ctx, r.c.Log, r.def, r.m, &whole)
				return nil
			})
		}
	}
	_ = g.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, err := range found {
		switch {
		case err == nil:
		case pipeline.IsPermanent(err), pipeline.TroubleOf(err).Scope == pipeline.OfTarget:
			return pipeline.Permanent(fmt.Errorf("%w; nothing was asked or written", err))
		default:
			r.c.Log.Warn(fmt.Sprintf("%v; the run begins, and this destination is tried again", err))
		}
	}
	return nil
}
