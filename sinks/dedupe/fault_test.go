package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/dedupe"
)

// wide is a load that needs partitions, partitions of these, a bitmap on the disk, and keys to be saved.
func wide(t testing.TB) (dedupe.Spec, dedupe.Rows) {
	s := spec(t, 1)
	s.Queries[0].Columns = invoiceColumns
	s.Memory, s.Keep, s.Save = 100<<10, dedupe.Last, filepath.Join(t.TempDir(), "saved")
	return s, invoices(140_000)
}

// A disk that refuses at any step ends Run with that error and leaves nothing; the same Run succeeds afterwards.
func TestDiskErrors(t *testing.T) {
	s, rows := wide(t)
	full := errors.New("no space left")
	steps, held := 0, int64(0)
	count := func(bytes int64) error { steps++; held += bytes; return nil }
	s.Grow = count
	r, err := dedupe.Run(t.Context(), s, rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if want := sizeOf(t, s.Save); held != want {
		t.Fatalf("%d bytes are accounted for, and the saved keys have %d", held, want)
	}
	all := steps
	for fail := 1; fail <= all; fail += 1 + all/5 {
		if err := os.RemoveAll(s.Save); err != nil {
			t.Fatal(err)
		}
		steps, held = 0, 0
		s.Grow = func(bytes int64) error {
			if steps++; steps >= fail && bytes > 0 {
				return pipeline.Transient(fmt.Errorf("step %d: %w", steps, full))
			}
			held += bytes
			return nil
		}
		if _, err := dedupe.Run(t.Context(), s, rows); !errors.Is(err, full) || !errors.Is(err, pipeline.ErrTransient) {
			t.Fatalf("step %d of %d: %v", fail, all, err)
		}
		empty(t, s.Dir)
		empty(t, filepath.Dir(s.Save))
		if held != 0 {
			t.Fatalf("step %d of %d: %d bytes are not given back", fail, all, held)
		}
	}
}

// Where there can be no folder, or no file of keys, Run says so, and it may pass.
func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []dedupe.Spec{{Dir: filepath.Join(file, "sub")}, {Dir: t.TempDir(), Save: filepath.Join(file, "keys")}} {
		if _, err := dedupe.Run(t.Context(), s, feed(t, nil, 1)); !errors.Is(err, pipeline.ErrTransient) {
			t.Fatal(err)
		}
	}
}

// A context that ends, in whatever row, ends Run and leaves nothing.
func TestCancel(t *testing.T) {
	s, rows := wide(t)
	for _, after := range []int{0, 1, 40, 79} { // of 80 batches
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := dedupe.Run(ctx, s, func(yield func(dedupe.Share) error) error {
			return rows(func(share dedupe.Share) error {
				if n++; n > after {
					cancel()
				}
				return yield(share)
			})
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled before batch %d of %d: %v", after, n, err)
		}
		empty(t, s.Dir)
		empty(t, filepath.Dir(s.Save))
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.Grow = func(bytes int64) error {
		if bytes < 0 { // the first partition is done
			cancel()
		}
		return nil
	}
	if _, err := dedupe.Run(ctx, s, rows); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	empty(t, s.Dir)
}

// The result outlives the context of the Run that made it.
func TestResultAfterCancel(t *testing.T) {
	s, rows := wide(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := dedupe.Run(ctx, s, rows)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for c := range 20 {
		got, err := r.Kept(nil, c, 0, 0, int(r.Counts(c, 0).Rows))
		if err != nil {
			t.Fatal(err)
		}
		n += len(got)
	}
	if n != 70_000 || r.Close() != nil {
		t.Fatalf("%d rows are kept", n)
	}
	empty(t, s.Dir)
}
