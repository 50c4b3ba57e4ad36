package screen

import (
	"fmt"

	"fanmill/pipeline"
)

// What makes a suggestion worth reading.
const (
	tightMemory  = 85       // percent of the threshold at which the next run may be stopped for memory
	aimedMemory  = 70       // percent at which it may grow
	spareMemory  = 50       // percent under which more connections can be asked at a time
	worthwhile   = 500      // milliseconds that the median connection takes, under which a run is fast as it is
	straggler    = 10       // times the median
	stragglerMin = 30_000   // milliseconds
	logWaitMin   = 10_000   // milliseconds
	fullLog      = 90       // percent of the row log
	fullBudget   = 90       // percent of the budget
	smallBatch   = 96 << 10 // bytes, a quarter of what is aimed at
	someBatches  = 100      // to speak of their size
	maxParallel  = 32       // connections at a time; past that their servers and the network decide
	memoryStep   = 256      // MB
)

// Suggest says which settings would make the next run of a job safer or faster, by what this one measured; nothing if there is nothing
// to gain. Each suggestion names the setting and a value.
func Suggest(m pipeline.Measures) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	memory := percent(m.PeakResident, m.Threshold)
	logFull := m.LogWaitMillis >= logWaitMin && percent(m.LogPeak, m.LogMax) >= fullLog
	starved := m.Threshold > 0 && m.Batches > 0 && (m.BudgetWaits > max(m.Batches/20, 4) || // of the budget, one in twenty batches
		m.Batches >= someBatches && percent(m.BudgetPeak, m.Budget) >= fullBudget && m.BatchBytes/m.Batches < smallBatch)
	lopsided := m.Slowest != "" && m.SlowestMillis >= stragglerMin && m.MedianMillis > 0 && m.SlowestMillis >= straggler*m.MedianMillis

	switch {
	case m.Threshold > 0 && (m.PausedMillis > 0 || memory > tightMemory):
		text := fmt.Sprintf("memory peaked at %s of %s (%d%%)", Size(m.PeakResident), Size(m.Threshold), memory)
		if m.PausedMillis > 0 {
			text += ", and queries stood still for " + millis(m.PausedMillis)
		}
		text += fmt.Sprintf(": set MEMORY_THRESHOLD_MB=%d", megabytes(max(m.PeakResident, m.Threshold)*100/aimedMemory))
		if m.Parallel > 1 {
			text += fmt.Sprintf(", or ask fewer connections at a time: --parallel %d", max(m.Parallel*3/5, 1))
		}
		say("%s", text)
	case starved:
		say("rows had too little room in memory (%s, a part of the threshold; batches waited for it %s times): set MEMORY_THRESHOLD_MB=%d",
			Size(m.Budget), Count(m.BudgetWaits), megabytes(2*m.Threshold))
	case logFull: // more connections at a time would only wait longer
	case m.PeakResident > 0 && m.Asked > m.Parallel && m.Parallel > 0 && memory < spareMemory && m.MedianMillis >= worthwhile && !lopsided:
		if n := roomier(m, memory); n > m.Parallel {
			say("memory peaked at %s of %s (%d%%) and nothing waited for it: if the databases can bear it, --parallel %d asks more of them at a time (now %d)",
				Size(m.PeakResident), Size(m.Threshold), memory, n, m.Parallel)
		}
	}
	if lopsided {
		say("connection %s took %s, %d times the median of %s: look at its query's plan, or give it a job of its own at another hour (--connections %s)",
			clean(m.Slowest), millis(m.SlowestMillis), m.SlowestMillis/m.MedianMillis, millis(m.MedianMillis), clean(m.Slowest))
	}
	switch {
	case logFull:
		say("the destinations are slower than the databases: the row log was full and queries waited %s for it, all together. --log-max-mb %d frees the databases sooner; the files are not ready earlier by it. A faster disk for them is what helps, or one destination less",
			millis(m.LogWaitMillis), megabytes(2*m.LogMax))
	case m.LogWaitMillis >= logWaitMin && m.Parallel > 0 && m.MedianMillis > 0 && m.LogWaitMillis > int64(m.Parallel)*m.MedianMillis:
		say("queries waited %s, all together, until their rows were stored, and the row log was never full: its disk is slow, or the way to it. Set FANMILL_DATA to a folder on a local, faster one; with --nats it is the server's",
			millis(m.LogWaitMillis))
	}
	return out
}

// roomier is the number of connections that memory has room for, at most twice as many as now.
func roomier(m pipeline.Measures, memory int64) int {
	return min(m.Parallel*2, m.Parallel*aimedMemory/int(max(memory, 1)), maxParallel)
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole
}

// megabytes rounds up to a value that somebody would set.
func megabytes(bytes int64) int64 {
	mb := (bytes + 1<<20 - 1) >> 20
	return (mb + memoryStep - 1) / memoryStep * memoryStep
}
