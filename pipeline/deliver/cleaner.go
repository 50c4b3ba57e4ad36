package deliver

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Cleaner removes what destinations keep to themselves on the disks of this process.
type Cleaner struct {
	Sinks   map[string]*pipeline.SinkKind
	StoreID string
	Owner   pipeline.Owner
	Places  *Places     // of this process
	Spool   *spool.Root // nil if there is none
	Runs    pipeline.KV
}

// Clean cleans after every destination in homes, also after one that failed: a file that a user holds open
// concerns no other. Where this process has claimed a destination, and now finds nothing of it, it was removed before:
// by a process that was killed before it could say so, by a claim of a later run, or by a user.
func (l *Cleaner) Clean(ctx context.Context, log *slog.Logger, m *pipeline.Manifest, homes map[string][]string, keepPrevious bool) (waits map[string][]string, _ error) {
	waits = map[string][]string{}
	var errs []error
	for i := range m.Destinations {
		d := &m.Destinations[i]
		claimed, ok := homes[d.ID]
		kind := l.Sinks[d.Type]
		if !ok || kind == nil {
			continue
		}
		var settled []string
		here, err := l.Places.Here(d)
		if err == nil {
			settled, err = l.cleanSink(ctx, log, kind, m, here, keepPrevious)
		} else if errors.Is(err, pipeline.ErrElsewhere) {
			err = nil
		}
		if err != nil && len(claimed) > 0 && !slices.Contains(claimed, l.Owner.Home) {
			log.Debug("a path of another host cannot be looked at here", "run", m.Run, "destination", d.ID, "error", err)
			settled, err = nil, nil
		}
		errs = append(errs, err)
		left := slices.DeleteFunc(slices.Clone(claimed), func(home string) bool { return slices.Contains(settled, home) })
		if len(left) > 0 {
			waits[d.ID] = left
		}
		failpoint.Hit("mid-tidy")
	}
	return waits, errors.Join(errs...)
}

// cleanSink cleans after a destination on the disks of this process, and returns the homes of which nothing is left.
func (l *Cleaner) cleanSink(ctx context.Context, log *slog.Logger, kind *pipeline.SinkKind, m *pipeline.Manifest, d *pipeline.ManifestDestination, keepPrevious bool) (settled []string, err error) {
	if kind.Clean != nil {
		settled, err = kind.Clean(ctx, pipeline.SinkSpec{Manifest: m, Destination: d, StoreID: l.StoreID, Home: l.Owner.Home, Log: log}, keepPrevious)
	}
	if l.Spool != nil { // of a destination of any kind: rows in pieces are there
		err = errors.Join(err, l.Spool.Remove(pipeline.Token(m.Run), pipeline.Token(d.ID)))
	}
	if kind.Traits.Spooled { // its rows are in the spool of each process, wherever the file is
		settled = nil
	}
	return append(settled, l.Owner.Home), err
}

// Forget removes what the spool of this process has of a run.
func (l *Cleaner) Forget(run string) error {
	if l.Spool == nil {
		return nil
	}
	return l.Spool.Remove(pipeline.Token(run), "")
}

// Sweep removes what is in this process's spool of runs of which the store knows nothing, and of runs that need
// nothing any more: another process, with a spool of its own, has ended a run that had rows in pieces here. The spool
// is that store's: another one's is refused. A run has its record before it has rows here.
func (l *Cleaner) Sweep(ctx context.Context) error {
	if l.Spool == nil {
		return nil
	}
	names, err := l.Spool.Runs()
	if err != nil || len(names) == 0 {
		return err
	}
	if _, err := l.Spool.Place(); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		// Claim is given Token(run), which is RunKey(run).
		doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, l.Runs, name)
		over := errors.Is(err, pipeline.ErrNoKey)
		switch {
		case err == nil:
			rec := doc.Value()
			over = rec.Over()
		// A resume may go on with one that cannot be read.
		case over, errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
			err = nil
		}
		if over {
			err = l.Spool.Remove(name, "")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
