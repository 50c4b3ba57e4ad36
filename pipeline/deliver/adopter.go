package deliver

import (
	"context"
	"fmt"
	"log/slog"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// Adopter makes the home of this process that of a destination's files, because a person says that they are here: they
// were moved, or the host that had them is gone for good and this one has its disk.
type Adopter struct {
	Records checkpoint.Records
	Sinks   map[string]*pipeline.SinkKind
	StoreID string
	Owner   pipeline.Owner
	Places  *Places
	Spool   *spool.Root // nil if there is none
	Log     *slog.Logger
}

// Adopt takes a destination over from a home, which is returned; "" if nothing is to be done. What the last claim has
// left must be here; the error is ErrElsewhere if it is not, and ErrHeld if a process writes the destination.
func (a *Adopter) Adopt(ctx context.Context, m *pipeline.Manifest, d *pipeline.ManifestDestination) (from string, _ error) {
	rec, err := a.Records.Load(ctx, m.Run, d.ID)
	if err != nil || rec.Home == "" || rec.Home == a.Places.Home || rec.State == pipeline.RecordAbandoned {
		return "", err
	}
	here, err := a.Places.Here(d)
	if err != nil {
		return "", err
	}
	if err := a.hasSpool(d, &rec); err != nil {
		return "", err
	}
	at := sight{kind: a.Sinks[d.Type], places: a.Places, alone: true, log: a.Log,
		spec: pipeline.SinkSpec{Manifest: m, Destination: here, StoreID: a.StoreID, Home: a.Places.Home, Log: a.Log}}
	look := func(rec *checkpoint.CommitRecord) (func(*checkpoint.CommitRecord), error) {
		_, err := at.look(rec)
		return nil, err // nothing is left here
	}
	claim, err := a.Records.Claim(ctx, m.Run, d.ID, rec.Opened.Incarnation, withToken(a.Owner), "", look)
	if err != nil {
		return "", err
	}
	if err := claim.Commit(ctx, func(r *checkpoint.CommitRecord) { r.Move(a.Places.Home) }); err != nil {
		return "", err
	}
	return rec.Home, claim.Release(ctx)
}

// hasSpool looks whether the rows that a record has in a spool are in that of this process.
func (a *Adopter) hasSpool(d *pipeline.ManifestDestination, rec *checkpoint.CommitRecord) error {
	if rec.Place == nil {
		return nil
	}
	if a.Spool != nil {
		own, err := a.Spool.Place()
		if err != nil {
			return err
		}
		if own.ID == rec.Place.ID {
			return nil
		}
	}
	return elsewhere(d, "its rows are in the spool of %s; bring that folder here first, and name it with FANMILL_SPOOL", rec.Place.Host)
}

// Text says in a line what was done.
func (a *Adopter) Text(d *pipeline.ManifestDestination, from string) string {
	return fmt.Sprintf("destination %s: %s was on %s, and is here now", d.ID, d.Where(), pipeline.HostOf(from))
}
