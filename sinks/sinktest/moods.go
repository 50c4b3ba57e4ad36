package sinktest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// mood is what a receiver does at one request, and what is to come of it.
type mood struct {
	name   string
	answer Answer
	stays  bool // it does so from then on
	ends   bool // the context ends while the request is under way
	owes   bool // the run ends with something owed, and goes on once the receiver takes everything
}

var everyMood = []mood{
	{name: "drops it", answer: Drop},
	{name: "takes it, and the answer is lost", answer: Lose},
	{name: "asks to wait", answer: Busy},
	{name: "lets nobody in", answer: Deny, stays: true, owes: true},
	{name: "drops it, and the process ends", answer: Drop, ends: true},
	{name: "takes it, and the process ends before the answer", answer: Lose, ends: true},
	{name: "takes it, and the process ends with the answer", answer: Take, ends: true},
}

// moods has the receiver behave badly at each request. Every row arrives once all the same.
func moods(t testing.TB, s Subject) error {
	all := everyMood
	if s.Kind.Traits.Requests {
		all = append(all, mood{name: "will never take it", answer: Refuse, owes: true})
	}
	for _, m := range all {
		for at := int64(1); ; at++ {
			reached, err := m.try(t, s, at)
			if err != nil {
				return fmt.Errorf("at request %d the receiver %s: %w", at, m.name, err)
			}
			if !reached {
				if at < 3 {
					return fmt.Errorf("only %d requests", at)
				}
				break
			}
		}
	}
	return nil
}

func (m mood) try(t testing.TB, s Subject, at int64) (reached bool, err error) {
	w := newWorld(t, s, standard())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var n atomic.Int64
	w.target.Answer(func() Answer {
		if now := n.Add(1); now == at || m.stays && now > at {
			if m.ends {
				stop()
			}
			return m.answer
		}
		return Take
	})
	err = w.script(ctx)
	w.target.Answer(func() Answer { return Take })
	if n.Load() < at {
		return false, err
	}
	switch {
	case m.ends && err != nil && !errors.Is(err, context.Canceled):
		return true, fmt.Errorf("the context ended, and a call said: %w", err)
	case m.owes && !errors.Is(err, errOwing):
		return true, fmt.Errorf("nothing is owed: %w", err)
	case !m.ends && !m.owes && err != nil:
		return true, err
	}
	if err := w.sound(); err != nil {
		return true, err
	}
	w.cas(func(r *record) { r.Outbox.Dead = nil }) // somebody has seen to it, and has the letters sent
	return true, w.finished()
}
