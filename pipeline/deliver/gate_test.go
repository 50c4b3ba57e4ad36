package deliver

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"

	"fanmill/pipeline"
)

// What a gate says to each frame in turn. The gate is moved the way the delivery moves it.
func pass(t *testing.T, g *gate, f pipeline.Frame) string {
	t.Helper()
	f.Connection = "c"
	what, err := g.judge(&f)
	if err != nil {
		if !errors.Is(err, pipeline.ErrGap) {
			t.Fatalf("%+v: %v is not ErrGap", f, err)
		}
		return "gap"
	}
	switch what {
	case begin:
		*g = gate{attempt: f.Attempt, min: f.Attempt}
		return "begin"
	case giveUp:
		*g = gate{failed: true, attempt: f.Attempt, min: f.Attempt + 1}
		return "give up"
	case next:
		g.last = f.Number
		if f.Kind == pipeline.FrameEOF {
			g.settled = true
			return "settle"
		}
		return "take"
	}
	return "drop"
}

// Invariant 1: of all frames that a connection's attempts, retries and zombies store, one attempt's get through, once,
// in order.
func TestGate(t *testing.T) {
	open := func(a int) pipeline.Frame { return pipeline.Frame{Kind: pipeline.FrameOpen, Attempt: a} }
	rows := func(a int, n uint64) pipeline.Frame {
		return pipeline.Frame{Kind: pipeline.FrameRows, Attempt: a, Number: n}
	}
	eof := func(a int, n uint64) pipeline.Frame {
		return pipeline.Frame{Kind: pipeline.FrameEOF, Attempt: a, Number: n}
	}
	failed := func(a int) pipeline.Frame { return pipeline.Frame{Kind: pipeline.FrameFailed, Attempt: a} }
	type step struct {
		f    pipeline.Frame
		want string
	}
	for name, c := range map[string]struct {
		g     gate
		steps []step
	}{
		"undisturbed":          {gate{min: 1}, []step{{open(1), "begin"}, {rows(1, 1), "take"}, {eof(1, 2), "settle"}}},
		"stored twice":         {gate{min: 1}, []step{{open(1), "begin"}, {open(1), "drop"}, {rows(1, 1), "take"}, {rows(1, 1), "drop"}, {eof(1, 2), "settle"}, {eof(1, 2), "drop"}}},
		"a retry":              {gate{min: 1}, []step{{open(1), "begin"}, {rows(1, 1), "take"}, {open(2), "begin"}, {rows(1, 2), "drop"}, {rows(2, 1), "take"}, {eof(2, 2), "settle"}}},
		"eof is final":         {gate{min: 1}, []step{{open(1), "begin"}, {eof(1, 1), "settle"}, {open(2), "drop"}, {failed(3), "drop"}}},
		"a hole":               {gate{min: 1}, []step{{open(1), "begin"}, {rows(1, 2), "gap"}}},
		"an attempt's middle":  {gate{min: 1}, []step{{open(1), "begin"}, {rows(2, 1), "gap"}}},
		"given up":             {gate{min: 1}, []step{{open(1), "begin"}, {failed(2), "give up"}, {rows(1, 1), "drop"}, {open(2), "drop"}}},
		"given up, then again": {gate{min: 1}, []step{{failed(2), "give up"}, {open(3), "begin"}, {eof(3, 1), "settle"}}},
		"below the floor":      {gate{min: 3}, []step{{open(1), "drop"}, {failed(2), "drop"}, {open(3), "begin"}}},
		"after a cut":          {gate{min: 1, attempt: 1, last: 7}, []step{{rows(1, 7), "drop"}, {rows(1, 8), "take"}, {eof(1, 9), "settle"}}},
		"settled before":       {gate{settled: true, min: 1}, []step{{open(1), "drop"}, {rows(1, 1), "drop"}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := c.g
			for i, s := range c.steps {
				if got := pass(t, &g, s.f); got != s.want {
					t.Fatalf("step %d, %s of attempt %d, frame %d: %s, want %s", i, s.f.Kind, s.f.Attempt, s.f.Number, got, s.want)
				}
			}
		})
	}
}

// However the frames of two publishers interleave and repeat, what gets through is a prefix of attempts, each begun
// once and read without a hole, and nothing follows the first eof.
func TestGateInterleaved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		attempts := [][]pipeline.Frame{}
		for a := 1; a <= 3; a++ {
			n := rapid.IntRange(0, 4).Draw(rt, "rows")
			fs := []pipeline.Frame{{Kind: pipeline.FrameOpen, Attempt: a}}
			for i := range n {
				fs = append(fs, pipeline.Frame{Kind: pipeline.FrameRows, Attempt: a, Number: uint64(i + 1)})
			}
			if rapid.Bool().Draw(rt, "ends") {
				fs = append(fs, pipeline.Frame{Kind: pipeline.FrameEOF, Attempt: a, Number: uint64(n + 1)})
			}
			attempts = append(attempts, fs)
		}
		g := gate{min: 1}
		at := make([]int, len(attempts))
		var through []pipeline.Frame
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			a := rapid.IntRange(0, len(attempts)-1).Draw(rt, "publisher")
			if at[a] >= len(attempts[a]) {
				continue
			}
			f := attempts[a][at[a]]
			if !rapid.Bool().Draw(rt, "stored, answer lost") {
				at[a]++
			}
			switch pass(t, &g, f) {
			case "gap":
				rt.Fatalf("a gap where frames were stored in order")
			case "begin", "take", "settle":
				through = append(through, f)
			}
		}
		last := pipeline.Frame{}
		for i, f := range through {
			switch {
			case last.Kind == pipeline.FrameEOF:
				rt.Fatalf("frame %d follows eof", i)
			case f.Attempt == last.Attempt && f.Number != last.Number+1:
				rt.Fatalf("frame %d follows %d", f.Number, last.Number)
			case f.Attempt < last.Attempt, f.Attempt > last.Attempt && f.Number != 0:
				rt.Fatalf("attempt %d frame %d follows attempt %d", f.Attempt, f.Number, last.Attempt)
			}
			last = f
		}
	})
}
