package web

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges are what there is at the moment of a scrape.
type Gauges struct {
	Runs        map[string]int // by state, those that wait among them
	Jobs        []JobGauges
	Memory      Fill // of the process
	Budget      Fill // of rows in memory
	DeadLetters map[string]int
}

// JobGauges are those of one job.
type JobGauges struct {
	Job    string
	Served bool
	// When it runs by itself next, and the time of the last run by its schedule; zero if there is none.
	NextScheduled, LastScheduled time.Time

	LastComplete time.Time // when its last complete run ended; zero if the store knows none
	Log          *Fill     // the row log of its run that goes on; nil if there is none
}

// gauges are read from the Backend at each scrape: what an operator is alerted by is the same in every process, and
// there before the first run after a start.
type gauges struct {
	s *Server
	m *metrics
}

var (
	describeUp       = prometheus.NewDesc("fanmill_store_up", "Whether the store answered this scrape.", nil, nil)
	describeDrain    = prometheus.NewDesc("fanmill_draining", "Whether the process is about to end.", nil, nil)
	describeRuns     = prometheus.NewDesc("fanmill_runs", "Runs that the store knows, by state.", []string{"state"}, nil)
	describeComplete = prometheus.NewDesc("fanmill_job_last_complete_timestamp_seconds", "When the job's last complete run ended; 0 if none is known.", []string{"job"}, nil)
	describeNext     = prometheus.NewDesc("fanmill_job_next_scheduled_timestamp_seconds", "When the job runs by itself next; absent if it does not.", []string{"job"}, nil)
	describeLast     = prometheus.NewDesc("fanmill_job_last_scheduled_timestamp_seconds", "The time of its schedule for which the job ran last; absent if there was none.", []string{"job"}, nil)
	describeLog      = prometheus.NewDesc("fanmill_row_log_bytes", "What the row log of the job's run takes that goes on.", []string{"job"}, nil)
	describeLogMax   = prometheus.NewDesc("fanmill_row_log_max_bytes", "The bound of that row log.", []string{"job"}, nil)
	describeMemory   = prometheus.NewDesc("fanmill_memory_bytes", "Resident memory as fanmill reads it.", nil, nil)
	describeLimit    = prometheus.NewDesc("fanmill_memory_threshold_bytes", "Resident memory above which queries pause.", nil, nil)
	describeBudget   = prometheus.NewDesc("fanmill_budget_bytes", "What rows in memory take.", nil, nil)
	describeRoom     = prometheus.NewDesc("fanmill_budget_max_bytes", "What rows in memory may take.", nil, nil)
	describeDead     = prometheus.NewDesc("fanmill_dead_letters", "Dead requests that are kept on this host.", []string{"job"}, nil)
	describeBuild    = prometheus.NewDesc("fanmill_build_info", "1, with the version.", []string{"version"}, nil)
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{describeUp, describeDrain, describeRuns, describeComplete, describeNext, describeLast, describeLog, describeLogMax, describeMemory, describeLimit,
		describeBudget, describeRoom, describeDead, describeBuild} {
		to <- d
	}
}

// scrapePatience bounds what a scrape waits for the store.
const scrapePatience = 5 * time.Second

// Collect implements prometheus.Collector. Without a store what it knows is left out: an old value would look like
// news.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	draining := 0.0
	if g.s.draining.Load() {
		draining = 1
	}
	set(describeDrain, draining)
	b := g.s.backend.Load()
	if b == nil {
		set(describeUp, 0)
		return
	}
	set(describeBuild, 1, (*b).About().Version)
	ctx, cancel := context.WithTimeout(g.s.streams, scrapePatience)
	defer cancel()
	now, err := (*b).Gauges(ctx)
	if err != nil {
		g.s.o.Log.Debug("a scrape without the store", "error", err)
		set(describeUp, 0)
		return
	}
	set(describeUp, 1)
	for _, state := range runStates {
		set(describeRuns, float64(now.Runs[state]), state)
	}
	set(describeMemory, float64(now.Memory.Bytes))
	set(describeLimit, float64(now.Memory.Max))
	set(describeBudget, float64(now.Budget.Bytes))
	set(describeRoom, float64(now.Budget.Max))
	for _, j := range g.m.known(now.Jobs) {
		at := 0.0
		if !j.LastComplete.IsZero() {
			at = float64(j.LastComplete.UnixMilli()) / 1000
		}
		set(describeComplete, at, j.Job)
		if !j.NextScheduled.IsZero() {
			set(describeNext, float64(j.NextScheduled.Unix()), j.Job)
		}
		if !j.LastScheduled.IsZero() {
			set(describeLast, float64(j.LastScheduled.Unix()), j.Job)
		}
		if j.Log != nil {
			set(describeLog, float64(j.Log.Bytes), j.Job)
			set(describeLogMax, float64(j.Log.Max), j.Job)
		}
	}
	letters := map[string]int{}
	for job, n := range now.DeadLetters {
		letters[g.m.job(job)] += n
	}
	for job, n := range letters {
		set(describeDead, float64(n), job)
	}
}
