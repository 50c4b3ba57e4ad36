package web

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fanmill/pipeline"
)

// metrics count what this process carries out, and show at each scrape what the store has. Every label has few values:
// ids of jobs that are known here, of their destinations, kinds of databases and of failures. Nothing has a run's id,
// a file's name or the text of an error, and a connection only where somebody asked for it: series live as long as the
// process.
type metrics struct {
	registry    *prometheus.Registry
	connections bool

	runs, read, delivered, attempts, retries, failures *prometheus.CounterVec
	paused, logWaits, budgetWaits                      *prometheus.CounterVec
	runTime, connTime, lag                             *prometheus.HistogramVec
	size                                               *prometheus.GaugeVec
	connRows, connFailures                             *prometheus.CounterVec

	mu   sync.Mutex
	jobs map[string]bool // that have labels of their own
}

// maxJobs bounds the jobs that have labels of their own; the others are otherJob.
const (
	maxJobs  = 500
	otherJob = "other"
)

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), connections: s.o.Connections, jobs: map[string]bool{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	seconds := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.runs = counter("fanmill_runs_ended_total", "Runs that this process brought to an end, by how they ended.", "job", "state")
	m.read = counter("fanmill_rows_read_total", "Rows of connections whose rows are in the row log whole.", "job", "database")
	m.delivered = counter("fanmill_rows_delivered_total", "Rows that destinations have committed.", "job", "destination", "type")
	m.attempts = counter("fanmill_attempts_total", "Attempts at connections.", "job", "database")
	m.retries = counter("fanmill_retries_total", "Attempts that failed and were tried again.", "job", "database")
	m.failures = counter("fanmill_failures_total", "What failed: connection (given up), rejected (by a destination), write (tried again), destination (given up), owing, request (refused).", "job", "kind")
	m.nothingFailed(otherJob)
	m.paused = counter("fanmill_memory_paused_seconds_total", "Time for which queries stood still for want of memory, of runs that ended.", "job")
	m.logWaits = counter("fanmill_row_log_wait_seconds_total", "Time for which connections waited for the row log, all together, of runs that ended.", "job")
	m.budgetWaits = counter("fanmill_budget_waits_total", "Batches that waited for room in memory, of runs that ended.", "job")
	m.runTime = seconds("fanmill_run_duration_seconds", "How long runs took from their beginning to their end.", prometheus.ExponentialBuckets(1, 3, 11), "job")
	m.connTime = seconds("fanmill_connection_duration_seconds", "How long attempts took that delivered.", prometheus.ExponentialBuckets(0.1, 3, 11), "job", "database")
	m.lag = seconds("fanmill_delivery_lag_seconds", "From a connection's last row in the row log until a destination has committed it.", prometheus.ExponentialBuckets(0.05, 3, 11), "job", "destination")
	m.size = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fanmill_artifact_bytes", Help: "Size of a destination's artifact, or of what was sent to it, after its last run here."}, []string{"job", "destination"})
	m.registry.MustRegister(m.size)
	if m.connections {
		m.connRows = counter("fanmill_connection_rows_total", "Rows of a connection that are in the row log whole (--metrics-connections).", "job", "connection")
		m.connFailures = counter("fanmill_connection_failures_total", "How often a connection was given up (--metrics-connections).", "job", "connection")
	}
	m.registry.MustRegister(&gauges{s: s, m: m}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// handler answers a scrape.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// job is a job's label. A trigger may bring any id along.
func (m *metrics) job(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.jobs[id] {
		if len(m.jobs) >= maxJobs {
			return otherJob
		}
		m.jobs[id] = true
		m.nothingFailed(id)
	}
	return id
}

// nothingFailed has a job's failures counted from 0 on, before the first: a counter that begins with 1 has not risen
// for Prometheus, and nobody would be alerted.
func (m *metrics) nothingFailed(job string) {
	for _, kind := range failureKinds {
		m.failures.WithLabelValues(job, kind).Add(0)
	}
}

// failureKinds are the events that count as failures.
var failureKinds = map[string]string{pipeline.EventFailed: "connection", pipeline.EventRejected: "rejected", pipeline.EventTrouble: "write",
	pipeline.EventDetached: "destination", pipeline.EventOwing: "owing", pipeline.EventLetter: "request"}

// runMeter counts one run.
type runMeter struct {
	m         *metrics
	job       string
	databases map[string]string // by connection
	types     map[string]string // by destination

	mu   sync.Mutex
	done map[string]time.Time // when a connection's rows were in the row log
}

// Meter counts a run that this process carries out: its events, and how it ends. A job that a trigger has brought along
// counts as other.
func (s *Server) Meter(job *pipeline.Job, inline bool, destinations []pipeline.ManifestDestination) (event func(pipeline.Event), ended func(Ended)) {
	r := &runMeter{m: s.metrics, job: otherJob, databases: map[string]string{}, types: map[string]string{}, done: map[string]time.Time{}}
	if !inline {
		r.job = s.metrics.job(job.ID)
	}
	for i := range job.Connections {
		r.databases[job.Connections[i].ID] = job.Connections[i].Driver
	}
	for _, d := range destinations {
		r.types[d.ID] = d.Type
	}
	return r.event, r.ended
}

func (r *runMeter) event(e pipeline.Event) {
	database := r.databases[e.Connection]
	if kind := failureKinds[e.Kind]; kind != "" {
		r.m.failures.WithLabelValues(r.job, kind).Inc()
	}
	switch e.Kind {
	case pipeline.EventConnected:
		r.m.attempts.WithLabelValues(r.job, database).Inc()
	case pipeline.EventRetry:
		r.m.retries.WithLabelValues(r.job, database).Inc()
	case pipeline.EventDelivered:
		r.m.read.WithLabelValues(r.job, database).Add(float64(e.Rows))
		r.m.connTime.WithLabelValues(r.job, database).Observe(float64(e.Millis) / 1000)
		if r.m.connections && r.job != otherJob {
			r.m.connRows.WithLabelValues(r.job, e.Connection).Add(float64(e.Rows))
		}
		r.mu.Lock()
		r.done[e.Connection] = time.Now()
		r.mu.Unlock()
	case pipeline.EventFailed:
		if r.m.connections && r.job != otherJob {
			r.m.connFailures.WithLabelValues(r.job, e.Connection).Inc()
		}
	case pipeline.EventCommitted:
		r.m.delivered.WithLabelValues(r.job, e.Destination, r.types[e.Destination]).Add(float64(e.Rows))
		r.mu.Lock()
		at, ok := r.done[e.Connection]
		r.mu.Unlock()
		if ok {
			r.m.lag.WithLabelValues(r.job, e.Destination).Observe(time.Since(at).Seconds())
		}
	}
}

// Ended is how a run ended.
type Ended struct {
	State       string
	Took        time.Duration    // since it began; 0 of one that did not come to its end
	Sizes       map[string]int64 // of its artifacts in bytes, by destination
	Paused      time.Duration    // queries stood still for want of memory
	LogWait     time.Duration    // of all connections together
	BudgetWaits int64            // batches that waited for room in memory
}

// ended counts how a run ended.
func (r *runMeter) ended(e Ended) {
	r.m.runs.WithLabelValues(r.job, e.State).Inc()
	if e.Took > 0 {
		r.m.runTime.WithLabelValues(r.job).Observe(e.Took.Seconds())
	}
	for destination, bytes := range e.Sizes {
		r.m.size.WithLabelValues(r.job, destination).Set(float64(bytes))
	}
	r.m.paused.WithLabelValues(r.job).Add(e.Paused.Seconds())
	r.m.logWaits.WithLabelValues(r.job).Add(e.LogWait.Seconds())
	r.m.budgetWaits.WithLabelValues(r.job).Add(float64(e.BudgetWaits))
}

// known brings a list of jobs within the bound, the same ones each time.
func (m *metrics) known(jobs []JobGauges) []JobGauges {
	slices.SortFunc(jobs, func(a, b JobGauges) int {
		if a.Served != b.Served { // those that are served first
			if a.Served {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Job, b.Job)
	})
	return slices.DeleteFunc(jobs, func(j JobGauges) bool { return m.job(j.Job) == otherJob })
}
