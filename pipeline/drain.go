package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// drainPatience bounds how long a run that is stopped waits for its destinations to write what has been delivered
// whole.
const drainPatience = 20 * time.Second

// brokenPatience bounds everything that a run that is stopped still wants of a store that does not work.
const brokenPatience = 2 * time.Second

// drain finds out, once no worker is left, which connections are in the row log whole: the destinations may still
// take those. What only a part of arrived is left for a resume.
func (s *supervisor) drain(ctx context.Context) error {
	s.draining, s.delivered = true, map[string]bool{}
	for _, c := range s.run.m.Connections {
		cell, err := LoadConn(ctx, s.run.c.Stores.Runs, s.run.m.Run, c.ID)
		if errors.Is(err, ErrForeign) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look what was delivered: %w", err)
		}
		if state := cell.Value().State; state == ConnDone {
			s.delivered[c.ID] = true
		}
	}
	return nil
}

// drained reports whether every destination has committed what was delivered.
func (s *supervisor) drained() bool {
	if !s.draining {
		return false
	}
	for _, d := range s.run.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return false
		}
		if rec.Ended() || rec.Token == "" {
			continue
		}
		for i, c := range s.run.m.Connections {
			_, failed := rec.Failed[i]
			if s.delivered[c.ID] && !rec.Has(i) && !failed {
				return false
			}
		}
	}
	return true
}

// measures is what this process has seen of itself in this run.
func (s *supervisor) measures(reports []*Report) *Measures {
	m := &Measures{Parallel: s.run.c.Parallel, Asked: len(s.run.wanted), Budget: s.run.c.Budget.Size(), LogMax: s.run.m.LogMaxBytes, LogPeak: s.logPeak}
	var logWait time.Duration
	m.Batches, m.BatchBytes, logWait = s.asker.Measured()
	m.LogWaitMillis = logWait.Milliseconds()
	if s.run.c.Memory != nil {
		s.run.c.Memory.look() // a short run may have seen no other reading
	}
	m.BudgetPeak, m.BudgetWaits = s.run.c.Budget.usage()
	var paused time.Duration
	m.PeakResident, m.Threshold, paused = s.run.c.Memory.measured()
	m.PausedMillis = paused.Milliseconds()
	m.Slowest, m.SlowestMillis, m.MedianMillis = slowest(reports)
	return m
}

// slowest finds the connection that took longest, and what half of them took at most.
func slowest(reports []*Report) (id string, longest, median int64) {
	if len(reports) == 0 {
		return "", 0, 0
	}
	var all []int64
	for _, c := range reports[0].Connections {
		if c.State != ReportSettled {
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
