package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// records implement the interface over a bucket.
type records struct{ kv pipeline.KV }

// NewRecords keeps commit records in kv.
func NewRecords(kv pipeline.KV) Records { return &records{kv} }

// Create implements Records.
func (s *records) Create(ctx context.Context, run, destination string, rec CommitRecord) error {
	_, err := CreateDocument(ctx, s.kv, RecordKey(run, destination), rec)
	if errors.Is(err, pipeline.ErrConflict) {
		return nil
	}
	return err
}

// Load implements Records.
func (s *records) Load(ctx context.Context, run, destination string) (CommitRecord, error) {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	if err != nil {
		return CommitRecord{}, err
	}
	rec := c.Value()
	return rec, s.Tell(ctx, run, destination, &rec)
}

// Tell implements Records.
func (s *records) Tell(ctx context.Context, run, destination string, rec *CommitRecord) error {
	return recall(ctx, s.kv, RecordKey(run, destination), rec)
}

// Reset implements Records. It races with the owner's own writes and wins.
func (s *records) Reset(ctx context.Context, run, destination string, change func(*CommitRecord)) error {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	if err != nil {
		return err
	}
	return c.Change(ctx, func(*CommitRecord) bool { return true }, func(r *CommitRecord) {
		epoch := r.Epoch
		*r = clone(*r)
		change(r)
		r.Free(epoch)
	})
}

// Detach implements Records.
func (s *records) Detach(ctx context.Context, run, destination string, o Opened, why string) error {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	if err != nil {
		return err
	}
	by := func(r *CommitRecord) bool { return r.Opened.By(o) }
	if rec := c.Value(); !by(&rec) {
		return pipeline.Permanent(fmt.Errorf("detach %s of run %s: %w", destination, run, pipeline.ErrFenced))
	}
	return c.Change(ctx, by, func(r *CommitRecord) {
		r.Detach(why)
		r.Free(r.Epoch)
	})
}

// Free implements Records.
func (s *records) Free(ctx context.Context, run, destination string, o Opened, token string) error {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	if err != nil {
		return err
	}
	by := func(r *CommitRecord) bool { return r.Opened.By(o) }
	rec := c.Value()
	switch {
	case !by(&rec):
		return pipeline.Permanent(fmt.Errorf("free %s of run %s: %w", destination, run, pipeline.ErrFenced))
	case rec.Token != token:
		return nil
	}
	err = c.Change(ctx, func(r *CommitRecord) bool { return by(r) && r.Token == token }, func(r *CommitRecord) { r.Free(r.Epoch) })
	if rec = c.Value(); errors.Is(err, pipeline.ErrFenced) && by(&rec) {
		return nil
	}
	return err
}

// Adopt implements Records.
func (s *records) Adopt(ctx context.Context, run, destination string, o Opened) error {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	if err != nil {
		return err
	}
	by := func(r *CommitRecord) bool { return r.Opened.By(o) }
	if rec := c.Value(); !by(&rec) {
		return pipeline.Permanent(fmt.Errorf("adopt %s of run %s: %w", destination, run, pipeline.ErrFenced))
	}
	return c.Change(ctx, by, func(r *CommitRecord) { r.Adopt(o) })
}

// Replace implements Records.
func (s *records) Replace(ctx context.Context, run, destination string, rec CommitRecord) error {
	c, err := LoadDocument[CommitRecord](ctx, s.kv, RecordKey(run, destination))
	switch {
	case err == nil:
		return fmt.Errorf("replace %s: %w", RecordKey(run, destination), pipeline.ErrConflict)
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey):
		return c.Overwrite(ctx, rec)
	}
	return err
}

// SetError implements Records.
func (s *records) SetError(ctx context.Context, run, destination, connection, text string) error {
	data, err := EncodeRecord(connectionError{Connection: connection, Error: text})
	if err != nil {
		return err
	}
	_, err = s.kv.Put(ctx, ErrorKey(run, destination, connection), data)
	return err
}

type connectionError struct {
	Connection string `json:"connection"`
	Error      string `json:"error"`
}

// Errors implements Records.
func (s *records) Errors(ctx context.Context, run, destination string) (map[string]string, error) {
	prefix := RecordKey(run, destination) + ".error."
	keys, err := s.kv.Keys(ctx, prefix+"*")
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(keys))
	for _, k := range keys {
		e, err := s.kv.Get(ctx, k)
		if errors.Is(err, pipeline.ErrNoKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var ce connectionError
		if json.Unmarshal(e.Value, &ce) != nil || ce.Connection == "" {
			id, _ := strings.CutPrefix(k, prefix)
			ce = connectionError{pipeline.Untoken(id), "the reason is no longer known: another program has written over the record " + k}
		}
		out[ce.Connection] = ce.Error
	}
	return out, nil
}

// Remove implements Records.
func (s *records) Remove(ctx context.Context, run string) error {
	return s.kv.RemoveAll(ctx, RunKey(run)+".>")
}

// Watch implements Records.
func (s *records) Watch(ctx context.Context, run string) (<-chan RecordUpdate, error) {
	prefix := RecordKey(run, "")
	prefix = prefix[:strings.LastIndexByte(prefix, '.')+1]
	entries, err := s.kv.Watch(ctx, prefix+"*")
	if err != nil {
		return nil, err
	}
	out := make(chan RecordUpdate)
	go func() {
		defer close(out)
		for e := range entries {
			if e.Key == "" {
				continue
			}
			u := RecordUpdate{Destination: strings.TrimPrefix(e.Key, prefix)}
			u.Record, u.Err = ReadCommitRecord(e)
			select {
			case out <- u:
			case <-ctx.Done():
				for range entries { // the store closes it
				}
				return
			}
		}
	}()
	return out, nil
}

// standbyStep is how often a waiting claimer looks for a sign of life.
const standbyStep = 500 * time.Millisecond

// Claim implements Records.
func (s *records) Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string, look Look) (Claim, error) {
	key := RecordKey(run, destination)
	doc, err := LoadDocument[CommitRecord](ctx, s.kv, key)
	if err == nil {
		err = doc.Value().Opened.Admits(incarnation)
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s of run %s: %w", destination, run, err)
	}
	if look == nil {
		look = func(*CommitRecord) (func(*CommitRecord), error) { return nil, nil }
	}
	if rec := doc.Value(); rec.Token != "" && rec.Token != previous {
		if _, err := look(&rec); err != nil {
			return nil, err
		}
		if err := standby(ctx, doc); err != nil {
			return nil, fmt.Errorf("claim %s of run %s: %w (pid %d on %s)", destination, run, err, rec.PID, rec.Host)
		}
	}
	next := clone(doc.Value())
	if err := recall(ctx, s.kv, key, &next); err != nil {
		return nil, err
	}
	prepare, err := look(&next)
	if err != nil {
		return nil, err
	}
	if prepare != nil {
		prepare(&next)
	}
	next.Take(owner)
	if err := doc.Write(ctx, next); err != nil {
		if errors.Is(err, pipeline.ErrConflict) && !errors.Is(err, pipeline.ErrForeign) {
			return nil, fmt.Errorf("claim %s of run %s: %w", destination, run, pipeline.ErrHeld)
		}
		return nil, err
	}
	return &claim{kv: s.kv, key: key, doc: doc, wrote: time.Now()}, nil
}

// standby waits out the owner's lease by this process's monotonic clock. The clocks of two machines are never compared:
// only whether the revision stands still counts.
func standby(ctx context.Context, doc *Document[CommitRecord]) error {
	lease := time.Duration(doc.Value().LeaseMS) * time.Millisecond
	started, revision := time.Now(), doc.Revision()
	for time.Since(started) < lease {
		select {
		case <-time.After(min(standbyStep, lease-time.Since(started))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := doc.Reload(ctx); err != nil {
			return err
		}
		if doc.Revision() != revision {
			return pipeline.ErrHeld
		}
	}
	return nil
}
