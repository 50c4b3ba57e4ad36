package deliver

import (
	"time"

	"github.com/cenkalti/backoff/v5"

	"fanmill/pipeline"
)

// targetGrace is how long a receiver may say that nothing at all can be sent to it, once everything is ready, before
// its run ends: deploys and outages say so, too, for a minute or two.
const targetGrace = 2 * time.Minute

// patience says how long a destination in trouble is tried again.
type patience struct {
	timeout time.Duration // destinationTimeout
	pauses  *backoff.ExponentialBackOff
	since   time.Time // of the first trouble after the last progress, once all rows were ready; zero before
}

func newPatience(timeout time.Duration) *patience {
	p := &patience{timeout: timeout, pauses: backoff.NewExponentialBackOff()}
	p.pauses.InitialInterval, p.pauses.MaxInterval = 250*time.Millisecond, 30*time.Second
	return p
}

// reset is called after progress.
func (p *patience) reset() {
	p.since = time.Time{}
	p.pauses.Reset()
}

// next returns how long to wait before the next try. over means that it is pointless: nothing else is to come, and the
// time is up, or would be before the receiver wants to be asked again.
func (p *patience) next(t *pipeline.Trouble, ready bool) (pause time.Duration, over bool) {
	pause = max(p.pauses.NextBackOff(), t.After)
	if !ready {
		return pause, false // rows still come: meanwhile the receiver may mend
	}
	limit := p.timeout
	if t.Scope == pipeline.OfTarget {
		limit = min(limit, targetGrace)
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return pause, time.Since(p.since)+pause > limit
}
