package web

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"fanmill/pipeline"
)

// rule is an alert of examples/monitoring/alerts.yaml.
type rule struct {
	Alert string
	Expr  string
	For   string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "monitoring", "alerts.yaml"))
	var file struct{ Groups []struct{ Rules []rule } }
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// watched are processes that are scraped once a minute, and the alerts that fire then.
type watched struct {
	t         *testing.T
	processes map[string]*Server // by instance
	fakes     map[string]*fake
	gone      map[string]bool // are not scraped
	h         history
	now       time.Time
	rules     []rule
	active    map[string]time.Time // since when, by alert and labels
}

func watch(t *testing.T, instances ...string) *watched {
	w := &watched{t: t, processes: map[string]*Server{}, fakes: map[string]*fake{}, gone: map[string]bool{}, h: history{series: map[string]*series{}},
		now: time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC), rules: rules(t), active: map[string]time.Time{}}
	for _, i := range instances {
		w.processes[i], w.fakes[i] = New(Options{Words: words}), newFake()
		w.fakes[i].gauges = &Gauges{Jobs: []JobGauges{{Job: "gst", LastComplete: w.now}}, DeadLetters: map[string]int{"gst": 0}, Memory: Fill{1, 100}, Budget: Fill{1, 100}}
		w.processes[i].Attach(w.fakes[i])
	}
	return w
}

// scrape takes the samples of a minute, and returns the alerts that fire, as names with labels.
func (w *watched) scrape() (firing []string) {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	w.h.scraped = append(w.h.scraped, w.now)
	for instance, s := range w.processes {
		if w.gone[instance] {
			continue
		}
		families, err := s.metrics.registry.Gather()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if m.Histogram != nil || !strings.HasPrefix(f.GetName(), "fanmill_") {
					continue
				}
				labels := map[string]string{"__name__": f.GetName(), "instance": instance}
				for _, l := range m.Label {
					labels[l.GetName()] = l.GetValue()
				}
				key := fmt.Sprint(labels)
				if w.h.series[key] == nil {
					w.h.series[key] = &series{labels: labels}
				}
				at := w.h.series[key]
				at.samples = append(at.samples, sample{w.now, m.GetGauge().GetValue() + m.GetCounter().GetValue()})
			}
		}
	}
	active := map[string]time.Time{}
	for _, r := range w.rules {
		patience := time.Duration(0)
		if r.For != "" {
			var err error
			if patience, err = time.ParseDuration(r.For); err != nil {
				w.t.Fatal(err)
			}
		}
		for _, one := range w.h.evaluate(r.Expr, w.now).of {
			name := r.Alert
			labels := nameless(one.labels)
			for _, l := range slices.Sorted(maps.Keys(labels)) {
				name += " " + labels[l]
			}
			since, before := w.active[name]
			if !before {
				since = w.now
			}
			if active[name] = since; w.now.Sub(since) >= patience {
				firing = append(firing, name)
			}
		}
	}
	w.active = active
	slices.Sort(firing)
	return firing
}

// fire scrapes for so long, and wants these alerts to fire first at the last scrape, and none before.
func (w *watched) fire(after time.Duration, want ...string) {
	w.t.Helper()
	for at := time.Minute; ; at += time.Minute {
		got := w.scrape()
		if at >= after {
			if !slices.Equal(got, want) {
				w.t.Errorf("after %s these fire: %q, want %q", after, got, want)
			}
			return
		}
		if len(got) > 0 {
			w.t.Errorf("after %s, and not %s, these fire: %q", at, after, got)
			return
		}
	}
}

// count has a process count events of a run of gst.
func (w *watched) count(instance string, kinds ...string) {
	event, _ := w.processes[instance].Meter(&pipeline.Job{ID: "gst", Connections: []pipeline.Connection{{ID: "a", Driver: "sqlite"}}}, false, nil)
	for _, k := range kinds {
		event(pipeline.Event{Kind: k, Connection: "a", Destination: "csv"})
	}
}

// The rules in examples/ fire when they must, as long after it as they say, and not before: they are evaluated over
// what processes export from minute to minute.
func TestAlertsFire(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, w *watched){
		"all is well": func(t *testing.T, w *watched) {
			w.count("a", pipeline.EventConnected, pipeline.EventRetry, pipeline.EventConnected, pipeline.EventDelivered, pipeline.EventCommitted, pipeline.EventTrouble)
			w.fire(2 * time.Hour)
		},
		"a job is late": func(t *testing.T, w *watched) {
			for _, f := range w.fakes {
				f.gauges.Jobs[0].LastComplete = w.now.Add(-25 * time.Hour)
			}
			w.fire(time.Hour+6*time.Minute, "FanmillJobLate gst")
			w.fakes["b"].gauges.Jobs[0].LastComplete = w.now // which one of the processes sees first
			w.fire(time.Hour)
		},
		"a job was never complete": func(t *testing.T, w *watched) {
			for _, f := range w.fakes {
				f.gauges.Jobs = append(f.gauges.Jobs, JobGauges{Job: "never"})
			}
			w.fire(6*time.Minute, "FanmillJobLate never")
		},
		"nobody is scraped": func(t *testing.T, w *watched) {
			w.gone["a"] = true
			w.fire(time.Hour)
			w.gone["b"] = true
			w.fire(11*time.Minute, "FanmillAbsent")
		},
		"the store is away": func(t *testing.T, w *watched) {
			w.fakes["a"].notReady = errors.New("away")
			w.fire(time.Hour)
			w.fakes["b"].notReady = errors.New("away")
			w.fire(6*time.Minute, "FanmillStoreDown")
			w.fire(0, "FanmillStoreDown")
			w.fakes["b"].notReady = nil
			w.fire(time.Hour)
		},
		"the first branch that fails": func(t *testing.T, w *watched) {
			w.fire(2 * time.Minute) // since they began
			w.count("a", pipeline.EventFailed)
			w.fire(time.Minute, "FanmillConnectionsFail gst")
			for range 58 {
				w.scrape()
			}
			w.fire(time.Hour) // it is an hour ago
			w.count("b", pipeline.EventRejected)
			w.fire(time.Minute, "FanmillConnectionsFail gst")
		},
		"a job that a trigger brought along fails": func(t *testing.T, w *watched) {
			w.fire(2 * time.Minute)
			event, _ := w.processes["a"].Meter(&pipeline.Job{ID: "once"}, true, nil)
			event(pipeline.Event{Kind: pipeline.EventFailed})
			w.fire(time.Minute, "FanmillConnectionsFail other")
		},
		"a destination is given up, another owes": func(t *testing.T, w *watched) {
			w.fire(2 * time.Minute)
			w.count("a", pipeline.EventDetached)
			w.fire(time.Minute, "FanmillDestinationGivenUp gst destination")
			w.count("b", pipeline.EventOwing)
			w.fire(time.Minute, "FanmillDestinationGivenUp gst destination", "FanmillDestinationGivenUp gst owing")
		},
		"requests are refused": func(t *testing.T, w *watched) {
			w.fakes["a"].gauges.DeadLetters["gst"] = 2
			w.fire(16*time.Minute, "FanmillDeadLetters gst")
			w.fakes["a"].gauges.DeadLetters["gst"] = 0
			w.fire(time.Hour)
		},
		"the row log is full": func(t *testing.T, w *watched) {
			w.fakes["b"].gauges.Jobs[0].Log = &Fill{89, 100}
			w.fire(time.Hour)
			w.fakes["b"].gauges.Jobs[0].Log = &Fill{95, 100}
			w.fire(10 * time.Minute)
			w.fakes["b"].gauges.Jobs[0].Log = &Fill{10, 100} // for a moment: it moves
			w.fire(time.Minute)
			w.fakes["b"].gauges.Jobs[0].Log = &Fill{95, 100}
			w.fire(16*time.Minute, "FanmillRowLogFull gst")
		},
		"memory is tight": func(t *testing.T, w *watched) {
			w.fakes["a"].gauges.Memory = Fill{95, 100}
			w.fire(6*time.Minute, "FanmillMemoryTight a")
		},
	} {
		t.Run(name, func(t *testing.T) { f(t, watch(t, "a", "b")) })
	}
}

// Each rule has fired in some case above, or nobody knows that it can.
func TestEveryAlertIsTried(t *testing.T) {
	text, err := os.ReadFile("alerts_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		if !strings.Contains(string(text), `"`+r.Alert) {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
}

// What the evaluation does not know it refuses.
func TestUnknownPromQLIsRefused(t *testing.T) {
	for _, expr := range []string{"rate(fanmill_x[5m])", "fanmill_x or fanmill_y", "1 > 2", `fanmill_x{a!="b"}`, "fanmill_x offset 5m", "sum without (a) (fanmill_x)", "max(fanmill_x"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is evaluated", expr)
				}
			}()
			h := &history{series: map[string]*series{}, scraped: []time.Time{{}}}
			h.evaluate(expr, time.Time{})
		}()
	}
}
