package coordinate

import (
	"context"
	"fmt"
	"time"

	"fanmill/pipeline"
)

// detach takes the record of a destination that is given up.
func (s *supervisor) detach(ctx context.Context, id, why string) error {
	return s.c.Records.Detach(ctx, s.m.Run, id, s.run.fixed.Opened(), why)
}

// detachStalled takes the record of the destination that holds a full row log, and has not moved for the timeout: the
// others must not wait for it for ever. Those that merely have nothing more to read are further on, and are left
// alone.
func (s *supervisor) detachStalled(ctx context.Context) error {
	if time.Since(s.full) <= s.c.Timeout {
		return nil
	}
	lowest := ^uint64(0)
	for _, d := range s.m.Destinations {
		if rec := s.records[d.ID]; rec.State == pipeline.RecordOpen && !d.Closes() {
			lowest = min(lowest, rec.Seq)
		}
	}
	for _, d := range s.m.Destinations {
		rec, p := s.records[d.ID], s.moved[d.ID]
		if rec.State != pipeline.RecordOpen || d.Closes() || rec.Seq != lowest || p.at.IsZero() || time.Since(p.at) <= s.c.Timeout {
			continue
		}
		why := fmt.Sprintf("no progress for %s while the row log was full", s.c.Timeout)
		if err := s.detach(ctx, d.ID, why); err != nil {
			return err
		}
		s.full = time.Time{} // who waited for room only begins to be measured now
	}
	return nil
}
