package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// clockTower is a store's server as schedules see it: alarms that go off as its clock moves, a stream of triggers that
// drops what has an id that it knows, and buckets.
type clockTower struct {
	t          *testing.T
	jobs, runs *memstore.KV

	time   time.Time
	seq    uint64
	alarms map[string]pipeline.Alarm // by job and schedule
	due    []*pipeline.Message       // that nobody is done with
	asked  map[string]int            // how often a run of this id was asked for
	asks   map[string]pipeline.Trigger
	answer pipeline.Answer
	during func() // called while somebody asks, once
}

func newClockTower(t *testing.T, at time.Time) *clockTower {
	return &clockTower{t: t, jobs: &memstore.KV{}, runs: &memstore.KV{}, time: at, alarms: map[string]pipeline.Alarm{}, asked: map[string]int{}, asks: map[string]pipeline.Trigger{}}
}

// errKilled is what a process finds that is killed.
var errKilled = errors.New("killed")

// scheduler is a process that serves: its schedules over the tower, its files, and the step at which it is killed.
type scheduler struct {
	*schedules
	tower *clockTower
	files files
	off   time.Duration // of its clock
	said  strings.Builder

	ctx    context.Context
	end    context.CancelFunc
	steps  int
	killAt int  // 0 is never
	before bool // the step does not happen then
	dead   bool
}

// files are what a process serves.
type files struct {
	jobs []ServedJob
	gone map[string]bool
}

func (f *files) Scheduled() []ServedJob { return f.jobs }
func (f *files) Gone(_ context.Context, job string, _ checkpoint.Edition) bool {
	return f.gone[job]
}

// process is one that begins to serve.
func (c *clockTower) process(jobs ...ServedJob) *scheduler {
	p := &scheduler{tower: c, files: files{jobs: jobs, gone: map[string]bool{}}}
	p.ctx, p.end = context.WithCancel(c.t.Context())
	p.schedules = &schedules{jobs: killedKV{c.jobs, p}, runs: killedKV{c.runs, p}, bus: killedBus{p: p}, alarms: killedAlarms{p}, served: &p.files,
		log:   slog.New(slog.NewTextHandler(&p.said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		local: func() time.Time { return c.time.Add(p.off) },
		had:   map[string]ServedJob{}, disagree: map[string]int{}}
	p.schedules.said = map[string]string{}
	return p
}

// step does something that others see, unless the process is killed before that; or after it.
func (p *scheduler) step(do func()) error {
	if p.dead {
		return errKilled
	}
	p.steps++
	if p.steps == p.killAt && p.before {
		p.kill()
		return errKilled
	}
	do()
	if p.steps == p.killAt {
		p.kill()
		return errKilled
	}
	return nil
}

func (p *scheduler) kill() {
	p.dead = true
	p.end()
}

type killedKV struct {
	*memstore.KV
	p *scheduler
}

func (k killedKV) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if k.p.dead {
		return pipeline.KVEntry{}, errKilled
	}
	return k.KV.Get(ctx, key)
}

func (k killedKV) Create(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	if killed := k.p.step(func() { rev, err = k.KV.Create(ctx, key, value) }); killed != nil {
		return 0, killed
	}
	return rev, err
}

func (k killedKV) Update(ctx context.Context, key string, value []byte, revision uint64) (rev uint64, err error) {
	if killed := k.p.step(func() { rev, err = k.KV.Update(ctx, key, value, revision) }); killed != nil {
		return 0, killed
	}
	return rev, err
}

type killedBus struct {
	pipeline.Bus
	p *scheduler
}

func (b killedBus) Ask(_ context.Context, topic, id string, payload []byte) (data []byte, _ error) {
	c := b.p.tower
	if during := c.during; during != nil {
		c.during = nil
		during()
	}
	err := b.p.step(func() {
		c.asked[id]++
		wants, err := pipeline.ReadTrigger(payload)
		if err != nil {
			c.t.Errorf("%s: %v", payload, err)
		}
		c.asks[id] = wants
		answer := c.answer
		answer.Run = id
		data, _ = json.Marshal(answer)
	})
	return data, err
}

type killedAlarms struct{ p *scheduler }

func (a killedAlarms) Open(context.Context) error { return nil }
func (a killedAlarms) Now(context.Context) (time.Time, error) {
	if a.p.dead {
		return time.Time{}, errKilled
	}
	return a.p.tower.time, nil
}

func (a killedAlarms) Alarm(_ context.Context, job, schedule string) (pipeline.Alarm, error) {
	if a.p.dead {
		return pipeline.Alarm{}, errKilled
	}
	return a.p.tower.alarms[pipeline.TopicDue(job, schedule)], nil
}

func (a killedAlarms) Set(_ context.Context, job, schedule string, at time.Time, seen pipeline.Alarm) (err error) {
	c, topic := a.p.tower, pipeline.TopicDue(job, schedule)
	if killed := a.p.step(func() {
		if c.alarms[topic].Revision != seen.Revision {
			err = pipeline.ErrConflict
			return
		}
		c.seq++
		c.alarms[topic] = pipeline.Alarm{At: at, Revision: c.seq}
		c.goOff()
	}); killed != nil {
		return killed
	}
	return err
}

func (a killedAlarms) Cancel(_ context.Context, job, schedule string) error {
	return a.p.step(func() { delete(a.p.tower.alarms, pipeline.TopicDue(job, schedule)) })
}

// goOff has the alarms go off whose time has come.
func (c *clockTower) goOff() {
	for _, topic := range slices.Sorted(maps.Keys(c.alarms)) {
		if a := c.alarms[topic]; !a.At.After(c.time) {
			delete(c.alarms, topic)
			c.seq++
			c.due = append(c.due, &pipeline.Message{Subject: topic, Sequence: c.seq, Stored: c.time})
		}
	}
}

// until moves the clock.
func (c *clockTower) until(at time.Time) {
	c.time = at
	c.goOff()
}

// serve looks, and handles what is due, as a process does that serves all the time.
func (p *scheduler) serve() {
	p.tower.t.Helper()
	if _, err := p.look(p.ctx); err != nil && !p.dead {
		p.tower.t.Fatal(err)
	}
	for n := 0; len(p.tower.due) > 0 && !p.dead; n++ {
		if n > 20 {
			p.tower.t.Fatalf("alarms go off all the time: %v", p.tower.due)
		}
		m := p.tower.due[0]
		if err := p.schedules.due(p.ctx, m); err == nil {
			p.tower.due = slices.DeleteFunc(p.tower.due, func(x *pipeline.Message) bool { return x == m })
		} else if !p.dead {
			p.tower.t.Fatal(err)
		}
	}
}

// runs are the ids that were asked for, without what they begin with.
func (c *clockTower) ids() []string {
	var all []string
	for id := range c.asked {
		_, at, _ := strings.Cut(strings.TrimPrefix(id, pipeline.ScheduledRuns), "-")
		all = append(all, at)
	}
	slices.Sort(all)
	return all
}

// timetable is that of the job.
func (c *clockTower) timetable() checkpoint.Timetable {
	c.t.Helper()
	doc, err := checkpoint.LoadTimetable(c.t.Context(), c.jobs, "gst")
	if err != nil {
		c.t.Fatal(err)
	}
	return doc.Value()
}

// says reports whether the schedules that count are a job's.
func (c *clockTower) says(job *pipeline.Job) bool {
	t := c.timetable()
	return t.Says(job)
}

// nightly is a job with schedules, from a file that was written at some time.
func nightly(edited time.Time, all ...pipeline.Schedule) ServedJob {
	return ServedJob{Job: &pipeline.Job{ID: "gst", TimeZone: "Europe/Berlin", Schedules: all}, From: checkpoint.Edition{From: "gst.json on a", Edited: edited}}
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}
