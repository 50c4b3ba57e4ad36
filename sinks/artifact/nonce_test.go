package artifact_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"fanmill/sinks/artifact"
)

// nonces lists what claims have left.
func (w *world) nonces() (words []string) {
	all, err := filepath.Glob(filepath.Join(w.dir, ".fanmill", "sales.csv", "nonce-*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range all {
		words = append(words, filepath.Base(path)[len("nonce-"):])
	}
	return words
}

func (w *world) wantNonces(want ...string) {
	w.t.Helper()
	if got := w.nonces(); !slices.Equal(got, want) {
		w.t.Fatalf("there are the nonces %q, want %q", got, want)
	}
}

// A claim adds its nonce to that of the one before, and removes that once its record is written.
func TestNonceOfAClaim(t *testing.T) {
	w := newWorld(t)
	a, state := claimed(t, w)
	a.Die()
	w.wantNonces("token1")
	next := w.open()
	if has, err := next.HasNonce("token1"); err != nil || !has {
		t.Errorf("the nonce of the last claim: %t, %v", has, err)
	}
	if has, err := next.HasNonce("token2"); err != nil || has {
		t.Errorf("the nonce of a claim that did not begin: %t, %v", has, err)
	}
	if _, err := next.Claim(context.Background(), w.claim(), &state, nil); err != nil {
		t.Fatal(err)
	}
	w.wantNonces("token1", "token2")
	if err := next.Adopted(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.wantNonces("token2")
	next.Die()
}

// A claim that sleeps after its nonce, until a successor has recorded its own, takes nothing away from that one.
func TestNonceOfASleeper(t *testing.T) {
	w := newWorld(t)
	a, state := claimed(t, w)
	a.Die()
	sleeper := w.open()
	if _, err := sleeper.Claim(context.Background(), w.claim(), &state, nil); err != nil {
		t.Fatal(err)
	}
	next := w.open()
	if _, err := next.Claim(context.Background(), w.claim(), &state, nil); err != nil {
		t.Fatal(err)
	}
	sleeper.DropNonces()
	w.wantNonces("token2", "token3")
	if err := next.Adopted(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.wantNonces("token3")
	next.Die()
	sleeper.Die()
}

// The nonce of many files stands beside them, and goes with the run that left it.
func TestNonceOfManyFiles(t *testing.T) {
	dir := t.TempDir()
	of := func(run, nonce string) *artifact.Artifact {
		return artifact.New(artifact.Spec{Path: filepath.Join(dir, "new", "{connection}.csv"), StoreID: "store", Job: "job", Destination: "csv", Run: run, Nonce: nonce})
	}
	if has, err := of("run1", "").HasNonce("one"); err != nil || has {
		t.Errorf("before its claim: %t, %v", has, err)
	}
	first := of("run1", "one")
	if err := first.LeaveNonce(); err != nil {
		t.Fatal(err)
	}
	first.DropNonces()
	second := of("run2", "two")
	if err := second.LeaveNonce(); err != nil {
		t.Fatal(err)
	}
	if err := of("run2", "").CleanNonces(); err != nil {
		t.Fatal(err)
	}
	if has, err := of("run1", "").HasNonce("one"); err != nil || !has {
		t.Errorf("another run's was removed: %t, %v", has, err)
	}
	if has, err := of("run2", "").HasNonce("two"); err != nil || has {
		t.Errorf("the run's own is still there: %t, %v", has, err)
	}
	if err := of("run1", "").CleanNonces(); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, "new", ".fanmill")) {
		t.Error("the private folder is still there")
	}
}
