package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Service is a process that takes triggers.
type Service struct {
	// Find finds the job that a trigger names, or reads the one that it brings along. An error is final, and answered.
	Find func(job string, inline json.RawMessage) (*Definition, error)
	// MaxRuns is how many runs, of different jobs, go on at a time.
	MaxRuns int
	// Ready is called once triggers are heard.
	Ready func()
}

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
func Serve(ctx context.Context, n *Coordinator, service Service) error {
	if err := n.sweep(ctx); err != nil {
		return err
	}
	ctx, watch := n.watchStore(ctx, 0)
	defer watch.stop()
	n = n.watched(watch)
	s := &server{c: n, Service: service, desk: newDesk(n), lanes: newLanes(), slots: semaphore.NewWeighted(int64(max(1, service.MaxRuns)))}
	defer s.desk.close()
	if err := errors.Join(s.desk.listen(), s.desk.listenTriggers()); err != nil {
		return err
	}
	if s.Ready != nil {
		s.Ready()
	}
	var handlers []Handler
	for topic, durable := range map[string]string{TopicTriggers: serveDurable, TopicInlines: inlineDurable} {
		handlers = append(handlers, Handler{Topic: topic, Durable: durable, Parallel: inLine, Dead: TopicDeadTriggers, Handle: func(_ context.Context, msg *Message) error {
			return s.handle(ctx, msg)
		}})
	}
	err := n.Bus.Serve(ctx, n.Log, handlers...)
	if cause := context.Cause(ctx); errors.Is(cause, ErrStore) {
		return cause
	}
	return err
}

type server struct {
	c *Coordinator
	Service
	desk    *desk
	lanes   *lanes
	slots   *semaphore.Weighted
	carried atomic.Int64 // triggers
}

// carriedOut counts a trigger; now and then it removes what has become old since this process began.
func (s *server) carriedOut(ctx context.Context) {
	if s.carried.Add(1)%forgetEvery != 0 || ctx.Err() != nil {
		return
	}
	cells, err := RunRecords(ctx, s.c.Stores.Runs, s.c.pass)
	if err != nil {
		s.c.Log.Warn("old runs could not be looked for; that is tried again", "error", err)
		return
	}
	s.c.forgetOld(ctx, cells)
}

// read understands a trigger.
func (s *server) read(msg *Message) (Trigger, *Definition, error) {
	subject := msg.Subject
	t, err := readTrigger(msg.Payload)
	if err != nil {
		return t, nil, err
	}
	job := lastToken(subject)
	switch inline := subject == "fanmill.jobs.inline."+job; {
	case inline && len(t.Job) == 0:
		return t, nil, Permanent(fmt.Errorf("%s is for triggers that bring a job along, and this one brings none; for a job that is served publish to fanmill.jobs.run.%s", subject, job))
	case !inline && len(t.Job) > 0:
		return t, nil, Permanent(fmt.Errorf("%s is for jobs that are served, and this trigger brings one along: publish it to fanmill.jobs.inline.%s, which fanmill serve --inline-jobs takes", subject, job))
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

// readTrigger reads a trigger's payload; nothing at all asks for a fresh run of everything.
func readTrigger(payload []byte) (t Trigger, err error) {
	text, err := asText(payload)
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		return t, nil
	}
	if err == nil {
		err = decodeTrigger(text, &t)
	}
	hint := fromShell(text, err)
	var other *json.UnmarshalTypeError
	if errors.As(err, &other) {
		if err = fmt.Errorf("there is a JSON %s in place of the object", other.Value); other.Field != "" {
			err = fmt.Errorf("%q is not what is expected, it is a JSON %s", other.Field, other.Value)
		}
	}
	if err != nil {
		return t, Permanent(fmt.Errorf(`the trigger cannot be read: %s%s; send {} or an object with "resume" (true or false), "startOver" (true or false), "targetMoved" (true or false), "connections" (a list of ids), "params" (an object), "job" (a job file)`,
			strings.TrimPrefix(err.Error(), "json: "), hint))
	}
	return t, nil
}

func decodeTrigger(text []byte, t *Trigger) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return err
	}
	if _, more := d.Token(); !errors.Is(more, io.EOF) {
		return errors.New("there is something after the object")
	}
	return nil
}
