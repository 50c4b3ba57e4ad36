package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrCancelled ends a run that somebody cancelled.
var ErrCancelled = errors.New("cancelled")

// Answer is what a process says to whoever published a trigger or a cancellation and waits for an answer.
type Answer struct {
	Run       string `json:"run,omitempty"`
	Job       string `json:"job,omitempty"`
	State     string `json:"state,omitempty"`     // queued, running, cancelling, or how the run ended
	Duplicate bool   `json:"duplicate,omitempty"` // the run was asked for before, by the same Nats-Msg-Id
	Skipped   bool   `json:"skipped,omitempty"`   // the job is running, and its onOverlap is skip
	Error     string `json:"error,omitempty"`
	// Stream and Seq make the answer a publish acknowledgement to JetStream clients.
	Stream string `json:"stream,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
}

// States of an answer that are not states of a run.
const (
	AnswerQueued     = "queued"
	AnswerCancelling = "cancelling"
)

// desk hears what people ask of this process, and answers: triggers as they pass by on their way into the stream, see
// inquiries, and cancellations. Every process hears everything; the one that has the run speaks first.
type desk struct {
	n     *Coordinator
	work  sync.WaitGroup
	stops []func()
	ctx   context.Context // of looking things up
	end   context.CancelFunc

	mu      sync.Mutex
	tickets map[*ticket]bool // a message that is delivered twice has two
	inquiries
}

// ticket is a trigger that this process carries out, or has in line. Its fields belong to the desk.
type ticket struct {
	key             string // see keyOf
	id              string // of the run that it asks for
	seq             uint64 // in the stream
	job, run, state string // a resume continues a run under another id than the trigger's
	answered, begun bool
	cancel          context.CancelCauseFunc
}

// othersFirst is how long a process that does not know a run leaves it to the others to say that they do.
const othersFirst = 300 * time.Millisecond

func newDesk(n *Coordinator) *desk {
	d := &desk{n: n, tickets: map[*ticket]bool{}, inquiries: newInquiries()}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// listen hears cancellations; listenTriggers triggers, too.
func (d *desk) listen() error { return d.hear(TopicCancels, d.cancelled) }

func (d *desk) listenTriggers() error {
	return errors.Join(d.hear(TopicTriggers, d.inquired), d.hear(TopicInlines, d.inquired), d.hear(topicMisspelt, d.misspelt))
}

// misspelt hears a trigger that no stream keeps.
func (d *desk) misspelt(q Inquiry) {
	id := strings.TrimPrefix(q.Subject, strings.TrimSuffix(TopicTriggers, "*"))
	text := fmt.Sprintf("%s names no job, and nothing is run: for the job %q the subject is %s", q.Subject, id, TopicTrigger(id))
	d.n.Log.Error("a trigger cannot be taken: " + text)
	respond(q.Answer, Answer{Error: text})
}

func (d *desk) hear(topic string, f func(Inquiry)) error {
	stop, err := d.n.Bus.Listen(topic, func(q Inquiry) { d.work.Go(func() { f(q) }) })
	if err != nil {
		return err
	}
	d.stops = append(d.stops, stop)
	return nil
}

func (d *desk) close() {
	for _, stop := range d.stops {
		stop()
	}
	d.end()
	d.work.Wait()
}

// admit registers a trigger. The context ends when its run is cancelled; finish forgets it.
func (d *desk) admit(ctx context.Context, key, id, job string, seq uint64) (context.Context, *ticket) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &ticket{key: key, id: id, seq: seq, job: job, run: id, state: AnswerQueued, cancel: cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tickets[t] = true
	return ctx, t
}

func (d *desk) finish(t *ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tickets, t)
	t.cancel(nil)
}

// began notes under which id a trigger's run goes.
func (d *desk) began(t *ticket, run string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.run, t.state, t.begun = run, string(RunRunning), true
}

// hasBegun reports whether the run that a trigger asks for has begun here.
func (d *desk) hasBegun(t *ticket) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return t.begun
}

// twin is what is said of another message that asks for the run of this id and is in this process's hands. seq is
// this one's place in the stream: a message that is delivered twice is no twin of itself.
func (d *desk) twin(id string, seq uint64) (Answer, bool) {
	d.mu.Lock()
	for t := range d.tickets {
		if t.id == id && t.key != "" && t.seq != seq {
			a := Answer{Run: t.run, Job: t.job, State: t.state, Duplicate: true}
			d.mu.Unlock()
			return d.asRecorded(a), true
		}
	}
	d.mu.Unlock()
	return Answer{}, false
}

// asRecorded is an answer about a run with the state that its record has: a run has ended as soon as that says so,
// and its ticket is handed in a moment later.
func (d *desk) asRecorded(a Answer) Answer {
	if a.State != string(RunRunning) {
		return a
	}
	if cell, err := LoadCell[RunRecord](d.ctx, d.n.Stores.Runs, RunKey(a.Run)); err == nil {
		a.State = string(cell.Value().State)
	}
	return a
}

// others reports whether the trigger of this id has another ticket.
func (d *desk) others(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.tickets {
		if t.id == id {
			return true
		}
	}
	return false
}

// inquired hears a trigger pass by.
func (d *desk) inquired(q Inquiry) {
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
func (d *desk) repeated(q Inquiry, key string) (Answer, bool) {
	if q.MsgID == "" {
		return Answer{}, false
	}
	a, ok := d.known(q.MsgID) // before it is asked whether it is expected
	if !ok || d.expected(key) {
		return Answer{}, false
	}
	a.Duplicate = true
	if job := lastToken(q.Subject); Token(a.Job) != job {
		a = Answer{Error: fmt.Sprintf("%s is the id of a run of job %s; choose another id", a.Run, a.Job)}
	}
	return a, true
}

// expected reports whether an answer is there for this trigger, or will be in a moment: then it is not known from
// before.
func (d *desk) expected(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.tickets {
		if t.key == key && !t.answered {
			return true
		}
	}
	return d.owes(key)
}

// known finds a run of this id: here, or in the store.
func (d *desk) known(id string) (Answer, bool) {
	d.mu.Lock()
	for t := range d.tickets {
		if t.id == id {
			a := Answer{Run: t.run, Job: t.job, State: t.state}
			d.mu.Unlock()
			return d.asRecorded(a), true
		}
	}
	d.mu.Unlock()
	_, a, err := d.n.view().Became(d.ctx, id)
	return a, err == nil && a != (Answer{})
}

// reply answers whoever published a trigger that came from the stream. One that comes again has most likely been
// answered: nobody is awaited.
func (d *desk) reply(key, says string, a Answer, again bool) {
	d.mu.Lock()
	for t := range d.tickets {
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
func (d *desk) cancelled(q Inquiry) {
	id := lastToken(q.Subject)
	own, err := LoadCell[RunRecord](d.ctx, d.n.Stores.Runs, RunKey(id))
	ended := err == nil && own.Value().State != RunRunning
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
	if a, ok := d.known(id); ok && errors.Is(err, ErrNoKey) && a.State == StoppedCancelled {
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
func (d *desk) cancel(id string, ended bool) (a Answer, found bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.tickets {
		if t.id != id && t.run != id || ended && t.state == string(RunRunning) {
			continue
		}
		t.cancel(errCancelled(t.run))
		t.state = AnswerCancelling
		a, found = Answer{Run: t.run, Job: t.job, State: t.state}, true
	}
	return a, found
}

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

func respond(answer func([]byte) error, a Answer) {
	if answer == nil {
		return
	}
	if payload, err := json.Marshal(a); err == nil {
		_ = answer(payload) // whoever asked is gone, or asks again
	}
}
