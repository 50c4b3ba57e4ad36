package deliver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// compose writes the sealed connections into parts, several at a time. One that is turned away is given up here: this
// is the last place for that.
func (s *sender) compose(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	var spoiled []pipeline.Part
	refused := map[int]string{}
	made := map[int]*composed{}
	var failed error
	for _, i := range s.waiting() {
		c, err := s.openPart(ctx, i)
		var turned *pipeline.RejectError
		if errors.As(err, &turned) {
			refused[i] = turned.Reason
			continue
		}
		if err != nil {
			failed = err
			break
		}
		g.Go(func() error {
			err := s.fill(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made[i] = c
				return nil
			}
			spoiled = append(spoiled, c.part)
			if turned := (*pipeline.RejectError)(nil); errors.As(err, &turned) {
				refused[i] = turned.Reason
				return nil
			}
			return err
		})
	}
	err := errors.Join(g.Wait(), failed)
	for _, part := range spoiled { // not at once: that is the sink's own goroutine
		err = errors.Join(err, part.Discard())
	}
	maps.Copy(s.parts, made)
	s.mu.Lock()
	for i := range made {
		delete(s.sealed, i)
	}
	s.mu.Unlock()
	return errors.Join(err, s.refuse(ctx, refused))
}

// openPart opens the part of a sealed connection.
func (s *sender) openPart(ctx context.Context, i int) (*composed, error) {
	s.mu.Lock()
	seal := s.sealed[i]
	s.mu.Unlock()
	rows := &sealedRows{v: s.v, id: pipeline.PartID{Connection: i, Attempt: seal.Attempt}, seal: seal}
	o, err := rows.opening(ctx)
	if errors.Is(err, pipeline.ErrLost) {
		return nil, &lostRows{connections: []int{i}, err: err}
	}
	if err != nil {
		return nil, err
	}
	part, err := s.v.sink.Open(ctx, rows.id, o, nil, rows)
	if err != nil {
		return nil, err
	}
	return &composed{id: rows.id, seal: seal, part: part, bytes: seal.At.Length}, nil
}

// fill writes a connection's rows into its part.
func (s *sender) fill(ctx context.Context, c *composed) error {
	takes := max(s.traits.WorkingSet, maxTaskWeight, weight(c.seal.At.Largest))
	give, err := s.v.d.Budget.Sinks.TakeOr(ctx, takes, s.own)
	if err != nil {
		return err
	}
	defer give()
	summary, err := c.part.Finish(ctx)
	if errors.Is(err, pipeline.ErrLost) {
		return &lostRows{connections: []int{c.id.Connection}, err: err}
	}
	if err != nil {
		return fmt.Errorf("write rows of %s: %w", s.v.m.Connections[c.id.Connection].ID, err)
	}
	c.seal.Losses = summary.Losses
	c.note(summary.Notes)
	return nil
}

// note adds notes to those of the connection. What is staged again after a crash has them already.
func (c *composed) note(notes []string) {
	c.seal.Notes = slices.Clip(c.seal.Notes)
	for _, n := range notes {
		if !slices.Contains(c.seal.Notes, n) {
			c.seal.Notes = append(c.seal.Notes, n)
		}
	}
}

// lostRows are sealed connections whose rows are gone, and which were not sent: they are asked again.
type lostRows struct {
	connections []int
	err         error
}

func (l *lostRows) Error() string   { return l.err.Error() }
func (l *lostRows) Unwrap() []error { return []error{l.err, pipeline.ErrLost} }

// lostConnections are those whose rows an error says are gone; none if it names none.
func lostConnections(err error) []int {
	var lost *lostRows
	if errors.As(err, &lost) {
		return lost.connections
	}
	return nil
}

// refuse records that connections were turned away. Their rows go.
func (s *sender) refuse(ctx context.Context, reasons map[int]string) error {
	if len(reasons) == 0 {
		return nil
	}
	seals, recorded := map[int]pipeline.Seal{}, s.v.claim.Record().Sealed
	s.mu.Lock()
	for i := range reasons {
		if _, ok := recorded[i]; ok {
			seals[i] = recorded[i]
		}
		delete(s.sealed, i)
	}
	s.mu.Unlock()
	for i := range seals {
		why := reasons[i]
		id := s.v.m.Connections[i].ID
		s.v.setReason(id, why)
		if err := s.v.d.Records.SetError(ctx, s.v.m.Run, s.v.dest.ID, id, pipeline.ShortError(errors.New(why))); err != nil {
			return err
		}
	}
	err := s.commit(ctx, func(r *checkpoint.CommitRecord) { r.Refuse(slices.Collect(maps.Keys(seals))) })
	if err != nil {
		return err
	}
	for i, seal := range seals {
		s.dropRows(pipeline.PartID{Connection: i, Attempt: seal.Attempt})
		delete(s.shown, i)
		s.v.d.notify(s.v.m, pipeline.Event{Kind: pipeline.EventRejected, Destination: s.v.dest.ID, Connection: s.v.m.Connections[i].ID, Attempt: seal.Attempt, Error: reasons[i]})
	}
	return nil
}
