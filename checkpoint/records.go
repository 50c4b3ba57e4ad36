// Package checkpoint keeps commit records and the public checkpoint in a key-value store.
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

// Records implements pipeline.Records over a bucket.
type Records struct{ kv pipeline.KV }

// NewRecords keeps commit records in kv.
func NewRecords(kv pipeline.KV) *Records { return &Records{kv} }

// Create implements pipeline.Records.
func (s *Records) Create(ctx context.Context, run, destination string, rec pipeline.CommitRecord) error {
	_, err := pipeline.CreateCell(ctx, s.kv, pipeline.RecordKey(run, destination), rec)
	if errors.Is(err, pipeline.ErrConflict) {
		return nil
	}
	return err
}

// Load implements pipeline.Records.
func (s *Records) Load(ctx context.Context, run, destination string) (pipeline.CommitRecord, error) {
	c, err := pipeline.LoadCell[pipeline.CommitRecord](ctx, s.kv, pipeline.RecordKey(run, destination))
	if err != nil {
		return pipeline.CommitRecord{}, err
	}
	rec := c.Value()
	return rec, s.Tell(ctx, run, destination, &rec)
}

// Tell implements pipeline.Records.
func (s *Records) Tell(ctx context.Context, run, destination string, rec *pipeline.CommitRecord) error {
	return recall(ctx, s.kv, pipeline.RecordKey(run, destination), rec)
}

// Reset implements pipeline.Records. It races with the owner's own writes and wins.
func (s *Records) Reset(ctx context.Context, run, destination string, change func(*pipeline.CommitRecord)) error {
	c, err := pipeline.LoadCell[pipeline.CommitRecord](ctx, s.kv, pipeline.RecordKey(run, destination))
	if err != nil {
		return err
	}
	return c.Change(ctx, func(*pipeline.CommitRecord) bool { return true }, func(r *pipeline.CommitRecord) {
		epoch := r.Epoch
		*r = clone(*r)
		change(r)
		r.Free(epoch)
	})
}

// Detach implements pipeline.Records.
func (s *Records) Detach(ctx context.Context, run, destination string, o pipeline.Opened, why string) error {
	c, err := pipeline.LoadCell[pipeline.CommitRecord](ctx, s.kv, pipeline.RecordKey(run, destination))
	if err != nil {
		return err
	}
	by := func(r *pipeline.CommitRecord) bool { return r.Opened.By(o) }
	if rec := c.Value(); !by(&rec) {
		return pipeline.Permanent(fmt.Errorf("detach %s of run %s: %w", destination, run, pipeline.ErrFenced))
	}
	return c.Change(ctx, by, func(r *pipeline.CommitRecord) {
		r.Detach(why)
		r.Free(r.Epoch)
	})
}

// Replace implements pipeline.Records.
func (s *Records) Replace(ctx context.Context, run, destination string, rec pipeline.CommitRecord) error {
	c, err := pipeline.LoadCell[pipeline.CommitRecord](ctx, s.kv, pipeline.RecordKey(run, destination))
	switch {
	case err == nil:
		return fmt.Errorf("replace %s: %w", pipeline.RecordKey(run, destination), pipeline.ErrConflict)
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey):
		return c.Overwrite(ctx, rec)
	}
	return err
}

// SetError implements pipeline.Records.
func (s *Records) SetError(ctx context.Context, run, destination, connection, text string) error {
	data, err := pipeline.EncodeRecord(connectionError{Connection: connection, Error: text})
	if err != nil {
		return err
	}
	_, err = s.kv.Put(ctx, pipeline.ErrorKey(run, destination, connection), data)
	return err
}

type connectionError struct {
	Connection string `json:"connection"`
	Error      string `json:"error"`
}

// Errors implements pipeline.Records.
func (s *Records) Errors(ctx context.Context, run, destination string) (map[string]string, error) {
	prefix := pipeline.RecordKey(run, destination) + ".error."
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

// Remove implements pipeline.Records.
func (s *Records) Remove(ctx context.Context, run string) error {
	return s.kv.RemoveAll(ctx, pipeline.RunKey(run)+".>")
}

// Watch implements pipeline.Records.
func (s *Records) Watch(ctx context.Context, run string) (<-chan pipeline.RecordUpdate, error) {
	prefix := pipeline.RecordKey(run, "")
	prefix = prefix[:strings.LastIndexByte(prefix, '.')+1]
	entries, err := s.kv.Watch(ctx, prefix+"*")
	if err != nil {
		return nil, err
	}
	out := make(chan pipeline.RecordUpdate)
	go func() {
		defer close(out)
		for e := range entries {
			if e.Key == "" {
				continue
			}
			u := pipeline.RecordUpdate{Destination: strings.TrimPrefix(e.Key, prefix)}
			u.Record, u.Err = pipeline.ReadCommitRecord(e)
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

// Claim implements pipeline.Records.
func (s *Records) Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string) (pipeline.Claim, error) {
	key := pipeline.RecordKey(run, destination)
	cell, err := pipeline.LoadCell[pipeline.CommitRecord](ctx, s.kv, key)
	if err == nil {
		err = cell.Value().Opened.Admits(incarnation)
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s of run %s: %w", destination, run, err)
	}
	if rec := cell.Value(); rec.Token != "" && rec.Token != previous {
		if err := standby(ctx, cell); err != nil {
			return nil, fmt.Errorf("claim %s of run %s: %w (pid %d on %s)", destination, run, err, rec.PID, rec.Host)
		}
	}
	next := clone(cell.Value())
	if err := recall(ctx, s.kv, key, &next); err != nil {
		return nil, err
	}
	next.Take(owner)
	if err := cell.Write(ctx, next); err != nil {
		if errors.Is(err, pipeline.ErrConflict) && !errors.Is(err, pipeline.ErrForeign) {
			return nil, fmt.Errorf("claim %s of run %s: %w", destination, run, pipeline.ErrHeld)
		}
		return nil, err
	}
	return &claim{kv: s.kv, key: key, cell: cell, wrote: time.Now()}, nil
}

// standby waits out the owner's lease by this process's monotonic clock. The clocks of two machines are never compared:
// only whether the revision stands still counts.
func standby(ctx context.Context, cell *pipeline.Cell[pipeline.CommitRecord]) error {
	lease := time.Duration(cell.Value().LeaseMS) * time.Millisecond
	started, revision := time.Now(), cell.Revision()
	for time.Since(started) < lease {
		select {
		case <-time.After(min(standbyStep, lease-time.Since(started))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := cell.Reload(ctx); err != nil {
			return err
		}
		if cell.Revision() != revision {
			return pipeline.ErrHeld
		}
	}
	return nil
}
