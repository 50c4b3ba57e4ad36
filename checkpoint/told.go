package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

const (
	// maxToldBytes bounds what is kept of one connection: servers may take no message of more than 128 KB.
	maxToldBytes = 64 << 10
	toldAtOnce   = 8 // reads or writes of such keys
)

// told is what a destination lost of a connection, what readers should know of it, and its control totals, under
// ToldKey.
type told struct {
	Losses   []pipeline.Loss    `json:"losses,omitempty"`
	Notes    []string           `json:"notes,omitempty"`
	Controls []pipeline.Control `json:"controls,omitempty"`
}

func toldOf(s *pipeline.Settlement) told { return told{s.Losses, s.Notes, s.Controls} }

func (t told) none() bool { return len(t.Losses)+len(t.Notes)+len(t.Controls) == 0 }

func (t told) equal(o told) bool {
	return slices.Equal(t.Losses, o.Losses) && slices.Equal(t.Notes, o.Notes) && slices.EqualFunc(t.Controls, o.Controls, func(a, b pipeline.Control) bool {
		return a.Query == b.Query && a.Name == b.Name && a.Error == b.Error && slices.Equal(a.Totals, b.Totals)
	})
}

// keep puts what is told into a settlement.
func (t told) keep(s *pipeline.Settlement) {
	s.Losses, s.Notes, s.Controls = t.Losses, t.Notes, t.Controls
}

// bounded is t as JSON of at most maxToldBytes. What does not fit is counted in a last note.
func (t told) bounded() (told, []byte, error) {
	data, err := EncodeRecord(t)
	for n := len(t.Losses) + len(t.Notes); err == nil && len(data) > maxToldBytes && n > 0; {
		n /= 2
		short := told{t.Losses[:min(n, len(t.Losses))], slices.Clone(t.Notes[:min(n, len(t.Notes))]), t.Controls}
		cells := int64(0)
		for _, l := range t.Losses[len(short.Losses):] {
			cells += l.Cells
		}
		short.Notes = append(short.Notes, fmt.Sprintf("and %d more losses, of %d cells, and %d more notes: there is no room for more",
			len(t.Losses)-len(short.Losses), cells, len(t.Notes)-len(short.Notes)))
		if data, err = EncodeRecord(short); err == nil && len(data) <= maxToldBytes {
			return short, data, nil
		}
	}
	return t, data, err
}

// tell writes what is new in next, beside what before says, under keys of its own. It comes before the record that
// points to it; a crash in between leaves keys that nothing points to, and that go with the run's. A key is that of an
// attempt: a claim that was lost, and tells late, writes over nothing that a later attempt has said.
func tell(ctx context.Context, kv pipeline.KV, key string, before, next *CommitRecord) error {
	known := func(i int) told {
		if s, ok := before.Settled[i]; ok {
			return toldOf(&s)
		}
		s := before.Sealed[i]
		return toldOf(&s.Settlement)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(toldAtOnce)
	one := func(i int, s *pipeline.Settlement) error {
		t := toldOf(s)
		if t.none() || t.equal(known(i)) {
			return nil
		}
		t, data, err := t.bounded()
		if err != nil {
			return pipeline.Permanent(err)
		}
		t.keep(s)
		under := ToldKey(key, i, s.Attempt)
		g.Go(func() error {
			if _, err := kv.Put(ctx, under, data); err != nil {
				return fmt.Errorf("write %s: %w", under, err)
			}
			return nil
		})
		return nil
	}
	var errs []error
	for i, s := range next.Settled {
		errs = append(errs, one(i, &s))
		next.Settled[i] = s
	}
	for i, s := range next.Sealed {
		errs = append(errs, one(i, &s.Settlement))
		next.Sealed[i] = s
	}
	return errors.Join(append(errs, g.Wait())...)
}

// recall reads what a record points to, into maps of its own.
func recall(ctx context.Context, kv pipeline.KV, key string, rec *CommitRecord) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(toldAtOnce)
	var mu sync.Mutex
	read := func(i int, s pipeline.Settlement, keep func(pipeline.Settlement)) {
		if !s.Told {
			return
		}
		g.Go(func() error {
			t, err := readTold(ctx, kv, ToldKey(key, i, s.Attempt))
			t.keep(&s)
			mu.Lock()
			defer mu.Unlock()
			keep(s)
			return err
		})
	}
	settled, sealed := maps.Clone(rec.Settled), maps.Clone(rec.Sealed)
	for i, s := range rec.Settled {
		read(i, s, func(s pipeline.Settlement) { settled[i] = s })
	}
	for i, seal := range rec.Sealed {
		read(i, seal.Settlement, func(s pipeline.Settlement) {
			seal.Settlement = s
			sealed[i] = seal
		})
	}
	rec.Settled, rec.Sealed = settled, sealed
	return g.Wait()
}

// readTold reads one key. Of one that is gone, or that another program wrote over, a note says so.
func readTold(ctx context.Context, kv pipeline.KV, key string) (t told, _ error) {
	e, err := kv.Get(ctx, key)
	if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
		return t, fmt.Errorf("read %s: %w", key, err)
	}
	if err != nil || json.Unmarshal(e.Value, &t) != nil {
		return told{Notes: []string{"what was lost is no longer known: another program has removed or written over the record " + key}}, nil
	}
	return t, nil
}
