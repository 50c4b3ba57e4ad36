package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// How many earlier runs a manifest names: so many whatever became of their files, as a claim that was cut short leaves
// those of a run that count as removed; and so many at most.
const (
	nameEarlier = 16
	maxEarlier  = 64
)

// earlier is what a run needs to know of those before it, the newest of which is given; nil for none. A later run
// knows what that one knew, but for what was removed since wherever it lay.
func (n *Coordinator) earlier(ctx context.Context, newest *checkpoint.Document[checkpoint.RunRecord]) ([]pipeline.EarlierRun, error) {
	if newest == nil {
		return nil, nil
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(newest))
	switch {
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey): // what was before it nobody knows
		m = &pipeline.Manifest{}
	case err != nil:
		return nil, err
	}
	all := slices.Clone(m.Earlier)
	if s := newest.Value().State; s == pipeline.RunComplete || s == pipeline.RunAbandoned {
		all = append(all, pipeline.EarlierRun{Run: checkpoint.RunOf(newest), State: s})
	}
	for i := 0; i < len(all)-nameEarlier; {
		doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(all[i].Run))
		switch {
		case err == nil && doc.Value().Cleaned:
			all = slices.Delete(all, i, i+1)
			continue
		case err != nil && !errors.Is(err, pipeline.ErrNoKey) && !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, checkpoint.ErrLater):
			return nil, fmt.Errorf("look at earlier runs of job %s: %w", newest.Value().Job, err)
		}
		i++
	}
	return all[max(0, len(all)-maxEarlier):], nil
}

// noteEarlier adds to the manifest of a run, which no process has, what became of a run that went ahead of it. Without
// a manifest that run cannot go on anyway.
func (n *Coordinator) noteEarlier(ctx context.Context, run string, ahead *checkpoint.Document[checkpoint.RunRecord]) error {
	all, err := n.earlier(ctx, ahead)
	if err != nil || len(all) == 0 {
		return err
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range all {
		if !slices.Contains(m.Earlier, e) {
			m.Earlier = append(m.Earlier, e)
		}
	}
	m.Earlier = m.Earlier[max(0, len(m.Earlier)-maxEarlier):]
	return checkpoint.StoreManifest(ctx, n.Stores.Runs, m, n.optionsOf)
}
