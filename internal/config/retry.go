package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"fanmill/pipeline"
)

// DefaultAttempts is how often a connection is tried in all when the job does not say.
const DefaultAttempts = 3

// maxAttempts is where trying again stops being a plan.
const maxAttempts = 100

// Bounds of times in a job: shorter ones are slips of the unit, and so are longer ones.
const (
	minPause       = 10 * time.Millisecond
	maxPause       = 24 * time.Hour
	minMaxDuration = time.Second
	maxMaxDuration = 7 * 24 * time.Hour
)

// durationForm is a time with its unit; of what time.ParseDuration takes, only what people write.
var durationForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

func (d *decoder) retry(p place) {
	r := &d.out.Retry
	_, ok := d.object(p, nil,
		field{"attempts", func(p place) { d.count(p, 1, maxAttempts, &r.Attempts) }},
		field{"backoff", func(p place) { d.duration(p, minPause, maxPause, &r.Backoff) }},
		field{"max", func(p place) { d.duration(p, minPause, maxPause, &r.Max) }},
	)
	switch {
	case !ok:
	case r.Max != 0 && r.Max < r.Backoff:
		d.errorf(p.key("max"), "is shorter than backoff, the first pause (%s); make it at least that", r.Backoff)
	case r.Max == 0 && r.Backoff > pipeline.DefaultBackoffMax:
		r.Max = r.Backoff // the first pause may be as long as the longest
	}
}

// duration reads a time with its unit, such as 30s or 1h30m.
func (d *decoder) duration(p place, low, high time.Duration, dst *pipeline.Duration) {
	v, err := time.ParseDuration(p.n.text)
	switch {
	case p.n.kind == numberNode:
		d.errorf(p.path, "%s of what? write the unit: \"%[1]ss\" for seconds, \"%[1]sm\" for minutes", p.n.text)
	case p.n.kind != stringNode || err != nil || !durationForm.MatchString(p.n.text):
		d.errorf(p.path, `must be a time with its unit, such as "500ms", "30s" or "1h30m"`)
	case v < low || v > high:
		d.errorf(p.path, "must be from %s to %s", plainDuration(low), plainDuration(high))
	default:
		*dst = pipeline.Duration(v)
	}
}

// plainDuration is 24h0m0s as people write it.
func plainDuration(v time.Duration) string {
	switch {
	case v%time.Hour == 0:
		return strconv.Itoa(int(v/time.Hour)) + "h"
	case v%time.Minute == 0:
		return strconv.Itoa(int(v/time.Minute)) + "m"
	}
	return fmt.Sprint(v)
}
