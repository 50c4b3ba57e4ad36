package artifact_test

import (
	"context"
	"io"
	"testing"
)

// BenchmarkCommit is what one connection of 4 MB costs from its part to the public name, at the end of a growing file: both
// private files, the fsync, the hash.
func BenchmarkCommit(b *testing.B) {
	w := newWorld(b)
	a := w.open()
	ctx := context.Background()
	if _, err := a.Claim(ctx, "bench", nil, nil); err != nil {
		b.Fatal(err)
	}
	defer a.Die()
	p, err := a.CreatePart("1")
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Append(make([]byte, 4<<20)); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	b.SetBytes(4 << 20)
	for b.Loop() {
		if _, err := a.Append(func(out io.Writer) error { return p.CopyTo(out, buf) }); err != nil {
			b.Fatal(err)
		}
		if err := a.Publish(ctx, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim is a takeover of 64 MB.
func BenchmarkClaim(b *testing.B) {
	w := newWorld(b)
	a := w.open()
	ctx := context.Background()
	if _, err := a.Claim(ctx, w.claim(), nil, nil); err != nil {
		b.Fatal(err)
	}
	state, err := a.Append(func(out io.Writer) error { _, err := out.Write(make([]byte, 64<<20)); return err })
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 << 20)
	for b.Loop() {
		a.Die()
		a = w.open()
		if state, err = a.Claim(ctx, w.claim(), &state, nil); err != nil {
			b.Fatal(err)
		}
		if err := a.Adopted(ctx); err != nil {
			b.Fatal(err)
		}
	}
	a.Die()
}
