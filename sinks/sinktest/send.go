package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// errOwing ends a run that has something left which the target does not take.
var errOwing = errors.New("something is owed")

// maxTries is how often a call is repeated that met trouble of the moment.
const maxTries = 20

// send is the loop of a spooled destination: seal, write, stage, release. See pipeline/sender.go.
func (l *loop) send(ctx context.Context) error {
	kind := l.subject.Kind
	atEnd := kind.AtEnd != nil && kind.AtEnd(l.spec.Destination)
	l.round = max(1, l.record.Outbox.finals())
	if l.record.Outbox.finals() > 0 && (len(l.unallocated()) > 0 || l.record.State != pipeline.RecordFinishing) {
		l.round++
	}
	for k, group := range l.plan.groups[l.record.Run] {
		if err := l.seal(group); err != nil {
			return err
		}
		if atEnd {
			continue
		}
		if err := l.part(ctx, k+1); err != nil {
			return err
		}
	}
	if err := l.compose(ctx); err != nil {
		return err
	}
	return l.last(ctx)
}

// seal notes that the rows of a group are safe.
func (l *loop) seal(group []int) error {
	sealed := map[int]pipeline.Settlement{}
	for _, i := range group {
		_, is := l.record.Sealed[i]
		if _, settled := l.record.Settled[i]; !is && !settled {
			sealed[i] = pipeline.Settlement{Rows: l.rows(i), Attempt: 1, Attempts: 1}
		}
	}
	if len(sealed) == 0 {
		return nil
	}
	return l.commit("seal", func(r *record) { maps.Copy(r.Sealed, sealed) })
}

// part brings what is sealed into the target, without a last form. The group that follows is sealed meanwhile: after a
// crash requests are staged while others wait.
func (l *loop) part(ctx context.Context, next int) error {
	if err := l.compose(ctx); err != nil {
		return err
	}
	if len(l.parts) > 0 {
		if err := l.stage(ctx, nil); err != nil {
			return err
		}
	}
	if groups := l.plan.groups[l.record.Run]; next < len(groups) {
		if err := l.seal(groups[next]); err != nil {
			return err
		}
	}
	return l.drain(ctx, l.reportOf(pipeline.RecordOpen), false)
}

// last makes the round's last form.
func (l *loop) last(ctx context.Context) error {
	if err := l.commit("finishing", func(r *record) { r.State = pipeline.RecordFinishing }); err != nil {
		return err
	}
	if l.needsFinal() {
		if err := l.stage(ctx, l.reportOf(pipeline.RecordFinishing)); err != nil {
			return err
		}
	}
	if err := l.drain(ctx, l.reportOf(pipeline.RecordFinishing), false); err != nil {
		return err
	}
	if err := l.drain(ctx, l.reportOf(pipeline.RecordFinished), true); err != nil {
		return err
	}
	if len(l.record.Outbox.Dead) > 0 {
		return errOwing
	}
	if len(l.record.Sealed) > 0 {
		return fmt.Errorf("the sink has left %v unsent", slices.Sorted(maps.Keys(l.record.Sealed)))
	}
	return l.commit("finished", func(r *record) { r.State = pipeline.RecordFinished })
}

func (l *loop) needsFinal() bool {
	o := &l.record.Outbox
	switch {
	case len(l.record.Settled)+len(l.record.Sealed) == 0:
		return false
	case !l.subject.Kind.Traits.Requests:
		return true
	case o.finals() >= l.round:
		return false
	}
	return l.round == 1 || len(l.parts) > 0 || len(o.allocated(l.round)) > 0
}

// unallocated are the sealed connections that no staging has.
func (l *loop) unallocated() (all []int) {
	taken := l.record.Outbox.allocated(0)
	for _, i := range slices.Sorted(maps.Keys(l.record.Sealed)) {
		if !slices.Contains(taken, i) {
			all = append(all, i)
		}
	}
	return all
}

// compose writes the sealed connections into parts, side by side as the loop does.
func (l *loop) compose(ctx context.Context) error {
	var waiting []int
	for _, i := range l.unallocated() {
		if l.parts[i] == nil {
			waiting = append(waiting, i)
		}
	}
	errs := make([]error, len(waiting))
	var group sync.WaitGroup
	var failed error
	for k, i := range waiting {
		err := l.again(func() error {
			part, err := l.sink.Open(ctx, pipeline.PartID{Connection: i, Attempt: 1}, l.opening(), nil, &memory{l.world, i})
			if err == nil {
				l.parts[i] = part
			}
			return err
		})
		if err != nil {
			failed = fmt.Errorf("open: %w", err)
			break
		}
		part := l.parts[i]
		group.Go(func() {
			errs[k] = l.again(func() error { _, err := part.Finish(ctx); return err })
		})
	}
	group.Wait()
	if err := errors.Join(append(errs, failed)...); err != nil {
		return err
	}
	return l.at("composed")
}

// memory are a connection's rows.
type memory struct {
	w          *world
	connection int
}

func (m *memory) Each(ctx context.Context, take func(query int, first int64, b *columnar.Batch) error) error {
	return m.w.batches(m.connection, nil, func(query int, first int64, b *columnar.Batch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if m.w.unreadable != nil && m.w.unreadable() {
			return errUnreadable
		}
		return take(query, first, b)
	})
}

func (m *memory) Bytes() int64 { return 1 << 10 }

func (m *memory) Count() []int64 { return m.w.rows(m.connection) }

// again calls f until it succeeds, or meets other trouble than that of a moment.
func (l *loop) again(f func() error) (err error) {
	for range maxTries {
		var trouble *pipeline.Trouble
		if err = f(); !errors.As(err, &trouble) {
			return err
		}
		if trouble.Scope == pipeline.OfTarget {
			return fmt.Errorf("%w: %w", errOwing, err)
		}
	}
	return err
}

// stage hands the parts to the sink, and records what it made.
func (l *loop) stage(ctx context.Context, final *pipeline.Report) error {
	if err := l.at("stage"); err != nil {
		return err
	}
	order := slices.Sorted(maps.Keys(l.parts))
	var parts []pipeline.Part
	for _, i := range order {
		parts = append(parts, l.parts[i])
	}
	var staged pipeline.Staged
	err := l.again(func() (err error) { staged, err = l.sink.Stage(ctx, parts, l.round, final); return err })
	if err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	traits := l.subject.Kind.Traits
	if err := l.number(staged.Requests); err != nil {
		return err
	}
	taken := order
	if traits.SettlesOnRelease {
		taken = staged.Allocated
	}
	err = l.commit("stage", func(r *record) {
		r.Artifact, r.Staged = staged.State, append(r.Staged, taken...)
		if traits.Requests {
			r.Outbox.Requests = append(r.Outbox.Requests, staged.Requests...)
			r.Outbox.Stagings = append(r.Outbox.Stagings, staging{l.round, final != nil, staged.Allocated, staged.Keep})
		}
		settled := map[int]pipeline.Settlement{}
		for _, i := range taken {
			if !traits.SettlesOnRelease || traits.Requests && slices.Contains(r.Outbox.done(), i) {
				settled[i] = r.Sealed[i]
			}
		}
		l.settle(r, settled)
	})
	if err != nil {
		return err
	}
	for _, i := range taken {
		if l.parts[i] == nil {
			return fmt.Errorf("the sink has staged connection %d, which it was not given", i)
		}
		delete(l.parts, i)
	}
	return nil
}

// drain sends what is recorded, or makes it public, until nothing waits.
func (l *loop) drain(ctx context.Context, r *pipeline.Report, insist bool) error {
	parallel := 1
	if k := l.subject.Kind; k.Parallel != nil {
		parallel = max(1, k.Parallel(l.spec.Destination))
	}
	for {
		var next []pipeline.WireRequest
		err := l.again(func() error {
			next = l.record.Outbox.pending(parallel)
			for _, r := range next {
				if err := l.intact(r); err != nil {
					return err
				}
			}
			return l.release(ctx, next, r, insist)
		})
		if err != nil || len(next) == 0 {
			return err
		}
	}
}

// apply records what a release achieved.
func (l *loop) apply(released *pipeline.Released) error {
	if len(released.Rejected) > 0 {
		return fmt.Errorf("the sink has turned away %v", released.Rejected)
	}
	if len(released.Receipts)+len(released.Letters)+len(released.Settled) == 0 && released.State == nil {
		return nil
	}
	asked := len(l.record.Outbox.Requests)
	for _, r := range released.Receipts {
		if r.Number < 1 || r.Number > asked {
			return fmt.Errorf("a receipt of request %d of %d", r.Number, asked)
		}
	}
	err := l.commit("answers", func(r *record) {
		if r.Outbox.Answered == nil {
			r.Outbox.Answered, r.Outbox.Dead = map[int]bool{}, map[int]string{}
		}
		for _, receipt := range released.Receipts {
			r.Outbox.Answered[receipt.Number] = true
		}
		for _, letter := range released.Letters {
			r.Outbox.Dead[letter.Number] = letter.Error
		}
		settled := map[int]pipeline.Settlement{}
		for _, i := range r.Outbox.done() {
			settled[i] = r.Sealed[i]
		}
		maps.Copy(settled, released.Settled)
		l.settle(r, settled)
		if released.State != nil {
			r.Artifact = released.State
		}
	})
	l.dropAnswered()
	return err
}
