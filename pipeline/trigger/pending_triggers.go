package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
)

// pending has the triggers that this process carries out, or has in line. It hears what people ask of the process, and
// answers: triggers as they pass by on their way into the stream, see inquiries, and cancellations. Every process hears
// everything; the one that has the run speaks first.
type pending struct {
	n     *coordinate.Coordinator
	work  sync.WaitGroup
	stops []func()
	ctx   context.Context // of looking things up
	end   context.CancelFunc

	mu       sync.Mutex
	triggers map[*pendingTrigger]bool // a message that is delivered twice has two
	inquiries
}

// pendingTrigger is a trigger that this process carries out, or has in line. Its fields are guarded by pending.mu.
type pendingTrigger struct {
	key             string // see keyOf
	id              string // of the run that it asks for
	seq             uint64 // in the stream
	job, run, state string // a resume continues a run under another id than the trigger's
	answered, begun bool
	cancel          context.CancelCauseFunc
}

// cancelPatience bounds the write of a cancellation that a process obeys at once, whether or not the store takes it.
const cancelPatience = 3 * time.Second

// othersFirst is how long a process that does not know a run leaves it to the others to say that they do.
const othersFirst = 300 * time.Millisecond

func newPending(n *coordinate.Coordinator) *pending {
	d := &pending{n: n, triggers: map[*pendingTrigger]bool{}, inquiries: newInquiries()}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// listen hears cancellations; listenTriggers triggers, too.
func (d *pending) listen() error { return d.hear(pipeline.TopicCancels, d.cancelled) }

func (d *pending) listenTriggers() error {
	return errors.Join(d.hear(pipeline.TopicTriggers, d.inquired), d.hear(pipeline.TopicInlines, d.inquired), d.hear(pipeline.TopicMisspelt, d.misspelt))
}

// misspelt hears a trigger that no stream keeps.
func (d *pending) misspelt(q pipeline.Inquiry) {
	id := strings.TrimPrefix(q.Subject, strings.TrimSuffix(pipeline.TopicTriggers, "*"))
	text := fmt.Sprintf("%s names no job, and nothing is run: for the job %q the subject is %s", q.Subject, id, pipeline.TopicTrigger(id))
	d.n.Log.Error("a trigger cannot be taken: " + text)
	respond(q.Answer, pipeline.Answer{Error: text})
}

func (d *pending) hear(topic string, f func(pipeline.Inquiry)) error {
	stop, err := d.n.Bus.Listen(topic, func(q pipeline.Inquiry) { d.work.Go(func() { f(q) }) })
	if err != nil {
		return err
	}
	d.stops = append(d.stops, stop)
	return nil
}

func (d *pending) close() {
	for _, stop := range d.stops {
		stop()
	}
	d.end()
	d.work.Wait()
}

// admit registers a trigger. The context ends when its run is cancelled; finish forgets it.
func (d *pending) admit(ctx context.Context, key, id, job string, seq uint64) (context.Context, *pendingTrigger) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &pendingTrigger{key: key, id: id, seq: seq, job: job, run: id, state: pipeline.AnswerQueued, cancel: cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.triggers[t] = true
	return ctx, t
}

func (d *pending) finish(t *pendingTrigger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.triggers, t)
	t.cancel(nil)
}

// began notes under which id a trigger's run goes.
func (d *pending) began(t *pendingTrigger, run string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.run, t.state, t.begun = run, string(pipeline.RunRunning), true
}

// hasBegun reports whether the run that a trigger asks for has begun here.
func (d *pending) hasBegun(t *pendingTrigger) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return t.begun
}

// twin is what is said of another message that asks for the run of this id and is in this process's hands. seq is
// this one's place in the stream: a message that is delivered twice is no twin of itself.
func (d *pending) twin(id string, seq uint64) (pipeline.Answer, bool) {
	d.mu.Lock()
	for t := range d.triggers {
		if t.id == id && t.key != "" && t.seq != seq {
			a := pipeline.Answer{Run: t.run, Job: t.job, State: t.state, Duplicate: true}
			d.mu.Unlock()
			return d.asRecorded(a), true
		}
	}
	d.mu.Unlock()
	return pipeline.Answer{}, false
}

// asRecorded is an answer about a run with the state that its record has: a run has ended as soon as that says so,
// and its trigger is finished a moment later.
func (d *pending) asRecorded(a pipeline.Answer) pipeline.Answer {
	if a.State != string(pipeline.RunRunning) {
		return a
	}
	if doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](d.ctx, d.n.Stores.Runs, checkpoint.RunKey(a.Run)); err == nil {
		a.State = string(doc.Value().State)
	}
	return a
}

// others reports whether the trigger of this id has another entry.
func (d *pending) others(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.triggers {
		if t.id == id {
			return true
		}
	}
	return false
}

// inquired hears a trigger pass by.
func (d *pending) inquired(q pipeline.Inquiry) {
	key, says := keyOf(q.Subject, q.MsgID, q.Payload), saying(q.Subject, q.Payload)
	if a, ok := d.repeated(q, key); ok {
		respond(q.Answer, a)
		return
	}
	d.mu.Lock()
	waits := &inquiry{q.Answer, says, time.Now()}
	a, ok := d.ask(key, waits)
	was, late := d.lately(key, says)
	d.mu.Unlock()
	if ok {
		respond(q.Answer, a)
		return
	}
	a, ok = d.repeated(q, key) // the first of its id may have been answered since, and its stream drops the others
	if !ok && late {           // this one may come from the stream, or never
		select {
		case <-time.After(againPatience):
		case <-d.ctx.Done():
		}
		a, ok = was, true
	}
	d.mu.Lock()
	left := ok && d.withdraw(key, waits)
	d.mu.Unlock()
	if left {
		respond(q.Answer, a)
	}
}

// repeated is the answer to a trigger whose id is known from before. One that arrives from the stream at this moment
// is not: it is expected, however far its run has come.
func (d *pending) repeated(q pipeline.Inquiry, key string) (pipeline.Answer, bool) {
	if q.MsgID == "" {
		return pipeline.Answer{}, false
	}
	a, ok := d.known(q.MsgID) // before it is asked whether it is expected
	if !ok || d.expected(key) {
		return pipeline.Answer{}, false
	}
	a.Duplicate = true
	if job := pipeline.LastToken(q.Subject); pipeline.Token(a.Job) != job {
		a = pipeline.Answer{Error: fmt.Sprintf("%s is the id of a run of job %s; choose another id", a.Run, a.Job)}
	}
	return a, true
}

// expected reports whether an answer is there for this trigger, or will be in a moment: then it is not known from
// before.
func (d *pending) expected(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.triggers {
		if t.key == key && !t.answered {
			return true
		}
	}
	return d.owes(key)
}

// known finds a run of this id: here, or in the store.
func (d *pending) known(id string) (pipeline.Answer, bool) {
	d.mu.Lock()
	for t := range d.triggers {
		if t.id == id {
			a := pipeline.Answer{Run: t.run, Job: t.job, State: t.state}
			d.mu.Unlock()
			return d.asRecorded(a), true
		}
	}
	d.mu.Unlock()
	_, a, err := d.n.View().Became(d.ctx, id)
	return a, err == nil && a != (pipeline.Answer{})
}

// reply answers whoever published a trigger that came from the stream. One that comes again has most likely been
// answered: nobody is awaited.
func (d *pending) reply(key, says string, a pipeline.Answer, again bool) {
	d.mu.Lock()
	for t := range d.triggers {
		t.answered = t.answered || t.key == key
	}
	if a.Error != "" && strings.HasPrefix(key, keyOfID) {
		d.refused(key, says, a)
	}
	answers := d.answer(key, says, a, again)
	d.mu.Unlock()
	for i, answer := range answers {
		a.Duplicate = a.Duplicate || i > 0
		respond(answer, a)
	}
}

// cancelled hears a cancellation. It is written down before anything else, so that it stays one if this process ends
// now, and so that a process obeys that did not hear it.
func (d *pending) cancelled(q pipeline.Inquiry) {
	id := pipeline.LastToken(q.Subject)
	own, err := checkpoint.LoadDocument[checkpoint.RunRecord](d.ctx, d.n.Stores.Runs, checkpoint.RunKey(id))
	ended := err == nil && own.Value().State != pipeline.RunRunning
	writing, stop := context.WithTimeout(d.ctx, cancelPatience)
	known, storeErr := d.n.Cancel(writing, id)
	stop()
	if storeErr != nil && d.ctx.Err() == nil {
		d.n.Log.Warn(fmt.Sprintf("that run %s is to stop could not be stored: a process that did not hear it does not obey", id), "error", storeErr)
	}
	if a, ok := d.cancel(id, ended); ok {
		respond(q.Answer, a)
		return
	}
	if a, ok := d.known(id); ok && errors.Is(err, pipeline.ErrNoKey) && a.State == pipeline.StoppedCancelled {
		a.Error = "the run was cancelled before it began"
		respond(q.Answer, a)
		return
	}
	select {
	case <-time.After(othersFirst):
	case <-d.ctx.Done():
		return
	}
	if storeErr == nil {
		respond(q.Answer, known)
	}
}

// cancel stops the run of this id if it is here. One whose record says that it has ended is only about to leave,
// unless it still waits to be resumed.
func (d *pending) cancel(id string, ended bool) (a pipeline.Answer, found bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.triggers {
		if t.id != id && t.run != id || ended && t.state == string(pipeline.RunRunning) {
			continue
		}
		t.cancel(coordinate.StopCancelled(t.run))
		t.state = pipeline.AnswerCancelling
		a, found = pipeline.Answer{Run: t.run, Job: t.job, State: t.state}, true
	}
	return a, found
}

func respond(answer func([]byte) error, a pipeline.Answer) {
	if answer == nil {
		return
	}
	if payload, err := json.Marshal(a); err == nil {
		_ = answer(payload) // whoever asked is gone, or asks again
	}
}
