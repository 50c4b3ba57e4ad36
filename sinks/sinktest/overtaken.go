package sinktest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
)

// overtaken holds each request up on its way, while a rival claims the destination and delivers everything. Then the
// request arrives, and its sender goes on: by then nothing that it sends changes what readers see.
func overtaken(t testing.TB, s Subject) error {
	for at := int64(1); ; at++ {
		w := newWorld(t, s, standard())
		var n atomic.Int64
		var rival world
		var failed error
		w.target.Answer(func() Answer {
			if n.Add(1) == at {
				rival = *w // its sender waits for the answer
				if w.target.Elsewhere != nil {
					rival.target.Dest = *w.target.Elsewhere
				}
				w.fenced = true
				failed = rival.finished()
			}
			return Take
		})
		err := w.script(t.Context())
		switch {
		case n.Load() < at && at < 3:
			return fmt.Errorf("only %d requests", n.Load())
		case n.Load() < at:
			return err
		case failed != nil:
			return fmt.Errorf("a rival while request %d is held up: %w", at, failed)
		case err == nil || errors.Is(err, pipeline.ErrLost) || errors.As(err, new(*pipeline.RejectError)):
			return fmt.Errorf("request %d was held up while a rival delivered everything, and its sender ended with %v", at, err)
		}
		if err := rival.whole(); err != nil {
			return fmt.Errorf("request %d was held up while a rival delivered everything: %w", at, err)
		}
	}
}
