package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"fanmill/pipeline/columnar"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// spooledPart is an attempt's rows on their way into the spool: what a spooled destination has in place of a part of
// its own while rows come.
type spooledPart struct {
	w    *spool.Writer
	name string
}

// spoolName names the rows file of an attempt.
func spoolName(id pipeline.PartID) string {
	return fmt.Sprintf("c%06d-a%d.rows", id.Connection, id.Attempt)
}

// raw is a batch as its frame had it, or a piece of one: what a spooled part takes for a chunk.
type raw struct {
	first int64 // of a piece that is not the last, about how many bytes the batch has
	body  []byte
	more  bool
}

// openSpooled begins or continues the rows file of an attempt.
func (v *delivery) openSpooled(ctx context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState) (pipeline.Part, error) {
	name := spoolName(id)
	if from != nil {
		var at spool.Mark
		if err := json.Unmarshal(from.State, &at); err != nil {
			return nil, fmt.Errorf("the recorded part of connection %d cannot be read (%w): %w", id.Connection, err, pipeline.ErrLost)
		}
		w, err := v.spool.Continue(name, at)
		if err != nil {
			return nil, lostSpool(err)
		}
		return &spooledPart{w, name}, nil
	}
	w, err := v.spool.Create(name)
	if err != nil {
		return nil, err
	}
	if err := w.Append(ctx, spool.Block{Query: spool.OpeningBlock, Body: pipeline.JSONBody(o)}); err != nil {
		return nil, errors.Join(err, w.Remove())
	}
	return &spooledPart{w, name}, nil
}

// lostSpool marks what the spool has lost.
func lostSpool(err error) error {
	if errors.Is(err, spool.ErrDamaged) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrLost)
	}
	return err
}

func (p *spooledPart) Encode(int, int64, *columnar.Batch) (pipeline.Chunk, error) {
	return nil, pipeline.ErrSpooled
}

func (p *spooledPart) Append(ctx context.Context, query int, c pipeline.Chunk) error {
	r := c.(raw)
	return p.w.Append(ctx, spool.Block{Query: query, First: r.first, Body: r.body, More: r.more})
}

func (p *spooledPart) Save(context.Context) (pipeline.State, error) {
	at, err := p.w.Save()
	if err != nil {
		return nil, err
	}
	return json.Marshal(at)
}

func (p *spooledPart) Finish(context.Context) (pipeline.Summary, error) {
	return pipeline.Summary{}, nil
}

func (p *spooledPart) Discard() error { return p.w.Remove() }

// seal records that the rows of the ready parts are safe. From here on they are never asked again: the order is
//
//  1. The rows files are synced. A crash here leaves the parts open, as of the last cut.
//  2. The record names them as sealed, and its position moves past their eof. The log may be trimmed.
func (v *delivery) seal(ctx context.Context) (err error) {
	ready := len(v.ready)
	ctx, end := v.span(ctx, pipeline.SpanSeal)
	defer func() { end(err, slog.Int(pipeline.TraceConnections, ready)) }()
	sealed := make(map[int]pipeline.Seal, len(v.ready))
	for _, p := range v.ready {
		i := p.id.Connection
		if err := p.wait(); err != nil {
			return err
		}
		part := p.part.(*spooledPart)
		at, err := part.w.Save()
		if err != nil {
			v.trouble(err, i)
			return err
		}
		p.close()
		if err := part.w.Close(); err != nil {
			return err
		}
		sealed[i] = pipeline.Seal{Settlement: v.settlement(p), At: at}
	}
	v.ready = v.ready[:0]
	failpoint.Hit("before-seal")
	if err := v.record(ctx, func(r *checkpoint.CommitRecord) { maps.Copy(r.Sealed, sealed) }); err != nil {
		return err
	}
	failpoint.Hit("after-seal")
	v.sender.add(sealed)
	for i, s := range sealed {
		v.sealedEvent(i, s)
	}
	return nil
}

// sealedEvent tells that a connection's rows are safe.
func (v *delivery) sealedEvent(i int, s pipeline.Seal) {
	v.d.notify(v.m, pipeline.Event{Kind: pipeline.EventSealed, Destination: v.dest.ID, Connection: v.m.Connections[i].ID, Attempt: s.Attempt, Rows: v.taken(s.Rows)})
}

// settlement is what the eof says of a part that has all its rows.
func (v *delivery) settlement(p *openPart) pipeline.Settlement {
	s := pipeline.Settlement{Rows: p.handed.Rows, Attempt: p.id.Attempt, Attempts: p.ending.Attempts, Millis: p.ending.Millis}
	for q := range p.handed.Rows {
		if v.takes(q) {
			s.Notes = append(s.Notes, p.ending.Notes[q]...)
		}
	}
	for _, c := range p.ending.Controls {
		if c.Query >= 0 && c.Query < len(s.Rows) && v.takes(c.Query) {
			s.Controls = append(s.Controls, c)
		}
	}
	state := pipeline.VerifiedOf(s.Controls)
	s.Doubt = state != "" && state != pipeline.VerifiedEqual
	return s
}

// sealedRows are the rows of a sealed connection. They implement Rows.
type sealedRows struct {
	v    *delivery
	id   pipeline.PartID
	seal pipeline.Seal
}

func (r *sealedRows) Bytes() int64 { return r.seal.At.Length }

func (r *sealedRows) Count() []int64 { return slices.Clone(r.seal.Rows) }

func (r *sealedRows) Each(ctx context.Context, take func(query int, first int64, b *columnar.Batch) error) error {
	return lostSpool(r.v.spool.Each(ctx, spoolName(r.id), r.seal.At, func(b spool.Block) error {
		if b.Query == spool.OpeningBlock || !r.v.takes(b.Query) {
			return nil
		}
		batch, err := columnar.Decode(b.Body)
		if err != nil {
			return pipeline.Permanent(err)
		}
		return take(b.Query, b.First, batch)
	}))
}

// opening reads how the attempt described itself.
func (r *sealedRows) opening(ctx context.Context) (*pipeline.Opening, error) {
	var o pipeline.Opening
	found := errors.New("found")
	err := r.v.spool.Each(ctx, spoolName(r.id), r.seal.At, func(b spool.Block) error {
		if b.Query != spool.OpeningBlock {
			return fmt.Errorf("it does not begin with the opening: %w", pipeline.ErrLost)
		}
		if err := json.Unmarshal(b.Body, &o); err != nil {
			return fmt.Errorf("%w: %w", err, pipeline.ErrLost)
		}
		return found
	})
	if !errors.Is(err, found) {
		return nil, fmt.Errorf("read the opening of %s: %w", spoolName(r.id), lostSpool(err))
	}
	return &o, nil
}

// takeSpool makes the claim's folder, with everything in it that the record names. A record that names another place is
// not ours to go on with: the rows lie there.
func (v *delivery) takeSpool(rec *checkpoint.CommitRecord) error {
	if v.d.Spool == nil {
		return v.noSpool()
	}
	place, err := v.d.Spool.Place()
	if err != nil {
		return pipeline.Permanent(err)
	}
	if rec.Place != nil && rec.Place.ID != place.ID {
		return &pipeline.Owing{Reason: fmt.Sprintf("waiting for %s: the rows are on its disk; resume the run there, or bring back the folder of its spool", rec.Place.Host)}
	}
	v.place = place
	if err := v.claimFolder(); err != nil {
		return err
	}
	// All of it: what was written after the record was said by the receiver. What is gone was sent, nobody knows how
	// far.
	if err := v.spool.Copy(outboxName, -1); err != nil && (rec.Outbox > 0 || !errors.Is(err, spool.ErrDamaged)) {
		return pipeline.Permanent(fmt.Errorf("what was sent to %s is no longer known: %w; start over without --resume", v.dest.Where(), err))
	}
	if v.outbox, err = openOutbox(v.spool.Dir(), rec.Outbox); errors.Is(err, pipeline.ErrLost) {
		return pipeline.Permanent(fmt.Errorf("what was sent to %s is no longer known: %w; start over without --resume", v.dest.Where(), err))
	} else if err != nil {
		return err
	}
	if err := v.obey(rec); err != nil {
		return err
	}
	if err := v.keepRows(rec); err != nil {
		return err
	}
	if err := v.keepBodies(); err != nil {
		return err
	}
	for _, p := range rec.Parts {
		var at spool.Mark
		if err := json.Unmarshal(p.State, &at); err != nil {
			return fmt.Errorf("the recorded part of connection %d cannot be read (%w): %w", p.Connection, err, pipeline.ErrLost)
		}
		if err := v.spool.Copy(spoolName(p.PartID), at.Length); err != nil {
			return lostSpool(err)
		}
	}
	return nil
}

// claimFolder makes the claim's folder in the spool, if it has none yet.
func (v *delivery) claimFolder() error {
	if v.spool != nil {
		return nil
	}
	if v.d.Spool == nil {
		return v.noSpool()
	}
	if _, err := v.d.Spool.Place(); err != nil {
		return pipeline.Permanent(err)
	}
	rec := v.claim.Record()
	folder, err := v.d.Spool.Claim(pipeline.Token(v.m.Run), pipeline.Token(v.dest.ID), rec.Epoch, v.claim.Token())
	if errors.Is(err, spool.ErrNewer) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrFenced)
	}
	if err != nil {
		return err
	}
	v.spool = folder
	return nil
}

func (v *delivery) noSpool() error {
	return pipeline.Permanent(fmt.Errorf("destination %s: this process has no spool", v.dest.ID))
}

// keepRows takes over the rows of the sealed connections that no request has yet.
func (v *delivery) keepRows(rec *checkpoint.CommitRecord) error {
	var lost []int
	allocated := v.outbox.allocated()
	for i, s := range rec.Sealed {
		if allocated[i] {
			continue
		}
		if err := v.spool.Keep(spoolName(pipeline.PartID{Connection: i, Attempt: s.Attempt})); errors.Is(err, spool.ErrDamaged) {
			lost = append(lost, i)
		} else if err != nil {
			return err
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.Sort(lost)
	return &lostRows{connections: lost, err: fmt.Errorf("the rows of %d connections are gone from %s", len(lost), v.d.Spool.Dir)}
}

// keepBodies takes over the bytes of the requests that have no answer, and what else the sink keeps. A request whose
// bytes are gone cannot be sent any more, and is not made again: whether it arrived nobody knows.
func (v *delivery) keepBodies() error {
	for name := range v.outbox.files() {
		err := v.spool.Keep(name)
		if !errors.Is(err, spool.ErrDamaged) {
			if err != nil {
				return err
			}
			continue
		}
		var letters []outboxLine
		for _, r := range v.outbox.pending(len(v.outbox.requests)) {
			if r.File == name {
				l := &pipeline.Letter{Number: r.Number, Unknown: true, At: time.Now().UTC(), Error: fmt.Sprintf("its bytes are gone: %s is missing from the spool", name)}
				if err := v.bury(l); err != nil {
					return err
				}
				letters = append(letters, outboxLine{Letter: l})
			}
		}
		if len(letters) == 0 {
			return pipeline.Permanent(fmt.Errorf("%s keeps a file that is gone: %w; start over without --resume", v.dest.ID, err))
		}
		if err := v.outbox.write(letters...); err != nil {
			return err
		}
	}
	return nil
}

// sweepSpool removes what no record names: folders of earlier claims, and what an attempt left that did not count.
func (v *delivery) sweepSpool(rec checkpoint.CommitRecord) error {
	keep := map[string]bool{}
	if v.outbox != nil {
		keep = v.outbox.files()
		allocated := v.outbox.allocated()
		for i, s := range rec.Sealed {
			if !allocated[i] {
				keep[spoolName(pipeline.PartID{Connection: i, Attempt: s.Attempt})] = true
			}
		}
	}
	for _, p := range rec.Parts {
		keep[spoolName(p.PartID)] = true
		keep[heldName(p.PartID, p.Frame)] = true
	}
	if err := v.spool.Sweep(func(name string) bool { return keep[name] }); err != nil {
		v.log.Warn("files were left in the spool; the next claim removes them", "error", err)
	}
	return nil
}
