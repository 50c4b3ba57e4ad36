package coordinate

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline"
)

// comparisonNews is how often people hear of a comparison that takes its time: of one that is quick, never.
const comparisonNews = 5 * time.Second

// comparison is how far the comparing of columns is, which comes before anything else of a run can be seen.
type comparison struct {
	mu      sync.Mutex
	names   []string // of the connections
	asked   []bool   // and not done
	left    int
	started time.Time
}

func newComparison(connections []pipeline.ManifestConnection) *comparison {
	c := &comparison{asked: make([]bool, len(connections)), left: len(connections), started: time.Now()}
	for _, conn := range connections {
		c.names = append(c.names, conn.Name)
	}
	return c
}

func (c *comparison) asks(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[i] = true
}

func (c *comparison) done(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[i] = false
	c.left--
}

// line says how far it is, and who is waited for.
func (c *comparison) line(now time.Time) string {
	const shown = 4
	c.mu.Lock()
	defer c.mu.Unlock()
	var waiting []string
	for i, name := range c.names {
		if c.asked[i] {
			waiting = append(waiting, name)
		}
	}
	if more := len(waiting) - shown; more > 0 {
		waiting = append(waiting[:shown], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("comparing columns before anything is written: %d of %s have answered after %s; waiting for %s",
		len(c.names)-c.left, pipeline.Counted(len(c.names), "connection"), now.Sub(c.started).Round(time.Second), strings.Join(waiting, ", "))
}

// tell says so every now and then until the function that it returns is called.
func (c *comparison) tell(log *slog.Logger, every time.Duration) (stop func()) {
	tick := time.NewTicker(every)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				log.Info(c.line(now))
			case <-over:
				return
			}
		}
	}()
	return func() { close(over); <-ended }
}
