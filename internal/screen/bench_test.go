package screen_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// sink is a terminal that costs nothing.
type sink struct{}

func (sink) Size() (int, int, error)     { return 160, 60, nil }
func (sink) Write(b []byte) (int, error) { return len(b), nil }

func manyRunning() *screen.Progress {
	now := at
	p := screen.Manual(sink{}, screen.ScopeOf(sampleJob(1000), nil, 32), true, func() time.Time { now = now.Add(125 * time.Millisecond); return now })
	for n := 1; n <= 32; n++ {
		p.Observe(pipeline.Event{Kind: pipeline.EventConnected, Connection: conn(n), Attempt: 1})
	}
	p.Memory(250<<20, 512<<20)
	return p
}

// BenchmarkRows is what a query pays for each batch.
func BenchmarkRows(b *testing.B) {
	p := manyRunning()
	defer p.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := int64(0); pb.Next(); n++ {
			p.Rows("conn_7", n)
		}
	})
}

// BenchmarkFrame is what a process pays eight times a second, with 32 connections asked.
func BenchmarkFrame(b *testing.B) {
	p := manyRunning()
	defer p.Close()
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		p.Rows("conn_7", n*1000)
		p.Refresh()
	}
}

// BenchmarkLogLine is what a log line costs while the frame is up.
func BenchmarkLogLine(b *testing.B) {
	p := manyRunning()
	defer p.Close()
	p.Refresh()
	b.ReportAllocs()
	for b.Loop() {
		fmt.Fprintln(p.Writer(), "19:08:55 INF 💾 Progressive CSV write: Branch_001 (20786 rows) appended")
	}
}

// BenchmarkTable is the end of a run of 1,000 connections, all listed.
func BenchmarkTable(b *testing.B) {
	v := sampleRun(1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := screen.Text(io.Discard, v, screen.Page{Width: 100, Verbose: true}); err != nil {
			b.Fatal(err)
		}
	}
}
