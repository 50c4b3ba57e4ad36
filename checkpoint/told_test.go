package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// maxRecord is half of what a store takes as one value.
const maxRecord = 512 << 10

// bucket is a pipeline.KV in memory.
type bucket struct {
	pipeline.KV // nothing else is called
	mu          sync.Mutex
	values      map[string]pipeline.KVEntry
	puts        int
	largest     int
	down        error // what Put fails with
}

func (b *bucket) Get(_ context.Context, key string) (pipeline.KVEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.values[key]
	if !ok {
		return e, pipeline.ErrNoKey
	}
	return e, nil
}

func (b *bucket) write(key string, value []byte, fits func(uint64) bool) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.values[key].Revision
	if !fits(at) {
		return 0, pipeline.ErrConflict
	}
	b.largest = max(b.largest, len(value))
	b.values[key] = pipeline.KVEntry{Key: key, Value: value, Revision: at + 1}
	return at + 1, nil
}

func (b *bucket) Create(_ context.Context, key string, value []byte) (uint64, error) {
	return b.write(key, value, func(at uint64) bool { return at == 0 })
}

func (b *bucket) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return b.write(key, value, func(at uint64) bool { return at == revision })
}

func (b *bucket) Put(_ context.Context, key string, value []byte) (uint64, error) {
	b.mu.Lock()
	b.puts++
	err := b.down
	b.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return b.write(key, value, func(uint64) bool { return true })
}

func newBucket() *bucket { return &bucket{values: map[string]pipeline.KVEntry{}} }

var owner = pipeline.Owner{Token: "t", Host: "h", PID: 1, LeaseMS: 1000}

// claimed makes a record and claims it.
func claimed(t *testing.T, kv *bucket) (checkpoint.Records, checkpoint.Claim) {
	t.Helper()
	records := checkpoint.NewRecords(kv)
	if err := records.Create(t.Context(), "run", "dest", checkpoint.CommitRecord{State: pipeline.RecordOpen, Place: &spool.Place{ID: "p", Host: "h"}, Artifact: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	return records, claim(t, records)
}

func claim(t *testing.T, records checkpoint.Records) checkpoint.Claim {
	t.Helper()
	c, err := records.Claim(t.Context(), "run", "dest", 0, owner, owner.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lossy is a settlement with a loss in each of so many columns with long names, and with a long note.
func lossy(connection, columns int) pipeline.Settlement {
	s := pipeline.Settlement{Rows: []int64{123_456_789, 123_456_789, 123_456_789}, Attempt: 12, Attempts: 12, Millis: 3_600_000,
		Notes: []string{strings.Repeat("the columns that it lacks, ", 10) + fmt.Sprint(connection)}}
	for c := range columns {
		s.Losses = append(s.Losses, pipeline.Loss{Column: strings.Repeat("ß", 120) + fmt.Sprint(c), What: "NULL in place of a number that a double does not hold", Cells: int64(1_000_000 + c)})
	}
	return s
}

// A commit record of 1,000 connections, each with a loss in each of eight columns with long names, all sealed or all
// settled, stays far below what a store takes; whoever claims or loads it has all that was lost.
func TestThousandConnectionsWithLosses(t *testing.T) {
	const connections, columns = 1000, 8
	kv := newBucket()
	records, c := claimed(t, kv)
	artifact, err := json.Marshal(strings.Repeat("s", 32<<10)) // the most that a sink has there
	if err != nil {
		t.Fatal(err)
	}
	settled, sealed := map[int]pipeline.Settlement{}, map[int]pipeline.Seal{}
	for i := range connections {
		settled[i] = lossy(i, columns)
		sealed[i] = pipeline.Seal{Settlement: settled[i], At: spool.Mark{Length: 1 << 40, Sum: 1<<64 - 1}, Refused: true}
	}
	check := func(what string, puts int, want func(r *checkpoint.CommitRecord)) {
		t.Helper()
		if kv.largest > maxRecord {
			t.Errorf("%s: a value has %d bytes", what, kv.largest)
		}
		if kv.puts != puts {
			t.Errorf("%s: %d keys were written, not %d", what, kv.puts, puts)
		}
		loaded, err := records.Load(t.Context(), "run", "dest")
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]checkpoint.CommitRecord{"this claim": c.Record(), "the next one": claim(t, records).Record(), "a reader": loaded} {
			var expected checkpoint.CommitRecord
			want(&expected)
			for i := range connections {
				have, should := r.Settled[i], expected.Settled[i]
				if expected.Sealed != nil {
					have, should = r.Sealed[i].Settlement, expected.Sealed[i].Settlement
				}
				if !reflect.DeepEqual(have.Losses, should.Losses) || !reflect.DeepEqual(have.Notes, should.Notes) || !reflect.DeepEqual(have.Rows, should.Rows) {
					t.Fatalf("%s: %s has of connection %d: %+v", what, name, i, have)
				}
			}
		}
		c = claim(t, records)
	}
	commit := func(change func(*checkpoint.CommitRecord)) {
		t.Helper()
		if err := c.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	commit(func(r *checkpoint.CommitRecord) { r.Sealed, r.Artifact = sealed, artifact })
	check("sealed", connections, func(r *checkpoint.CommitRecord) { r.Sealed = sealed })
	// What moves on in the record is not written once more: the claim after the one that wrote it knows it, too.
	commit(func(r *checkpoint.CommitRecord) { r.Settled, r.Sealed = settled, nil })
	check("settled", connections, func(r *checkpoint.CommitRecord) { r.Settled = settled })
	// A writer who knows nothing of it leaves it where it is.
	if err := records.Reset(t.Context(), "run", "dest", func(r *checkpoint.CommitRecord) { r.State = pipeline.RecordOwing }); err != nil {
		t.Fatal(err)
	}
	c = claim(t, records)
	check("reset", connections, func(r *checkpoint.CommitRecord) { r.Settled = settled })
}

// More than one key holds is counted; all who read it, the writer among them, have the same.
func TestMoreLossesThanFit(t *testing.T) {
	kv := newBucket()
	records, c := claimed(t, kv)
	s := lossy(0, 2000)
	err := c.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Settled[0] = s })
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := c.Record().Settled[0], claim(t, records).Record().Settled[0]
	if !reflect.DeepEqual(mine.Losses, theirs.Losses) || !reflect.DeepEqual(mine.Notes, theirs.Notes) {
		t.Error("the writer has other losses than the reader")
	}
	n, cells := len(theirs.Losses), int64(0)
	for _, l := range s.Losses[n:] {
		cells += l.Cells
	}
	want := fmt.Sprintf("and %d more losses, of %d cells, and 0 more notes", 2000-n, cells)
	if n < 100 || n == 2000 || len(theirs.Notes) != 2 || !strings.HasPrefix(theirs.Notes[1], want) || kv.largest > 64<<10 {
		t.Errorf("%d losses, %q, %d bytes", n, theirs.Notes, kv.largest)
	}
}

// A record never points to what is not written.
func TestToldBeforeTheRecord(t *testing.T) {
	kv := newBucket()
	_, c := claimed(t, kv)
	kv.down = errors.New("the store is away")
	before := kv.values[checkpoint.RecordKey("run", "dest")].Revision
	err := c.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Settled[0] = lossy(0, 1) })
	if !errors.Is(err, kv.down) || kv.values[checkpoint.RecordKey("run", "dest")].Revision != before || len(c.Record().Settled) != 0 {
		t.Fatalf("%v, %+v", err, c.Record().Settled)
	}
	kv.down = nil
	err = c.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Settled[0] = lossy(0, 1) })
	if err != nil || kv.values[checkpoint.ToldKey(checkpoint.RecordKey("run", "dest"), 0, 12)].Value == nil {
		t.Fatalf("%v, %v", err, kv.values)
	}
}

// What another program removed or wrote over is no error, and not passed over in silence.
func TestToldIsGone(t *testing.T) {
	kv := newBucket()
	records, c := claimed(t, kv)
	err := c.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Settled[0], r.Settled[1] = lossy(0, 1), lossy(1, 1) })
	if err != nil {
		t.Fatal(err)
	}
	key := checkpoint.RecordKey("run", "dest")
	delete(kv.values, checkpoint.ToldKey(key, 0, 12))
	kv.values[checkpoint.ToldKey(key, 1, 12)] = pipeline.KVEntry{Value: []byte("hello")}
	r, err := records.Load(t.Context(), "run", "dest")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if s := r.Settled[i]; len(s.Losses) != 0 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], checkpoint.ToldKey(key, i, 12)) {
			t.Errorf("connection %d: %+v", i, s)
		}
	}
}
