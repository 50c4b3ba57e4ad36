package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"fanmill/pipeline"
)

// gate lets through, of all frames of one connection, exactly those of one attempt in their order. What was stored
// twice, and what a fenced publisher still sends, is dropped; what is missing stops the delivery.
type gate struct {
	settled bool   // its eof was verified: whatever follows is dropped
	failed  bool   // given up, or turned away by this destination
	attempt int    // the one let through; 0 before the first
	min     int    // attempts below are dropped
	last    uint64 // number of the last frame let through
}

type verdict int

const (
	drop  verdict = iota
	begin         // the open frame of a higher attempt
	next          // the next frame of the attempt
	giveUp
)

// judge says what to do with a frame.
func (g *gate) judge(f *pipeline.Frame) (verdict, error) {
	switch {
	case g.settled, f.Attempt < g.min, f.Attempt < g.attempt:
		return drop, nil
	case f.Kind == pipeline.FrameFailed:
		return giveUp, nil
	case f.Attempt > g.attempt:
		if f.Kind != pipeline.FrameOpen || f.Number != 0 {
			return drop, fmt.Errorf("connection %s: attempt %d begins with frame %d (%s): %w", f.Connection, f.Attempt, f.Number, f.Kind, pipeline.ErrGap)
		}
		return begin, nil
	case f.Number <= g.last:
		return drop, nil
	case f.Number != g.last+1:
		return drop, fmt.Errorf("connection %s: attempt %d: frame %d follows frame %d: %w", f.Connection, f.Attempt, f.Number, g.last, pipeline.ErrGap)
	}
	return next, nil
}

// route brings a frame to its part.
func (v *delivery) route(ctx context.Context, f *pipeline.Frame) error {
	if f.Fragments > 1 {
		if err := v.makeRoom(ctx, f); err != nil {
			return err
		}
	}
	v.pos = f.Seq
	if f.Kind != pipeline.FramePassed {
		v.volatile += int64(len(f.Body)) + frameOverhead
	}
	if f.Kind == pipeline.FrameFence || f.Kind == pipeline.FramePassed {
		return nil
	}
	i, ok := v.index[f.Connection]
	if !ok || f.Kind == pipeline.FrameForeign {
		if !v.strange {
			v.strange = true
			v.log.Warn(fmt.Sprintf("another program has published to the row log, on %s: what it publishes there is passed over", pipeline.TopicRows(v.m.Run, f.Connection)))
		}
		return nil
	}
	g := &v.gates[i]
	what, err := g.judge(f)
	if err != nil || what == drop {
		return err
	}
	switch what {
	case giveUp:
		return v.fail(i, f)
	case begin:
		return v.begin(ctx, i, f)
	}
	p := v.open[i]
	g.last = f.Number
	if reason := p.rejected(); reason != "" {
		v.reject(i, p, reason)
		return nil
	}
	if f.Kind == pipeline.FrameEOF {
		return v.settle(i, p, f)
	}
	err = p.take(ctx, f)
	var turned *pipeline.RejectError
	if errors.As(err, &turned) {
		v.reject(i, p, turned.Reason)
		return nil
	}
	if err != nil {
		return fmt.Errorf("connection %s: %w", f.Connection, err)
	}
	return nil
}

// begin opens the part of a new attempt in place of a lower one's.
func (v *delivery) begin(ctx context.Context, i int, f *pipeline.Frame) error {
	g := &v.gates[i]
	v.discard(i)
	if g.failed {
		v.reopened[i] = true
		delete(v.failed, i)
	}
	*g = gate{attempt: f.Attempt, min: f.Attempt}
	var o pipeline.Opening
	if err := json.Unmarshal(f.Body, &o); err != nil {
		return pipeline.Permanent(fmt.Errorf("connection %s: open frame: %w", f.Connection, err))
	}
	if want := len(v.m.Connections[i].Queries); len(o.Queries) != want {
		return pipeline.Permanent(fmt.Errorf("connection %s: open frame describes %d queries, the run has %d", f.Connection, len(o.Queries), want))
	}
	if reason := v.drifts(&o); reason != "" {
		v.refuse(i, pipeline.Refusal{Attempt: f.Attempt, Attempts: f.Attempt, Rejected: true}, reason)
		return nil
	}
	id := pipeline.PartID{Connection: i, Attempt: f.Attempt}
	part, err := v.openPart(ctx, id, &o, nil)
	var turned *pipeline.RejectError
	if errors.As(err, &turned) {
		v.refuse(i, pipeline.Refusal{Attempt: f.Attempt, Attempts: f.Attempt, Rejected: true}, turned.Reason)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open part of %s: %w", f.Connection, err)
	}
	p := v.newPart(ctx, id, o, part)
	p.firstVolatile = f.Seq
	v.open[i] = p
	return nil
}

// drifts says why a connection is left out by the job's onDrift; "" if it is not. Where that is fail, the others have
// been compared: it is one that could not be reached then.
func (v *delivery) drifts(o *pipeline.Opening) string {
	if v.m.OnDrift != pipeline.DriftSkip && v.m.OnDrift != pipeline.DriftFail || !v.oneSchema {
		return ""
	}
	for q := range v.m.Schemas {
		if !v.takes(q) || q >= len(o.Queries) || len(v.m.Schemas[q].Columns) == 0 {
			continue
		}
		if differs := v.m.Schemas[q].Differs(o.Queries[q].Columns); differs != "" {
			return "left out, as the job's onDrift says " + v.m.OnDrift + ": " + differs
		}
	}
	return ""
}

// settle verifies that a part has all its rows. The next commit stages it.
func (v *delivery) settle(i int, p *openPart, f *pipeline.Frame) error {
	var end pipeline.Ending
	if err := json.Unmarshal(f.Body, &end); err != nil {
		return pipeline.Permanent(fmt.Errorf("connection %s: eof frame: %w", f.Connection, err))
	}
	if err := p.verify(&end); err != nil { // nobody else's rows are worse for it
		v.reject(i, p, fmt.Sprintf("attempt %d: the rows do not add up: %v", f.Attempt, err))
		return nil
	}
	v.gates[i].settled = true
	p.ending = end
	delete(v.open, i)
	v.ready = append(v.ready, p)
	return nil
}

// fail records that the coordinator gave the connection up.
func (v *delivery) fail(i int, f *pipeline.Frame) error {
	var why pipeline.Failure
	if err := json.Unmarshal(f.Body, &why); err != nil {
		return pipeline.Permanent(fmt.Errorf("connection %s: failed frame: %w", f.Connection, err))
	}
	v.discard(i)
	v.refuse(i, pipeline.Refusal{Attempt: f.Attempt, Attempts: why.Attempts, Millis: why.Millis}, why.Error)
	return nil
}

// reject turns away a connection whose rows this destination cannot hold.
func (v *delivery) reject(i int, p *openPart, reason string) {
	v.discard(i)
	v.refuse(i, pipeline.Refusal{Attempt: p.id.Attempt, Attempts: p.id.Attempt, Rejected: true}, reason)
}

func (v *delivery) refuse(i int, r pipeline.Refusal, reason string) {
	v.gates[i] = gate{failed: true, attempt: r.Attempt, min: r.Attempt + 1}
	v.failed[i] = r
	v.setReason(v.m.Connections[i].ID, reason)
	delete(v.reopened, i)
}

// discard takes the open part of a connection out. Its files go once a record no longer references them.
func (v *delivery) discard(i int) {
	if p := v.open[i]; p != nil {
		delete(v.open, i)
		v.trash = append(v.trash, p)
	}
}
