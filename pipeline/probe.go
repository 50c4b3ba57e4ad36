package pipeline

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// probePatience bounds the look at one target: what does not answer by then is waited for while rows come.
const probePatience = 30 * time.Second

// ProbeTarget looks whether a destination can be reached and written, as its kind does. It changes nothing. The error
// has no secret in it, and names the destination.
func (n *Node) ProbeTarget(ctx context.Context, def *Definition, m *Manifest, d *ManifestDestination) error {
	kind := n.Sinks[d.Type]
	if kind == nil || kind.Probe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	spec, secrets := SinkSpec{Manifest: m, Destination: d, StoreID: n.StoreID, Log: n.Log, Expand: def.Expand}.masking()
	if err := kind.Probe(ctx, spec); err != nil {
		return fmt.Errorf("destination %s (%s): %w", d.ID, d.Where(), secrets.Error(err))
	}
	return nil
}

// probeTargets looks at the targets before the first database is asked. What will stay as it is ends the run here; what
// may pass is said, and the destination waits for it. Destinations that have everything, by their records, are left
// alone; records is nil for a new run.
func (r *run) probeTargets(ctx context.Context, records []CommitRecord) error {
	found := make([]error, len(r.m.Destinations))
	var g errgroup.Group
	for i := range r.m.Destinations {
		if records == nil || records[i].State != RecordFinished {
			g.Go(func() error {
				found[i] = r.c.ProbeTarget(ctx, r.def, r.m, &r.m.Destinations[i])
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
		case IsPermanent(err), TroubleOf(err).Scope == OfTarget:
			return Permanent(fmt.Errorf("%w; nothing was asked or written", err))
		default:
			r.c.Log.Warn(fmt.Sprintf("%v; the run begins, and this destination is tried again", err))
		}
	}
	return nil
}
