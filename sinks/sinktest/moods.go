package sinktest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// mood is what a receiver does at one request, and what is to come of it.
type mood struct {
	name   string
	answer Answer
	stays  bool // it does so from then on
	ends   bool // the process ends while the request is under way
	stops  bool // the process is asked to end, and the receiver goes on to take what comes
	owes   bool // the run ends with something owed, and goes on once the receiver takes everything
}

var everyMood = []mood{
	{name: "drops it", answer: Drop},
	{name: "takes it, and the answer is lost", answer: Lose},
	{name: "takes it, and says that it failed", answer: Err},
	{name: "asks to wait", answer: Busy},
	{name: "lets nobody in", answer: Deny, stays: true, owes: true},
	{name: "drops it, and the process ends", answer: Drop, ends: true},
	{name: "takes it, and the process ends before the answer", answer: Lose, ends: true},
	{name: "takes it, and the process ends with the answer", answer: Take, ends: true},
	{name: "takes it and is silent, and the process is stopped", answer: Hang, stops: true},
}

// promptly is how long a stopped run may take to its end. A second is promised; a machine under load is given more.
var promptly = 10 * time.Second

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
	var n, stopped atomic.Int64
	var p *process
	p = w.newProcess(func() Answer {
		now := n.Add(1)
		if now != at && !(m.stays && now > at) {
			return Take
		}
		if m.ends {
			p.dead.Store(true)
		}
		if m.ends || m.stops {
			stopped.Store(time.Now().UnixNano())
			stop()
		}
		return m.answer
	})
	err = w.script(ctx)
	p.over()
	if n.Load() < at {
		return false, err
	}
	switch {
	case (m.ends || m.stops) && err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errCrashed):
		return true, fmt.Errorf("the context ended, and a call said: %w", err)
	case m.stops && time.Since(time.Unix(0, stopped.Load())) > promptly:
		return true, fmt.Errorf("it took %v to stop", time.Since(time.Unix(0, stopped.Load())))
	case m.owes && err == nil && !s.Kind.Traits.Requests: // everything was there, and only the tidying up was denied
		return true, w.whole()
	case m.owes && !errors.Is(err, errOwing):
		return true, fmt.Errorf("nothing is owed: %w", err)
	case !m.ends && !m.stops && !m.owes && err != nil:
		return true, err
	}
	if err := w.sound(); err != nil {
		return true, err
	}
	w.cas(func(r *record) { r.Outbox.Dead = nil }) // somebody has seen to it, and has the letters sent
	return true, w.finished()
}
