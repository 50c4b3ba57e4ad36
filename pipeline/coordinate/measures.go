package coordinate

import (
	"slices"
	"time"

	"fanmill/pipeline"
)

// measures is what this process has seen of itself in this run.
func (s *supervisor) measures(reports []*pipeline.Report) *pipeline.Measures {
	m := &pipeline.Measures{Parallel: s.c.Parallel, Asked: len(s.run.wanted), Budget: s.c.Budget.Size(), LogMax: s.m.LogMaxBytes, LogPeak: s.logPeak}
	var logWait time.Duration
	m.Batches, m.BatchBytes, logWait = s.share.Measured()
	m.LogWaitMillis = logWait.Milliseconds()
	if s.c.Memory != nil {
		s.c.Memory.Look() // a short run may have seen no other reading
	}
	m.BudgetPeak, m.BudgetWaits = s.c.Budget.Usage()
	var paused time.Duration
	m.PeakResident, m.Threshold, paused = s.c.Memory.Measured()
	m.PausedMillis = paused.Milliseconds()
	m.Slowest, m.SlowestMillis, m.MedianMillis = slowest(reports)
	return m
}

// slowest finds the connection that took longest, and what half of them took at most.
func slowest(reports []*pipeline.Report) (id string, longest, median int64) {
	if len(reports) == 0 {
		return "", 0, 0
	}
	var all []int64
	for _, c := range reports[0].Connections {
		if c.State != pipeline.ReportSettled {
			continue
		}
		all = append(all, c.Millis)
		if c.Millis > longest {
			id, longest = c.ID, c.Millis
		}
	}
	if len(all) > 0 {
		slices.Sort(all)
		median = all[len(all)/2]
	}
	return id, longest, median
}
