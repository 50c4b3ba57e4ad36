package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"fanmill/internal/web"
	"fanmill/pipeline"
)

// pageBackend is what the page shows and does, over one open store. It is the only part of the page that knows package
// pipeline well.
type pageBackend struct {
	s      *settings
	sys    *system
	serves string // the folder of jobs; "" if this process takes no triggers
}

var _ web.Backend = (*pageBackend)(nil)

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
	_, err := b.sys.node.Stores.Runs.Get(ctx, pipeline.JobRunKey("ready"))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	return err
}

// About implements web.Backend.
func (b *pageBackend) About() web.About {
	return web.About{Version: version(), Host: b.sys.node.Owner.Host, PID: os.Getpid(), Store: b.s.place(), Serves: b.serves}
}
