package coordinate

import (
	"context"
	"errors"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// publishCheckpoint writes the public view, at most once a second unless forced.
func (s *supervisor) publishCheckpoint(ctx context.Context, force bool) {
	if !s.stale || !force && time.Since(s.published) < time.Second {
		return
	}
	s.stale, s.published = false, time.Now()
	c := s.run.checkpoint(s.records)
	if s.c.follower.Checkpoint != nil {
		s.c.follower.Checkpoint(c)
	}
	if err := s.c.Progress.Publish(ctx, c); err != nil && !errors.Is(err, context.Canceled) {
		s.c.Log.Warn("the public checkpoint was not written; the run is not affected", "error", err)
	}
}

// checkpoint derives the public view: a connection counts when all destinations have it, and fails when one will not
// get it. What a destination had when it was given up does not count: nobody knows whether its file shows that.
func (r *run) checkpoint(records map[string]checkpoint.CommitRecord) pipeline.PublicCheckpoint {
	c := pipeline.PublicCheckpoint{JobID: r.m.JobID, JobName: r.m.JobName, CompletedConnectionIDs: []string{}, FailedConnectionIDs: []string{},
		TotalConnections: len(r.m.Connections), LastUpdated: time.Now().UTC()}
	for i, conn := range r.m.Connections {
		settled, expect, failed := 0, 0, false
		for _, d := range r.m.Destinations {
			if !d.Takes(i) {
				continue
			}
			rec := records[d.ID]
			expect++
			if _, ok := rec.Settled[i]; ok && rec.State != pipeline.RecordDetached {
				settled++
			}
			_, f := rec.Failed[i]
			failed = failed || f
		}
		switch {
		case settled == expect:
			c.CompletedConnectionIDs = append(c.CompletedConnectionIDs, conn.ID)
		case failed:
			c.FailedConnectionIDs = append(c.FailedConnectionIDs, conn.ID)
		}
	}
	return c
}
