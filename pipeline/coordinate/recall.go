package coordinate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
)

// recall publishes commands again that nobody carries out: what they ask for is not done, no process is known to have
// it, and none is kept. Another program may have removed them, or their worker ended between its claim and anything
// that tells of it. A command too many finds nothing to do.
func (s *supervisor) recall(ctx context.Context, after time.Duration) error {
	if s.stopping {
		return nil
	}
	if s.seeDeparted() {
		after = 0
	}
	due := map[string]any{} // commands by topic
	for _, d := range s.m.Destinations {
		topic, c := s.sinkCommand(d.ID)
		rec := s.records[d.ID]
		lapsed := rec.Token != "" && s.silent(d.ID) > 0
		if rec.Ended() || rec.Token != "" && !lapsed || s.share.Writes(d.ID) || slices.Contains(s.uncalled, d.ID) {
			delete(s.idle, topic)
			continue
		}
		if lapsed && s.idle[topic].IsZero() { // which has taken a lease
			s.idle[topic] = time.Now().Add(-after)
		}
		if s.idleFor(topic, after) {
			due[topic] = c
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.queue.out)) {
		topic, c := s.run.queryCommand(id)
		if s.running[id] != nil || s.share.Asks(id) {
			delete(s.idle, topic)
			continue
		}
		if s.idleFor(topic, after) {
			due[topic] = c
		}
	}
	// Side by side: one after the other they could take longer than what is known of the workers stays true.
	var g errgroup.Group
	g.SetLimit(openAtOnce)
	for topic, c := range due {
		g.Go(func() error { return s.recallOne(ctx, topic, c) })
	}
	if err := g.Wait(); err != nil {
		return s.uncommanded(err)
	}
	return nil
}

// seeDeparted looks whether a process has gone. It may have got commands that it had not begun, which the server keeps
// for it until it takes them for lost; one that stands still may get another one of each consumer that it had asked. So
// whatever nobody has is published again at once, and again for a lease, kept or not.
func (s *supervisor) seeDeparted() (gone bool) {
	if s.c.Peers == nil || s.c.Own {
		return false
	}
	departed := s.c.Peers.Departed()
	if departed == s.departed {
		return false
	}
	s.departed, s.doubted = departed, time.Now().Add(time.Duration(s.c.Owner.LeaseMS)*time.Millisecond)
	return true
}

// idleFor reports whether a command was not there for so long, and counts anew then.
func (s *supervisor) idleFor(topic string, after time.Duration) bool {
	if s.idle[topic].IsZero() {
		s.idle[topic] = time.Now()
	}
	if time.Since(s.idle[topic]) < after {
		return false
	}
	s.idle[topic] = time.Now()
	return true
}

// recallOne publishes a command again that is not there any more, or that a process may have that is gone.
func (s *supervisor) recallOne(ctx context.Context, topic string, command any) error {
	if time.Now().Before(s.doubted) {
		s.c.Log.Debug("a process that is gone may have a command of the run; it is published again", "topic", topic)
		return s.run.command(topic, command)
	}
	if kept, err := s.c.Bus.Kept(ctx, topic, 1); err != nil || len(kept) > 0 {
		return nil // who has room takes it
	}
	s.c.Log.Info("a command of the run is gone, and nobody carries it out; it is published again", "topic", topic)
	return s.run.command(topic, command)
}

// silent is how long a destination has had no live claim; 0 or less while it has one, for all that is known.
func (s *supervisor) silent(id string) time.Duration {
	return time.Since(s.claims[id].at) - time.Duration(s.c.Owner.LeaseMS)*time.Millisecond
}

// givenBack has a destination commanded again at once whose claim was let go of: its process ends.
func (s *supervisor) givenBack(id string, was, is checkpoint.CommitRecord) error {
	if was.Token == "" || is.Token != "" || is.Ended() || s.stopping || s.share.Writes(id) || slices.Contains(s.uncalled, id) {
		return nil
	}
	s.c.Log.Info(fmt.Sprintf("the process that wrote %s has let go of it; another one is asked", s.m.Destination(id).Where()), "destination", id)
	s.uncalled = append(s.uncalled, id)
	return s.call()
}
