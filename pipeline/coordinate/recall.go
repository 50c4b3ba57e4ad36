package coordinate

import (
	"context"
	"maps"
	"slices"
	"time"

	"fanmill/pipeline"
)

// recall publishes commands again that somebody has removed from their stream: nobody carries them out, none is kept,
// and what they ask for is not done. A command too many finds nothing to do.
func (s *supervisor) recall(ctx context.Context, after time.Duration) error {
	var sinks []string
	for _, d := range s.m.Destinations {
		if rec := s.records[d.ID]; !rec.Ended() && !slices.Contains(s.uncalled, d.ID) && !s.delivering.busy(d.ID) {
			sinks = append(sinks, d.ID)
		}
	}
	queries := slices.Sorted(maps.Keys(s.queue.out))
	if s.asking.any() {
		queries = nil
	}
	if s.stopping || len(sinks)+len(queries) == 0 {
		s.idle = time.Time{}
		return nil
	}
	if s.idle.IsZero() {
		s.idle = time.Now()
	}
	if time.Since(s.idle) < after {
		return nil
	}
	s.idle = time.Now()
	for _, kind := range []struct {
		topic string
		ids   []string
		make  func(id string) any
	}{
		{s.run.topic(pipeline.TopicSink), sinks, func(id string) any {
			return pipeline.SinkCommand{Job: s.m.JobID, Run: s.m.Run, Incarnation: s.run.fixed.Resumes, Destination: id}
		}},
		{s.run.topic(pipeline.TopicQuery), queries, func(id string) any {
			return pipeline.QueryCommand{Job: s.m.JobID, Run: s.m.Run, Incarnation: s.run.fixed.Resumes, Connection: id}
		}},
	} {
		if len(kind.ids) == 0 {
			continue
		}
		if kept, err := s.c.Bus.Kept(ctx, kind.topic, 1); err != nil || len(kept) > 0 {
			continue
		}
		s.c.Log.Warn("commands of the run are gone, another program has removed them; they are published again", "topic", kind.topic)
		for _, id := range kind.ids {
			if err := s.run.command(kind.topic, kind.make(id)); err != nil {
				return s.uncommanded(err)
			}
		}
	}
	return nil
}
