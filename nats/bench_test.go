package nats_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"fanmill/nats"
	"fanmill/pipeline"
)

// BenchmarkRowLog publishes from some connections at once, reads as fast as it comes, and trims what was read; the rate is
// of bytes that were durable, read and trimmed.
func BenchmarkRowLog(b *testing.B) {
	for _, sync := range []bool{true, false} {
		for _, connections := range []int{1, 4} {
			for _, size := range []int{256 << 10, 512 << 10, 1 << 20} {
				b.Run(fmt.Sprintf("sync=%v/connections=%d/%dKB", sync, connections, size>>10), func(b *testing.B) {
					benchmarkRowLog(b, sync, connections, size)
				})
			}
		}
	}
}

func benchmarkRowLog(b *testing.B, durable bool, connections, size int) {
	c, err := nats.Open(b.Context(), nats.Options{DataDir: b.TempDir(), NoSync: !durable})
	if err != nil {
		b.Fatal(err)
	}
	defer shut(b, c)
	l, err := c.RowLogs().Create(b.Context(), manifest("bench", 256<<20), 1)
	if err != nil {
		b.Fatal(err)
	}
	r, err := l.Reader(b.Context(), "bench", 1, nil)
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	chacha := rand.NewChaCha8([32]byte{})
	_, _ = chacha.Read(body)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for k := range connections {
		wg.Go(func() {
			f := pipeline.Frame{Kind: pipeline.FrameRows, Connection: fmt.Sprintf("conn_%d", k), Attempt: 1, Rows: 1000, Fragments: 1, Body: body}
			for ; left.Add(-1) >= 0; f.Number++ {
				if _, err := l.Append(b.Context(), &f); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for seen, trimmed := 0, 0; seen < b.N; {
		frames, err := r.Fetch(b.Context(), 8<<20)
		if err != nil {
			b.Fatal(err)
		}
		seen += len(frames)
		if (seen-trimmed)*size > 64<<20 {
			if err := l.Trim(b.Context(), frames[len(frames)-1].Seq); err != nil {
				b.Fatal(err)
			}
			trimmed = seen
		}
	}
	wg.Wait()
	b.StopTimer()
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
