package deliver

import (
	"context"
	"errors"
	"fmt"

	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// heldRow is the row of which a part has taken pieces, and not the last.
type heldRow struct {
	pieces   int
	file     *spool.Writer // nil if the rows file has them, or the destination does not take the query
	name     string
	recorded bool // a record may name the file
}

// heldName names the file of the pieces that follow a frame.
func heldName(id pipeline.PartID, after uint64) string {
	return fmt.Sprintf("c%06d-a%d-f%d.row", id.Connection, id.Attempt, after+1)
}

// piece takes a frame with a piece of a row. After the last piece t is the task that has the whole row; it is nil
// before, and for a query that the destination does not take.
func (p *openPart) piece(ctx context.Context, f *pipeline.Frame) (t *task, err error) {
	if f.Fragment != p.held.pieces {
		return nil, pipeline.Permanent(fmt.Errorf("frame %d is fragment %d, expected %d", f.Number, f.Fragment, p.held.pieces))
	}
	last := f.Fragment+1 == f.Fragments
	takes := p.v.takes(f.Query)
	if takes && f.Fragment == 0 {
		if err := p.fits(f); err != nil {
			return nil, err
		}
	}
	p.held.pieces++
	about := int64(len(f.Body)) * int64(f.Fragments)
	switch {
	case !takes:
	case p.v.sender == nil:
		if err := p.keep(ctx, spool.Block{Query: f.Query, First: about, Body: f.Body, More: !last}); err != nil {
			return nil, fmt.Errorf("keep a piece of a row: %w", err)
		}
		if last {
			if t, err = p.wholeRow(f); err != nil {
				return nil, err
			}
		}
	case last:
		t = p.batch(f)
	default:
		piece := p.batch(f)
		piece.firstRow, piece.more = about, true
		if err := p.submit(ctx, piece); err != nil {
			return nil, err
		}
	}
	if last {
		p.held = heldRow{}
	}
	return t, nil
}

// fits turns away a row that the spool could never hold. Rows that it could hold one by one, and has no room for
// together, wait for each other; see keep.
func (p *openPart) fits(f *pipeline.Frame) error {
	atLeast := int64(len(f.Body)) * int64(f.Fragments-1) // all but the last are of one size
	if p.v.d.Spool == nil {
		return p.v.noSpool()
	}
	if most := p.v.d.Spool.Space.Max; most > 0 && atLeast >= most {
		return &pipeline.RejectError{Reason: fmt.Sprintf("a row takes more than the %d MB that FANMILL_SPOOL_MAX_MB allows for rows that wait; raise it", most>>20)}
	}
	return nil
}

// keep writes a piece into the file of its row. It waits for room, and the loop stops reading meanwhile. Pieces of
// several rows can take all the room and wait for each other for ever, so the wait is bounded.
func (p *openPart) keep(ctx context.Context, b spool.Block) error {
	h := &p.held
	if h.file == nil {
		if err := p.v.claimFolder(); err != nil {
			return err
		}
		var err error
		h.name = heldName(p.id, p.handed.Frame)
		if h.file, err = p.v.spool.Create(h.name); err != nil {
			return err
		}
	}
	ctx, stop := context.WithTimeoutCause(ctx, p.v.d.Timeout, pipeline.Permanent(fmt.Errorf("the spool %s has had no room for %s; raise FANMILL_SPOOL_MAX_MB, or free the disk", p.v.d.Spool.Dir, p.v.d.Timeout)))
	defer stop()
	return h.file.Append(ctx, b)
}

// wholeRow is the task of a row whose pieces are all in their file. They are read once there is room for the row in
// memory.
func (p *openPart) wholeRow(f *pipeline.Frame) (*task, error) {
	h := p.held
	at, err := h.file.End()
	if err != nil {
		return nil, err
	}
	p.spent = append(p.spent, h.name)
	t := p.batch(f)
	t.body, t.size = nil, at.Largest
	t.load = func(ctx context.Context) (body []byte, err error) {
		err = p.v.spool.Each(ctx, h.name, at, func(b spool.Block) error {
			body = b.Body // of the only batch
			return nil
		})
		return body, h.lost(err)
	}
	return t, nil
}

// lost is the error of pieces that are gone or rotten. If a record has named them the row log may not have them any
// more: the connection is asked again. Else they are read again from there.
func (h *heldRow) lost(err error) error {
	if h.recorded && errors.Is(err, spool.ErrDamaged) {
		return fmt.Errorf("pieces of a row are lost: %w: %w", err, pipeline.ErrGap)
	}
	return err
}

// saveHeld makes the pieces durable that are in a file of their own, and describes them.
func (p *openPart) saveHeld() (*pipeline.Held, error) {
	if p.held.pieces == 0 {
		return nil, nil
	}
	s := &pipeline.Held{Pieces: p.held.pieces, Chain: p.chain}
	if p.held.file == nil {
		return s, nil
	}
	p.held.recorded = true
	var err error
	s.At, err = p.held.file.Save()
	return s, err
}

// restoreHeld goes on with the pieces that the record has.
func (p *openPart) restoreHeld(s *pipeline.PartState) error {
	if s.Held == nil {
		return nil
	}
	p.chain, p.held = s.Held.Chain, heldRow{pieces: s.Held.Pieces}
	if s.Held.At.Length == 0 {
		return nil
	}
	h := &p.held
	h.name, h.recorded = heldName(s.PartID, s.Frame), true
	var err error
	h.file, err = p.v.spool.Continue(h.name, s.Held.At)
	return h.lost(err)
}

// closeHeld leaves the pieces to the next claim, which takes what is saved.
func (p *openPart) closeHeld() {
	if p.held.file != nil {
		_ = p.held.file.Close()
	}
}

// dropPieces removes what a part has kept of rows in pieces. No record names it.
func (p *openPart) dropPieces() (err error) {
	if p.held.file != nil {
		err = p.held.file.Remove()
	}
	p.held = heldRow{}
	p.v.spent = append(p.v.spent, p.spent...)
	p.spent = nil
	return err
}

// dropSpent removes files of rows that are whole in their parts. No record names them.
func (v *delivery) dropSpent() {
	for _, name := range v.spent {
		if err := v.spool.Remove(name); err != nil {
			v.log.Warn("pieces of a row were left in the spool; the next claim removes them", "error", err)
		}
	}
	v.spent = v.spent[:0]
}

// makeRoom cuts before a piece is taken for which there is no room, if that gives some back: files of rows that are
// whole by now stay until a record is written.
func (v *delivery) makeRoom(ctx context.Context, f *pipeline.Frame) error {
	spent := false
	for _, p := range v.open {
		spent = spent || len(p.spent) > 0
	}
	if !spent || v.d.Spool.Space.Room(int64(len(f.Body))+frameOverhead) {
		return nil
	}
	return v.cut(ctx)
}

// holding reports a recorded row in pieces to tests.
func (v *delivery) holding() {
	for _, p := range v.open {
		if p.held.pieces > 0 {
			failpoint.Hit("mid-row")
			return
		}
	}
}

// takeHeld takes over the pieces that the record of a destination without a spool of its own names, and removes what
// earlier claims have left beside them.
func (v *delivery) takeHeld(rec *checkpoint.CommitRecord) error {
	keep := map[string]bool{}
	for _, s := range rec.Parts {
		if s.Held != nil && s.Held.At.Length > 0 {
			keep[heldName(s.PartID, s.Frame)] = true
		}
	}
	if len(keep) == 0 && (v.d.Spool == nil || !v.d.Spool.Has(pipeline.Token(v.m.Run), pipeline.Token(v.dest.ID))) {
		return nil
	}
	if err := v.claimFolder(); err != nil {
		return err
	}
	for _, s := range rec.Parts {
		name := heldName(s.PartID, s.Frame)
		if !keep[name] {
			continue
		}
		if err := v.spool.Copy(name, s.Held.At.Length); err != nil {
			return fmt.Errorf("take over %s: %w", v.m.Connections[s.Connection].ID, (&heldRow{recorded: true}).lost(err))
		}
	}
	return nil
}
