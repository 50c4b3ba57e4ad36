package checkpoint

import (
	"context"
	"fmt"

	"fanmill/pipeline"
)

// PlaceNote says that a claim of a destination has left its nonce in a folder that processes offer by a name, and that
// the commit record has it. Who offers a folder of that name, too, and finds the nonce there at that moment, sees the
// same folder.
type PlaceNote struct {
	Run         string `json:"run"`
	Destination string `json:"destination"`
	Place       string `json:"place"` // the name
	Home        string `json:"home"`  // Owner.Home of the claim
	Nonce       string `json:"nonce"`
}

// PlaceNotes are the keys of all of them, in Stores.Runs. They go with their run.
const PlaceNotes = "*.place.*"

func placeNoteKey(run, destination string) string {
	return pipeline.Token(run) + ".place." + pipeline.Token(destination)
}

// NotePlace writes a note, in place of that of an earlier claim.
func NotePlace(ctx context.Context, runs pipeline.KV, n PlaceNote) error {
	data, err := EncodeRecord(n)
	if err == nil {
		_, err = runs.Put(ctx, placeNoteKey(n.Run, n.Destination), data)
	}
	if err != nil {
		return fmt.Errorf("note the place of %s: %w", n.Destination, err)
	}
	return nil
}

// ReadPlaceNote reads a note from a watch.
func ReadPlaceNote(e pipeline.KVEntry) (n PlaceNote, _ error) {
	err := DecodeRecord(e.Key, e.Value, &n)
	return n, err
}
