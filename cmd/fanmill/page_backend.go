package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"fanmill/checkpoint"

	"fanmill/internal/web"
	"fanmill/pipeline"
)

// pageBackend is what the page shows and does, over one open store. Its files (page_*.go) are all that the page knows
// of package pipeline.
type pageBackend struct {
	s    *settings
	sys  *system
	jobs *served // nil if this process takes no triggers
	live *liveRuns

	lines   lineCache
	files   fileCache
	mirrors mirrors
}

// close ends what looks at the store.
func (b *pageBackend) close() { b.mirrors.close() }

var _ web.Backend = (*pageBackend)(nil)

func newPageBackend(s *settings, sys *system, jobs *served) *pageBackend {
	b := &pageBackend{s: s, sys: sys, jobs: jobs}
	b.live = newLiveRuns(sys.reading, b.fill)
	return b
}

// stuckAfter is how long the process may not have looked at its memory, which it does twice a second, before it counts
// as stuck.
const stuckAfter = time.Minute

// Alive implements web.Backend. A machine that slept is given a moment to look again.
func (b *pageBackend) Alive() error {
	if b.sys.reading.age() > stuckAfter {
		time.Sleep(4 * memoryEvery)
	}
	if age := b.sys.reading.age(); age > stuckAfter {
		return fmt.Errorf("stuck: nothing was done for %s", age.Round(time.Second))
	}
	return nil
}

// Ready implements web.Backend.
func (b *pageBackend) Ready(ctx context.Context) error {
	_, err := b.sys.node.Stores.Runs.Get(ctx, checkpoint.JobRunKey("ready"))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	return err
}

// About implements web.Backend.
func (b *pageBackend) About() web.About {
	a := web.About{Version: version(), Host: b.sys.node.Owner.Host, PID: os.Getpid(), Store: b.s.place()}
	if b.jobs != nil {
		a.Serves = b.jobs.where()
	}
	return a
}

// topicEvents is every pipeline.TopicEvent.
const topicEvents = "fanmill.events.*.*.*"

// Changes implements web.Reader: every process tells of its runs by events.
func (b *pageBackend) Changes(ctx context.Context, changed func(string)) {
	stop, err := b.sys.node.Bus.Listen(topicEvents, func(q pipeline.Inquiry) {
		var e pipeline.Event
		if json.Unmarshal(q.Payload, &e) == nil {
			changed(e.Run)
		}
	})
	if err != nil {
		b.sys.node.Log.Warn("the page hears of no changes, and looks for them itself", "error", err)
		return
	}
	<-ctx.Done()
	stop()
}
