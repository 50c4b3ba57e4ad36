package checkpoint_test

import (
	"context"
	"errors"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// opened makes a record that was opened for o.
func opened(t *testing.T, kv pipeline.KV, o checkpoint.Opened) checkpoint.Records {
	t.Helper()
	records := checkpoint.NewRecords(kv)
	if err := records.Create(t.Context(), "run", "dest", checkpoint.CommitRecord{Opened: o, State: pipeline.RecordOpen}); err != nil {
		t.Fatal(err)
	}
	return records
}

// reopen does what a resume does to a record: it takes it from its claim, and opens it for a later incarnation.
func reopen(t *testing.T, records checkpoint.Records, o checkpoint.Opened) {
	t.Helper()
	if err := records.Reset(t.Context(), "run", "dest", func(r *checkpoint.CommitRecord) { r.Opened = o }); err != nil {
		t.Fatal(err)
	}
}

// untouched asserts that nobody has claimed or detached a record since.
func untouched(t *testing.T, records checkpoint.Records, epoch uint64) {
	t.Helper()
	rec, err := records.Load(t.Context(), "run", "dest")
	if err != nil || rec.Token != "" || rec.Epoch != epoch || rec.State != pipeline.RecordOpen || len(rec.Homes) > 0 {
		t.Errorf("the record is %+v, %v", rec, err)
	}
}

// staleBucket answers the next read with what was there before: a replica that lags behind.
type staleBucket struct {
	*bucket
	stale *pipeline.KVEntry
}

func (b *staleBucket) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if e := b.stale; e != nil && e.Key == key {
		b.stale = nil
		return *e, nil
	}
	return b.bucket.Get(ctx, key)
}

// Sequence 9: a command of an incarnation that a resume has ended claims nothing, whether it finds the fresh record,
// whose token is empty, or the stale one of before. One of the resume claims it.
func TestLateCommandClaimsNothing(t *testing.T) {
	kv := &staleBucket{bucket: newBucket()}
	records := opened(t, kv, checkpoint.Opened{Epoch: 1, Generation: 1})
	before := kv.values[checkpoint.RecordKey("run", "dest")]
	reopen(t, records, checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 2})
	if _, err := records.Claim(t.Context(), "run", "dest", 0, owner, "", nil); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("a late command answers %v", err)
	}
	untouched(t, records, 1)
	kv.stale = &before
	if _, err := records.Claim(t.Context(), "run", "dest", 0, owner, "", nil); !errors.Is(err, pipeline.ErrHeld) {
		t.Errorf("a late command that has read what was before answers %v", err)
	}
	untouched(t, records, 1)
	c, err := records.Claim(t.Context(), "run", "dest", 1, owner, "", nil)
	if err != nil || c.Record().Opened.Generation != 2 {
		t.Fatalf("the resume claims %+v, %v", c, err)
	}
}

// A record of an earlier version, which does not say what it was opened for, is claimed by any command.
func TestClaimOfAnOldRecord(t *testing.T) {
	for _, incarnation := range []int{0, 3} {
		records := opened(t, newBucket(), checkpoint.Opened{})
		if _, err := records.Claim(t.Context(), "run", "dest", incarnation, owner, "", nil); err != nil {
			t.Errorf("a command of incarnation %d: %v", incarnation, err)
		}
	}
}

// A coordinator that slept through a resume detaches nothing of it.
func TestDetachOfASuccessorsRecord(t *testing.T) {
	first, second := checkpoint.Opened{Epoch: 1, Generation: 1}, checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 1}
	kv := &staleBucket{bucket: newBucket()}
	records := opened(t, kv, first)
	before := kv.values[checkpoint.RecordKey("run", "dest")]
	reopen(t, records, second)
	for _, stale := range []*pipeline.KVEntry{nil, &before} {
		kv.stale = stale
		if err := records.Detach(t.Context(), "run", "dest", first, "no progress"); !errors.Is(err, pipeline.ErrFenced) {
			t.Errorf("it answers %v", err)
		}
		untouched(t, records, 1)
	}
	if err := records.Detach(t.Context(), "run", "dest", second, "no progress"); err != nil {
		t.Fatal(err)
	}
	if rec, err := records.Load(t.Context(), "run", "dest"); err != nil || rec.State != pipeline.RecordDetached || rec.Epoch != 2 {
		t.Errorf("the record is %+v, %v", rec, err)
	}
}

// A claim that was let go is nobody's: the next one waits for no lease, and the former one writes nothing.
func TestReleasedClaim(t *testing.T) {
	records := opened(t, newBucket(), checkpoint.Opened{Epoch: 1, Generation: 1})
	first, err := records.Claim(t.Context(), "run", "dest", 0, pipeline.Owner{Token: "a", LeaseMS: 3600_000}, "", nil)
	if err == nil {
		err = first.Release(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := records.Claim(t.Context(), "run", "dest", 0, owner, "", nil); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Seq = 9 }); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the former claim writes: %v", err)
	}
}

// A record is taken from the claim of a process that is gone, and from no other: that of a process that lives goes on,
// and the former one writes nothing more.
func TestFreedClaim(t *testing.T) {
	o := checkpoint.Opened{Epoch: 1, Generation: 1}
	records := opened(t, newBucket(), o)
	claim, err := records.Claim(t.Context(), "run", "dest", 0, pipeline.Owner{Token: "one", Process: "p", LeaseMS: 60_000}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if rec := claim.Record(); rec.Process != "p" {
		t.Errorf("the record names process %q", rec.Process)
	}
	if err := records.Free(t.Context(), "run", "dest", o, "another"); err != nil {
		t.Error(err)
	}
	if err := claim.Renew(t.Context(), 0); err != nil {
		t.Errorf("a claim that nobody took away: %v", err)
	}
	if err := records.Free(t.Context(), "run", "dest", checkpoint.Opened{Epoch: 0, Generation: 1}, "one"); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("freed by a former coordinator: %v", err)
	}
	if err := records.Free(t.Context(), "run", "dest", o, "one"); err != nil {
		t.Fatal(err)
	}
	if err := claim.Renew(t.Context(), 0); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the former claim writes: %v", err)
	}
	// Within less than the lease of the former.
	if _, err := records.Claim(t.Context(), "run", "dest", 0, pipeline.Owner{Token: "two", Process: "q", LeaseMS: 60_000}, "", nil); err != nil {
		t.Error(err)
	}
}
