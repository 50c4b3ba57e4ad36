package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// fake is a Backend in memory.
type fake struct {
	notReady, stuck error

	mu      sync.Mutex
	runs    []Run
	jobs    []Job
	points  []Checkpoint
	letters []Letter
	log     string
	asking  sync.Once
	looks   int // at a run
	changed func(string)
	ask     chan struct{} // closed when Changes is called
	asked   []string      // who has asked for what
	started Start
	gauges  *Gauges
}

func newFake() *fake { return &fake{gauges: &Gauges{}, ask: make(chan struct{})} }

func (f *fake) Alive() error                { return f.stuck }
func (f *fake) Ready(context.Context) error { return f.notReady }
func (f *fake) About() About {
	return About{Version: "v1", Host: "vm", PID: 7, Store: "of-the-store"}
}

func (f *fake) Runs(context.Context) ([]RunLine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []RunLine{}
	for _, r := range f.runs {
		out = append(out, r.RunLine)
	}
	return out, f.notReady
}

func (f *fake) Run(_ context.Context, id string) (*Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.notReady != nil {
		return nil, f.notReady
	}
	for _, r := range f.runs {
		if r.Run == id {
			r.Connections = append([]Connection{}, r.Connections...)
			r.Destinations = append([]Destination{}, r.Destinations...)
			return &r, nil
		}
	}
	return nil, None("there is no run %q", id)
}

func (f *fake) Manifest(_ context.Context, run string) ([]byte, error) {
	return []byte(`{"run":"` + run + `"}`), nil
}

func (f *fake) Log(context.Context, string, int64) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log, nil
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

var _ io.ReadSeekCloser = nopCloser{}

func (f *fake) Open(_ context.Context, run, destination string, number int) (*Content, error) {
	if destination != "csv" || number != 0 {
		return nil, None("run %s has no such file", run)
	}
	sum := sha256.Sum256([]byte("a,b\n"))
	return &Content{nopCloser{strings.NewReader("a,b\n")}, File{Name: "Verkäufe \"März\".csv", Bytes: 4, SHA256: hex.EncodeToString(sum[:])}}, nil
}

func (f *fake) Jobs(context.Context) ([]Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Job{}, f.jobs...), f.notReady
}

func (f *fake) Checkpoints(context.Context) ([]Checkpoint, error) { return f.points, f.notReady }
func (f *fake) Letters(context.Context) ([]Letter, error)         { return f.letters, f.notReady }

func (f *fake) Letter(_ context.Context, key string) (*Letter, error) {
	for i := range f.letters {
		if f.letters[i].Key == key {
			return &f.letters[i], nil
		}
	}
	return nil, None("there is no dead request %q", key)
}

func (f *fake) Gauges(context.Context) (*Gauges, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gauges, f.notReady
}

func (f *fake) Changes(ctx context.Context, changed func(string)) {
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	f.asking.Do(func() { close(f.ask) })
	<-ctx.Done()
}

// change changes a run and tells of it.
func (f *fake) change(id string, how func(*Run)) {
	f.mu.Lock()
	for i := range f.runs {
		if f.runs[i].Run == id {
			how(&f.runs[i])
		}
	}
	tell := f.changed
	f.mu.Unlock()
	if tell != nil {
		tell(id)
	}
}

// hostile is what nobody's data may do to a page.
const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>"'&` + "`" + `</tbody></table>`

// someRun is a run that goes on, of n connections.
func someRun(id string, n int) Run {
	lag := int64(3)
	started := time.Now().Add(-time.Minute)
	r := Run{RunLine: RunLine{Run: id, JobID: "sales.daily", JobName: "Sales", State: "running", Started: started, Total: n, Revision: "running.0.1"}, Owner: "process 7 on vm",
		Params: []Param{{"from", "date", "2026-04-01"}}, Drift: []string{}, Suggestions: []string{}, Cancel: "fanmill cancel " + id,
		Charts: []Chart{{"Memory", 1 << 30, []Point{{started, 100 << 20}, {started.Add(30 * time.Second), 300 << 20}}}}}
	for i := range n {
		r.Connections = append(r.Connections, Connection{ID: fmt.Sprintf("conn_%d", i), Name: fmt.Sprintf("Branch_%03d", i), State: "pending", Missing: []Missing{}, Losses: []Loss{}, Notes: []Note{}})
	}
	r.Destinations = []Destination{{ID: "csv", Type: "csv", Label: "CSV", Where: "D:/Reports/sales.csv", State: "open", Total: n, Lag: &lag, Files: []File{}}}
	return r
}

// words write numbers simply.
var words = Words{Count: func(n int64) string { return fmt.Sprint(n) }, Size: func(n int64) string { return fmt.Sprint(n, " B") }, Duration: time.Duration.String,
	Of: func(n int64, thing string) string { return fmt.Sprint(n, " ", thing, "s") }}

// did notes what was asked for, and who has.
func (f *fake) did(by, what, id, revision string) (*Done, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.runs {
		if r := &f.runs[i]; r.RunLine.Run == id && r.Revision != revision {
			return nil, Refuse(errors.New("run " + id + " has changed: it is " + r.State + " now"))
		}
	}
	f.asked = append(f.asked, by+" "+what+" "+id)
	return &Done{Said: what + " is done", Run: id}, nil
}

func (f *fake) Start(_ context.Context, by, job string, s Start) (*Done, error) {
	d, err := f.did(by, "start", job, "")
	if err == nil {
		f.mu.Lock()
		f.started = s
		f.mu.Unlock()
		d.Run = "r1"
	}
	return d, err
}

func (f *fake) Resume(_ context.Context, by, run, revision string) (*Done, error) {
	d, err := f.did(by, "resume", run, revision)
	if err == nil {
		f.change(run, func(r *Run) { r.State, r.Resumable, r.Revision = "running", false, "running.1.2" })
	}
	return d, err
}

func (f *fake) Cancel(_ context.Context, by, run, revision string) (*Done, error) {
	return f.did(by, "cancel", run, revision)
}

func (f *fake) GiveUp(_ context.Context, by, job, revision string) (*Done, error) {
	if len(f.points) == 0 || f.points[0].Revision != revision {
		return nil, Refuse(errors.New("it has changed"))
	}
	f.points = nil
	return f.did(by, "drop", job, revision)
}

func (f *fake) Forget(_ context.Context, by, run, revision string) (*Done, error) {
	return f.did(by, "forget", run, revision)
}

func (f *fake) Replay(_ context.Context, by, key, revision string, resend bool) (*Done, error) {
	return f.did(by, fmt.Sprint("replay ", resend), key, revision)
}

func (f *fake) Drop(_ context.Context, by, key, revision string) (*Done, error) {
	return f.did(by, "drop", key, revision)
}

func (f *fake) PauseSchedule(_ context.Context, by, job, revision string) (*Done, error) {
	return f.did(by, "pause "+revision, job, "")
}

func (f *fake) ResumeSchedule(_ context.Context, by, job, revision string) (*Done, error) {
	return f.did(by, "resume schedule "+revision, job, "")
}

func (f *fake) Check(_ context.Context, job string, connections []string, _ map[string]any) (*Check, error) {
	return &Check{Connections: []CheckLine{{ID: "a", Name: job, Error: hostile, Differs: []string{hostile}, Warnings: []string{hostile}}}, Destinations: []string{hostile}, Warnings: []string{fmt.Sprint(connections)}}, nil
}

func (f *fake) Preview(_ context.Context, _ string, p Preview) (*Rows, error) {
	text := hostile
	return &Rows{Connection: p.Connection, Columns: []Column{{hostile, "text"}, {"b", "int64"}}, Rows: [][]*string{{&text, nil}}, More: true}, nil
}
