package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/spec"
)

// Service is a process that takes triggers.
type Service struct {
	// Find finds the job that a trigger names, or reads the one that it brings along. An error is final, and answered.
	Find func(job string, inline json.RawMessage) (*spec.Definition, error)
	// MaxRuns is how many runs, of different jobs, go on at a time.
	MaxRuns int
	// Served are the jobs that run by themselves, and Alarms what tells when; nil has none run so.
	Served Served
	Alarms pipeline.Alarms
	// Ready is called once triggers are heard.
	Ready func()
	// SweepEvery is how often it is tidied up after processes that are gone, and old runs are forgotten; 0 is
	// sweepEvery.
	SweepEvery time.Duration
}

// sweepEvery is short beside what waits for it: a run of a process that died, whose row log takes room on the disk, and
// runs that are older than days. A sweep of a store in order costs one read of the records of all runs.
const sweepEvery = 10 * time.Minute

// serveDurable is the consumer of triggers, and inlineDurable that of those that bring their jobs along, that all
// serving processes share; inLine is how many triggers one of them holds at a time, running or waiting for their
// turn.
const (
	serveDurable  = "serve"
	inlineDurable = "serve-inline"
	inLine        = 1000
)

// Serve takes triggers and carries their runs out until ctx ends; then it takes no more, stops the runs as Ctrl-C
// does, and gives their triggers back: whoever serves next goes on with them. A trigger is acknowledged only when its
// run has ended, so one that this process dies over is delivered again and finds its run.
func Serve(ctx context.Context, n *coordinate.Coordinator, service Service) error {
	if err := n.Sweep(ctx); err != nil {
		return err
	}
	ctx, n, stop := n.Watched(ctx, true)
	defer stop()
	s := &server{c: n, Service: service, pending: newPending(n), queues: newQueues(), slots: semaphore.NewWeighted(int64(max(1, service.MaxRuns)))}
	defer s.pending.close()
	if err := errors.Join(s.pending.listen(), s.pending.listenTriggers()); err != nil {
		return err
	}
	timetables := s.newSchedules()
	handlers, err := timetables.handler(ctx)
	if err != nil {
		return err
	}
	if s.Ready != nil {
		s.Ready()
	}
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { timetables.run(ctx) })
	sweeping.Go(func() { sweep(ctx, n, s.SweepEvery, n.Sweep) })
	sweeping.Go(func() { s.adoptOrphans(ctx) })
	for topic, durable := range map[string]string{pipeline.TopicTriggers: serveDurable, pipeline.TopicInlines: inlineDurable} {
		handlers = append(handlers, pipeline.Handler{Topic: topic, Durable: durable, Parallel: inLine, Dead: pipeline.TopicDeadTriggers, Handle: func(_ context.Context, msg *pipeline.Message) error {
			return s.handle(ctx, msg)
		}})
	}
	err = n.Bus.Serve(ctx, n.Log, handlers...)
	if cause := context.Cause(ctx); errors.Is(cause, pipeline.ErrStore) || errors.Is(cause, pipeline.ErrFenced) {
		return cause
	}
	return err
}

type server struct {
	c *coordinate.Coordinator
	Service
	pending *pending
	queues  *queues
	slots   *semaphore.Weighted
}

// Tidy does for a process that takes no triggers what it can do beside them, until ctx ends: it tidies up on its own
// disks at once, and every now and then. What runs keep to themselves beside their files, only a process that has those
// can remove; all else is a coordinator's.
func Tidy(ctx context.Context, n *coordinate.Coordinator, every time.Duration) {
	if err := n.SweepHere(ctx); err != nil && ctx.Err() == nil {
		n.Log.Warn("it could not be tidied up after old runs; that is tried again", "error", err)
	}
	sweep(ctx, n, every, n.SweepHere)
}

// sweep tidies up now and then until ctx ends.
func sweep(ctx context.Context, n *coordinate.Coordinator, every time.Duration, tidy func(context.Context) error) {
	tick := time.NewTicker(cmp.Or(every, sweepEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := tidy(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("it could not be tidied up after old runs; that is tried again", "error", err)
		}
	}
}

// read understands a trigger.
func (s *server) read(msg *pipeline.Message) (pipeline.Trigger, *spec.Definition, error) {
	subject := msg.Subject
	t, err := pipeline.ReadTrigger(msg.Payload)
	if err != nil {
		return t, nil, err
	}
	job := pipeline.LastToken(subject)
	switch inline := subject == "fanmill.jobs.inline."+job; {
	case inline && len(t.Job) == 0:
		return t, nil, pipeline.Permanent(fmt.Errorf("%s is for triggers that bring a job along, and this one brings none; for a job that is served publish to fanmill.jobs.run.%s", subject, job))
	case !inline && len(t.Job) > 0:
		return t, nil, pipeline.Permanent(fmt.Errorf("%s is for jobs that are served, and this trigger brings one along: publish it to fanmill.jobs.inline.%s, which fanmill serve --inline-jobs takes", subject, job))
	}
	def, err := s.Find(subject[strings.LastIndexByte(subject, '.')+1:], t.Job)
	if err != nil {
		return t, nil, err
	}
	for _, id := range t.Connections {
		if _, err := def.Job.Connection(id); err != nil {
			return t, nil, err
		}
	}
	_, err = def.Params(t.Params, time.Now())
	return t, def, err
}
