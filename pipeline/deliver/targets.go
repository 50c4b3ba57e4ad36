package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// probePatience bounds the look at one target: what does not answer by then is waited for while rows come.
const probePatience = 30 * time.Second

// Targets are where destinations lead to.
type Targets struct {
	Sinks   map[string]*pipeline.SinkKind
	StoreID string
	// Writes are the types that this process writes: it looks at no others. nil is all.
	Writes []string
}

// Probe looks whether a destination can be reached and written, as its kind does. It changes nothing. The error
// has no secret in it, and names the destination.
func (t *Targets) Probe(ctx context.Context, log *slog.Logger, def *spec.Definition, m *pipeline.Manifest, d *pipeline.ManifestDestination) error {
	kind := t.Sinks[d.Type]
	if kind == nil || kind.Probe == nil || t.Writes != nil && !slices.Contains(t.Writes, kind.Name) {
		return nil
	}
	if err := pipeline.LacksReferences(d.Options, kind.Options, def.Expand); err != nil { // it is for others to write
		log.Warn(fmt.Sprintf("destination %s (%s) is not looked at here before the run begins: %v", d.ID, d.Where(), err))
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	spec, secrets := pipeline.SinkSpec{Manifest: m, Destination: d, StoreID: t.StoreID, Log: log, Expand: def.Expand}.Masking()
	if err := kind.Probe(ctx, spec); err != nil {
		return fmt.Errorf("destination %s (%s): %w", d.ID, d.Where(), secrets.Error(err))
	}
	return nil
}
