package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// loop is one claim's life, as the loop of a destination lives it: from the claim to the end of the run, or to the
// first error. See pipeline/commit.go.
type loop struct {
	*world
	spec   pipeline.SinkSpec
	sink   pipeline.Sink
	token  string
	folder string                // of the claim, of a spooled destination
	parts  map[int]pipeline.Part // written, or being written, and not staged
	trash  []pipeline.Part       // replaced; the record may still name them
	round  int
}

// claim makes a sink for the next claim of the record.
func (w *world) claim() (*loop, error) {
	w.cas(func(r *record) { r.Epoch++ })
	l := &loop{world: w, spec: w.spec(), token: fmt.Sprint("token", w.record.Epoch), parts: map[int]pipeline.Part{}}
	l.spec.Nonce = l.token
	var err error
	l.sink, err = w.subject.Kind.New(l.spec)
	return l, err
}

// deliver drives a sink from the claim to the end of the run.
func (w *world) deliver(ctx context.Context) error {
	if w.record.State == pipeline.RecordFinished {
		return nil
	}
	l, err := w.claim()
	if err != nil {
		return err
	}
	err = l.run(ctx)
	for _, p := range l.parts {
		if l.spooled() {
			err = errors.Join(err, p.Discard())
		}
	}
	return errors.Join(err, l.sink.Close())
}

func (l *loop) spooled() bool { return l.subject.Kind.Traits.Spooled }

func (l *loop) run(ctx context.Context) error {
	if err := l.recover(ctx); err != nil {
		return err
	}
	return l.rest(ctx)
}

// rest goes on after the claim.
func (l *loop) rest(ctx context.Context) error {
	if l.spooled() {
		return l.send(ctx)
	}
	if l.record.State == pipeline.RecordOpen {
		if err := l.stream(ctx); err != nil {
			return err
		}
	}
	return l.finish(ctx)
}

// errNoNonce is a claim that the next one will not find.
var errNoNonce = errors.New("it is not there")

// recover takes over what the record names.
func (l *loop) recover(ctx context.Context) error {
	fence := pipeline.Fence{Token: l.token, Epoch: l.record.Epoch, Birth: l.spec.Manifest.Birth}
	parts := l.record.Parts
	if l.spooled() {
		if err := l.takeFolder(); err != nil {
			return err
		}
		fence.Folder, fence.Grow, parts = l.folder, func(int64) {}, nil
	}
	if err := l.at("recover"); err != nil {
		return err
	}
	found, err := l.sink.Recover(ctx, fence, l.record.Artifact, parts)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if has := l.subject.Kind.HasNonce; has != nil {
		if here, err := has(l.spec, l.token); err != nil || !here {
			return fmt.Errorf("recover: the claim has left no nonce (%w)", errors.Join(err, errNoNonce))
		}
	}
	err = l.commit("claim", func(r *record) {
		r.Artifact = found.State
		l.settle(r, found.Settled)
	})
	if err != nil {
		return err
	}
	if l.spooled() {
		l.sweepFolders()
	}
	return l.release(ctx, nil, nil, false)
}

// settle notes connections as delivered.
func (l *loop) settle(r *record, settled map[int]pipeline.Settlement) {
	for i := range settled {
		if s, ok := r.Sealed[i]; ok {
			r.Settled[i] = s
			delete(r.Sealed, i)
		}
	}
}

// release calls Release, and notes what must be seen from then on.
func (l *loop) release(ctx context.Context, next []pipeline.WireRequest, r *pipeline.Report, insist bool) error {
	if err := l.at("release"); err != nil {
		return err
	}
	times := 1
	if l.twice && next == nil {
		times = 2
	}
	for range times {
		released, err := l.sink.Release(ctx, next, r, insist)
		if err := l.apply(&released); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	l.cas(func(r *record) {
		r.Shown = r.Shown[:0]
		for i := range r.Settled {
			r.Shown = append(r.Shown, i)
		}
	})
	return l.at("released")
}

// stream writes rows as they come.
func (l *loop) stream(ctx context.Context) error {
	from := map[int][]int64{}
	for _, p := range l.record.Parts {
		part, err := l.sink.Open(ctx, p.PartID, &p.Open, &p, nil)
		if err != nil {
			return fmt.Errorf("open again: %w", err)
		}
		l.parts[p.Connection], from[p.Connection] = part, p.Rows
	}
	for _, group := range l.plan.groups[l.record.Run] {
		var open []int
		for _, i := range group {
			if _, settled := l.record.Settled[i]; !settled {
				open = append(open, i)
			}
		}
		if len(open) == 0 {
			continue
		}
		if err := l.group(ctx, open, from); err != nil {
			return err
		}
	}
	return nil
}

// group writes some connections, cut in their middle, and commits them.
func (l *loop) group(ctx context.Context, group []int, from map[int][]int64) error {
	var cut []pipeline.PartState
	for _, i := range group {
		if l.parts[i] == nil {
			if err := l.begin(ctx, i); err != nil {
				return err
			}
			if err := l.append(ctx, l.parts[i], i, nil, 1); err != nil {
				return err
			}
			from[i] = l.firstBatch(i)
		}
		state, err := l.parts[i].Save(ctx)
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		id := pipeline.PartID{Connection: i, Attempt: l.record.Attempts[i]}
		cut = append(cut, pipeline.PartState{PartID: id, Rows: from[i], State: state, Open: *l.opening()})
	}
	if err := l.commit("cut", func(r *record) { r.Parts = cut }); err != nil {
		return err
	}
	for _, p := range l.trash {
		if err := p.Discard(); err != nil {
			return fmt.Errorf("discard: %w", err)
		}
	}
	l.trash = nil
	for _, i := range group {
		if err := l.append(ctx, l.parts[i], i, from[i], -1); err != nil {
			return err
		}
	}
	return l.settleGroup(ctx, group)
}

// begin opens an attempt. One that is to be replaced has written rows by then, and writes more that were under way.
func (l *loop) begin(ctx context.Context, i int) error {
	if l.fenced {
		return pipeline.ErrFenced
	}
	l.cas(func(r *record) { r.Attempts[i]++ })
	part, err := l.sink.Open(ctx, pipeline.PartID{Connection: i, Attempt: l.record.Attempts[i]}, l.opening(), nil, nil)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	l.parts[i] = part
	if i != l.plan.replaced || l.record.Attempts[i] > 1 {
		return l.at("opened")
	}
	if err := l.append(ctx, part, i, nil, 1); err != nil {
		return err
	}
	l.trash = append(l.trash, part)
	if err := l.begin(ctx, i); err != nil {
		return err
	}
	return l.append(ctx, part, i, l.firstBatch(i), 1)
}

// append encodes and appends a connection's batches, at most n of them; a negative n is all.
func (l *loop) append(ctx context.Context, p pipeline.Part, i int, from []int64, n int) error {
	return l.batches(i, from, func(query int, first int64, b *columnar.Batch) error {
		if n == 0 {
			return nil
		}
		n--
		c, err := p.Encode(query, first, b)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if err := p.Append(ctx, query, c); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		return l.at("appended")
	})
}

// firstBatch is how many rows a connection's first batch has, by query.
func (l *loop) firstBatch(i int) []int64 {
	rows := make([]int64, l.queries())
	for q, all := range l.rows(i) {
		if all > 0 {
			rows[q] = min(all, batchRows)
			break
		}
	}
	return rows
}

// settleGroup is a commit: Stage, the record, Release.
func (l *loop) settleGroup(ctx context.Context, group []int) error {
	var parts []pipeline.Part
	settled := map[int]pipeline.Settlement{}
	for _, i := range group {
		said, err := l.parts[i].Finish(ctx)
		if err != nil {
			return fmt.Errorf("finish: %w", err)
		}
		parts = append(parts, l.parts[i])
		settled[i] = pipeline.Settlement{Rows: l.rows(i), Attempt: l.record.Attempts[i], Attempts: 1, Losses: said.Losses, Notes: said.Notes}
	}
	if err := l.at("stage"); err != nil {
		return err
	}
	staged, err := l.sink.Stage(ctx, parts, 1, nil)
	if err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	err = l.commit("stage", func(r *record) {
		r.Artifact = staged.State
		for i, s := range settled {
			r.Settled[i] = s
		}
		r.Parts = slices.DeleteFunc(r.Parts, func(p pipeline.PartState) bool { return slices.Contains(group, p.Connection) })
	})
	if err != nil {
		return err
	}
	for _, i := range group {
		delete(l.parts, i)
	}
	return l.release(ctx, nil, l.reportOf(pipeline.RecordOpen), false)
}

func (l *loop) reportOf(state pipeline.RecordState) *pipeline.Report {
	return l.report(l.spec.Manifest, l.spec.Destination, state)
}

// finish makes the last form, records and releases it.
func (l *loop) finish(ctx context.Context) error {
	if err := l.commit("finishing", func(r *record) { r.State = pipeline.RecordFinishing }); err != nil {
		return err
	}
	some := len(l.record.Settled) > 0
	if some {
		if err := l.at("final stage"); err != nil {
			return err
		}
		times := 1
		if l.twice {
			times = 2
		}
		for range times {
			staged, err := l.sink.Stage(ctx, nil, 1, l.reportOf(pipeline.RecordFinishing))
			if err != nil {
				return fmt.Errorf("final stage: %w", err)
			}
			if err := l.commit("final stage", func(r *record) { r.Artifact = staged.State }); err != nil {
				return err
			}
		}
	}
	if err := l.release(ctx, nil, l.reportOf(pipeline.RecordFinished), some); err != nil {
		return err
	}
	return l.commit("finished", func(r *record) { r.State = pipeline.RecordFinished })
}
