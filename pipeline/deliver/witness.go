package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Witness finds out which homes see the same folder as this process under a name: what their claims leave there comes
// here at that moment. A copy of the folder, or another one, has nothing of it. So a process knows beforehand which
// files it may go on with should the one that writes them die.
type Witness struct {
	Places  *Places
	Runs    pipeline.KV
	Sinks   map[string]*pipeline.SinkKind
	StoreID string
	Log     *slog.Logger
	// Looked is called after each look at what another home has left, with whether it is here; nil for nobody.
	Looked func(checkpoint.PlaceNote, bool)
}

// Run watches until ctx ends. ready is called once it hears of claims; it may be nil.
func (w *Witness) Run(ctx context.Context, ready func()) {
	for ctx.Err() == nil {
		if err := w.watch(ctx, &ready); err != nil && ctx.Err() == nil {
			w.Log.Warn("what other processes leave in the folders that this one offers cannot be watched; trying again", "error", err)
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
	}
}

func (w *Witness) watch(ctx context.Context, ready *func()) error {
	ctx, cancel := context.WithCancel(ctx)
	notes, err := w.Runs.Watch(ctx, checkpoint.PlaceNotes)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range notes { // the store closes it
		}
	}()
	present := true // until all that was there before is through: that proves nothing, as a copy has it, too
	for e := range notes {
		switch {
		case e.Key == "":
			if present = false; *ready != nil {
				(*ready)()
				*ready = nil
			}
		case present || e.Deleted:
		default:
			if err := w.noted(ctx, e); err != nil {
				w.Log.Debug("the place of a destination was not looked at", "key", e.Key, "error", err)
			}
		}
	}
	return pipeline.WatchEnded(ctx, "places")
}

// noted looks for what another home has just left.
func (w *Witness) noted(ctx context.Context, e pipeline.KVEntry) error {
	n, err := checkpoint.ReadPlaceNote(e)
	if err != nil || n.Home == w.Places.Home || w.Places.Folders[n.Place] == "" {
		return err
	}
	m, err := checkpoint.LoadManifest(ctx, w.Runs, n.Run)
	if err != nil {
		return err
	}
	d := m.Destination(n.Destination)
	if d == nil || w.Sinks[d.Type] == nil || w.Sinks[d.Type].HasNonce == nil {
		return nil
	}
	here, err := w.Places.Here(d)
	if err != nil {
		return err
	}
	seen, err := w.Sinks[d.Type].HasNonce(pipeline.SinkSpec{Manifest: m, Destination: here, StoreID: w.StoreID, Home: w.Places.Home, Log: w.Log}, n.Nonce)
	if err != nil {
		return err
	}
	w.Places.saw(n.Place, n.Home, seen)
	if w.Looked != nil {
		w.Looked(n, seen)
	}
	if !seen {
		w.Log.Warn(fmt.Sprintf("place %s of this process is another folder than that of %s, which has just written there; files of the one are not gone on with in the other. Give each folder a name of its own", n.Place, pipeline.HostOf(n.Home)),
			"folder", w.Places.Folders[n.Place])
	}
	return nil
}
