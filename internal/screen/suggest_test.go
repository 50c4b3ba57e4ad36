package screen_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// well is a run with nothing to gain.
func well() pipeline.Measures {
	return pipeline.Measures{PeakResident: 600 << 20, Threshold: 1024 << 20, Budget: 256 << 20, BudgetPeak: 100 << 20, Batches: 4000, BatchBytes: 4000 * 380 << 10,
		Parallel: 4, Asked: 56, Slowest: "conn_7", SlowestMillis: 40_000, MedianMillis: 20_000, LogWaitMillis: 500, LogMax: 512 << 20, LogPeak: 50 << 20}
}

// Each measured trouble is answered with the setting and the value that would help, and what is well with nothing.
func TestSuggest(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pipeline.Measures)
		want   []string // parts of the suggestions, one for each
	}{
		{"nothing to gain", func(m *pipeline.Measures) {}, nil},
		{"nothing measured", func(m *pipeline.Measures) { *m = pipeline.Measures{} }, nil},
		{"memory to spare", func(m *pipeline.Measures) { m.PeakResident = 389 << 20 }, []string{"(37%) and nothing waited for it: if the databases can bear it, --parallel 7 asks"}},
		{"much memory to spare", func(m *pipeline.Measures) { m.PeakResident = 50 << 20 }, []string{"--parallel 8 "}},
		{"memory to spare, but quick", func(m *pipeline.Measures) { m.PeakResident, m.MedianMillis, m.SlowestMillis = 389<<20, 90, 100 }, nil},
		{"parallel enough", func(m *pipeline.Measures) { m.PeakResident, m.Parallel = 50<<20, 32 }, nil},
		{"memory nearly all used", func(m *pipeline.Measures) { m.PeakResident = 900 << 20 }, []string{"(87%): set MEMORY_THRESHOLD_MB=1536, or ask fewer connections at a time: --parallel 2"}},
		{"nearly all used by one connection", func(m *pipeline.Measures) { m.PeakResident, m.Parallel = 900<<20, 1 }, []string{"set MEMORY_THRESHOLD_MB=1536"}},
		{"stood still", func(m *pipeline.Measures) { m.PeakResident, m.PausedMillis = 1100<<20, 4200 }, []string{"stood still for 4.2s: set MEMORY_THRESHOLD_MB=1792"}},
		{"the budget was waited for", func(m *pipeline.Measures) { m.PeakResident, m.BudgetWaits = 389<<20, 300 }, []string{"waited for it 300 times): set MEMORY_THRESHOLD_MB=2048"}},
		{"a few waits", func(m *pipeline.Measures) { m.BudgetWaits = 100 }, nil},
		{"the budget kept batches small", func(m *pipeline.Measures) { m.BudgetPeak, m.BatchBytes = 250<<20, 4000*50<<10 }, []string{"set MEMORY_THRESHOLD_MB=2048"}},
		{"a straggler", func(m *pipeline.Measures) { m.SlowestMillis = 310_000 }, []string{"connection conn_7 took 5m 10s, 15 times the median of 20s"}},
		{"a straggler, and memory to spare", func(m *pipeline.Measures) { m.SlowestMillis, m.PeakResident = 310_000, 100<<20 }, []string{"--connections conn_7"}},
		{"a straggler of a second", func(m *pipeline.Measures) { m.SlowestMillis, m.MedianMillis = 1000, 20 }, nil},
		{"destinations are slower", func(m *pipeline.Measures) { m.LogWaitMillis, m.LogPeak, m.PeakResident = 130_000, 500<<20, 100<<20 }, []string{"queries waited 2m 10s for it, all together. --log-max-mb 1024 "}},
		{"a slow disk", func(m *pipeline.Measures) { m.LogWaitMillis = 130_000 }, []string{"Set FANMILL_DATA to a folder on a local, faster one"}},
	} {
		m := well()
		c.change(&m)
		got := screen.Suggest(m)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", c.name, got)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: %q, want %q in it", c.name, got[i], want)
			}
		}
	}
}

// Whatever was measured, each suggestion names a setting, and none proposes more memory and more connections at once.
func TestSuggestionsAreSound(t *testing.T) {
	setting := regexp.MustCompile(`MEMORY_THRESHOLD_MB=[1-9]\d*|--parallel [1-9]|--connections \S|--log-max-mb [1-9]|FANMILL_DATA`)
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int64 { return rapid.Int64Range(0, 1<<41).Draw(t, name) }
		m := pipeline.Measures{PeakResident: n("peak"), Threshold: n("threshold"), Budget: n("budget"), BudgetPeak: n("budgetPeak"), BudgetWaits: n("waits"), Batches: n("batches"), BatchBytes: n("bytes"),
			Parallel: rapid.IntRange(0, 200).Draw(t, "parallel"), Slowest: "c", SlowestMillis: n("slowest"), MedianMillis: n("median"), PausedMillis: n("paused"), LogWaitMillis: n("logWait"), LogMax: n("logMax"), LogPeak: n("logPeak")}
		if m.LogMax < 4<<20 {
			m.LogMax = 4 << 20
		}
		more := 0
		for _, s := range screen.Suggest(m) {
			if !setting.MatchString(s) {
				t.Fatalf("%q names no setting", s)
			}
			if strings.Contains(s, "MEMORY_THRESHOLD_MB=") || strings.Contains(s, "asks more of them") {
				more++
			}
		}
		if more > 1 {
			t.Fatalf("%q contradict each other", screen.Suggest(m))
		}
	})
}

// The slowest connection is named as people know it; its id stays for the command.
func TestTheSlowestIsNamed(t *testing.T) {
	if seen := text(t, sampleRun(12), screen.Page{}); !strings.Contains(seen, "Branch_007_Thiruvananthapuram_Technopark_Phase_III_Annex (conn_7) took 5m 10s") || !strings.Contains(seen, "--connections conn_7)") {
		t.Errorf("suggested:\n%s", seen)
	}
}
