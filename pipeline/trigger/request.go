package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/spec"
)

// request is one trigger on its way through this process.
type request struct {
	server  *server
	serving context.Context // ends with the process
	ctx     context.Context // ends also when the run is cancelled
	msg     *pipeline.Message
	key     string
	says    string // see saying
	seq     uint64
	late    bool // it was delivered before
	t       spec.Request
	def     *spec.Definition
	held    *pendingTrigger
	done    bool   // answered
	said    string // what it waits for, as last logged
}

// handle carries one trigger out. Its error says what becomes of the message: nil, it is done with; permanent, it is
// dead; any other, it comes again. ctx ends with the process.
func (s *server) handle(ctx context.Context, msg *pipeline.Message) error {
	q := &request{server: s, serving: ctx, msg: msg, key: keyOf(msg.Subject, msg.MsgID, msg.Payload)}
	q.says = saying(msg.Subject, msg.Payload)
	q.seq, q.late = msg.Sequence, msg.Delivered > 1
	id := pipeline.RunID(msg)
	if err := pipeline.CheckRunID(id); err != nil {
		return q.refuse(fmt.Errorf("the Nats-Msg-Id becomes the id of the run: %w", err))
	}
	if t, err := s.c.View().Noted(ctx, id); err != nil {
		return err
	} else if t.Of(q.seq) { // this very message, whose acknowledgement was lost
		q.late = true
		if t.Skipped {
			q.reply(pipeline.Answer{Job: t.Job, Skipped: true, Error: pipeline.ErrOverlap.Error()})
			return nil
		}
		return q.refused(errors.New(t.Refused))
	}
	if a, over, err := s.before(ctx, id, q.seq); err != nil {
		return err
	} else if over {
		if job := pipeline.LastToken(msg.Subject); pipeline.Token(a.Job) != job {
			return q.refuse(pipeline.BadRunID("%s is the id of a run of job %s; choose another id", a.Run, a.Job))
		}
		q.reply(a)
		return nil
	}
	var err error
	if q.t.Trigger, q.def, err = s.read(msg); errors.Is(err, pipeline.ErrTransient) {
		return err // what has the job cannot be asked: the trigger comes again
	} else if err != nil {
		if q.def, err = s.goesOn(ctx, msg, q.t.Trigger, err); err != nil && !pipeline.IsPermanent(err) {
			return err
		} else if err != nil {
			return q.refuse(err)
		}
	}
	q.t.Run, q.t.Seq, q.t.Trace = id, q.seq, msg.Trace
	if q.def.Inline { // before anything is answered
		last, _, err := s.c.LastRun(ctx, q.def.Job.ID)
		if err == nil {
			err = coordinate.OwnInline(q.def, last)
		}
		if pipeline.IsPermanent(err) {
			return q.refuse(err)
		} else if err != nil {
			return err
		}
	}
	if q.def.Job.OnOverlap == pipeline.OverlapSkip && s.queues.busy(q.def.Job.ID) {
		begun, err := s.begun(ctx, q.def.Job.ID, q.t.Run)
		if err != nil {
			return err
		}
		if !begun {
			return q.skip()
		}
	}
	q.ctx, q.held = s.pending.admit(ctx, q.key, q.t.Run, q.def.Job.ID, q.seq)
	defer s.pending.finish(q.held)
	return q.ended(ctx, q.inTurn(ctx))
}

// goesOn is the job of a trigger that cannot be understood any more, for why, and was delivered before: its run is
// unfinished, and goes on as it began. Else the error is why.
func (s *server) goesOn(ctx context.Context, msg *pipeline.Message, t pipeline.Trigger, why error) (*spec.Definition, error) {
	if len(t.Job) > 0 { // what may be brought along is not for the store to say
		return nil, pipeline.Permanent(why)
	}
	id := pipeline.RunID(msg)
	def, err := s.c.DefinitionOf(ctx, pipeline.Untoken(pipeline.LastToken(msg.Subject)), id)
	switch {
	case err != nil:
		return nil, err
	case def == nil:
		return nil, pipeline.Permanent(why)
	}
	s.c.Log.Warn(fmt.Sprintf("run %s of job %s goes on as it began; a new run of the job is not possible now: %v", id, def.Job.ID, why))
	return def, nil
}

// before is what there is to say of a trigger whose run there was before, or is in this process's hands under another
// message: its stream takes the same id again a moment after the first. over is false for one that is new, or whose
// run goes on with it.
func (s *server) before(ctx context.Context, id string, seq uint64) (_ pipeline.Answer, over bool, _ error) {
	if a, ok := s.pending.twin(id, seq); ok {
		return a, true, nil
	}
	own, a, err := s.c.View().Became(ctx, id)
	if err != nil || a == (pipeline.Answer{}) {
		return a, false, err
	}
	a.Duplicate = true
	if own == nil {
		return a, true, nil
	}
	rec := own.Value()
	return a, rec.State != pipeline.RunRunning && rec.State != pipeline.RunInterrupted || rec.Stopped != "", nil
}

// begun reports whether a trigger was delivered before and has a run, or is about to.
func (s *server) begun(ctx context.Context, job, id string) (bool, error) {
	if s.pending.others(id) {
		return true, nil
	}
	last, _, err := s.c.LastRun(ctx, job)
	if err != nil {
		return false, err
	}
	own, err := s.c.RunOfTrigger(ctx, job, id, last)
	return own != nil, err
}

// inTurn waits for this trigger's turn and carries it out. A run that another process has is waited for; also one of
// this trigger's, which it was given while this process stood still: until it has ended, the trigger may have to go
// on with it.
func (q *request) inTurn(ctx context.Context) error {
	job := q.def.Job.ID
	turn, first := q.server.queues.line(job, q.seq)
	defer q.server.queues.leave(job, turn)
	if !first {
		q.queued("")
	}
	if err := q.server.queues.wait(q.ctx, turn); err != nil {
		return err
	}
	for {
		if err := q.server.c.Elsewhere(q.ctx, job, q.waits); err != nil {
			return err
		}
		err := q.once(ctx)
		if !errors.Is(err, pipeline.ErrHeld) && !errors.Is(err, pipeline.ErrFenced) {
			return err
		}
		q.queued(err.Error())
		select { // whoever was faster is seen by then
		case <-time.After(othersFirst):
		case <-q.ctx.Done():
			return context.Cause(q.ctx)
		}
	}
}

// waits is told that another process has the job's newest run.
func (q *request) waits(last *checkpoint.Document[checkpoint.RunRecord], lives bool) error {
	own := checkpoint.RunOf(last) == q.t.Run || slices.Contains(last.Value().Triggers, q.t.Run)
	if lives && !own && q.def.Job.OnOverlap == pipeline.OverlapSkip {
		return pipeline.ErrOverlap
	}
	q.queued(fmt.Sprintf("process %d on %s has run %s", last.Value().Owner.PID, last.Value().Owner.Host, checkpoint.RunOf(last)))
	return nil
}

// once carries the trigger out as soon as there is a place for its run.
func (q *request) once(ctx context.Context) error {
	if !q.server.slots.TryAcquire(1) {
		q.queued("")
		if err := q.server.slots.Acquire(q.ctx, 1); err != nil {
			return context.Cause(q.ctx)
		}
	}
	defer q.server.slots.Release(1)
	if cancelled, err := q.cancelledInLine(ctx); err != nil || cancelled {
		return cmp.Or(err, coordinate.StopCancelled(q.t.Run))
	}
	finished, err := q.predecessor(ctx)
	switch {
	case err != nil:
		return err
	case q.ctx.Err() != nil:
		return context.Cause(q.ctx)
	case q.t.Resume && finished != nil && finished.State == pipeline.RunComplete: // that was the run to be resumed
		q.reply(pipeline.Answer{Run: finished.Run, Job: q.def.Job.ID, State: string(finished.State)})
		return nil
	}
	if !q.t.Resume {
		q.reply(pipeline.Answer{Run: q.t.Run, Job: q.def.Job.ID, State: string(pipeline.RunRunning)})
	}
	_, err = q.server.c.Carry(q.ctx, q.def, q.t, func(run string) {
		q.server.pending.began(q.held, run)
		q.reply(pipeline.Answer{Run: run, Job: q.def.Job.ID, State: string(pipeline.RunRunning)})
	})
	return err
}

// cancelledInLine reports whether this trigger was cancelled and has no run: here, or by another process while nobody
// had it.
func (q *request) cancelledInLine(ctx context.Context) (bool, error) {
	c, err := q.server.c.Cancellation(ctx, q.t.Run)
	if err != nil || c == nil {
		return false, err
	}
	_, err = q.server.c.Stores.Runs.Get(ctx, checkpoint.RunKey(q.t.Run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return true, nil
	}
	return false, err
}

// predecessor finishes the job's last run if that was interrupted by the end of its process, and returns its outcome.
// Its own trigger comes again, maybe later than this one, whose fresh run would abandon it. It has an entry of its
// own: who cancels one of them means that one alone.
func (q *request) predecessor(ctx context.Context) (*coordinate.Outcome, error) {
	last, _, err := q.server.c.LastRun(ctx, q.def.Job.ID)
	if err != nil || last == nil {
		return nil, err
	}
	rec, id := last.Value(), checkpoint.RunOf(last)
	gone := rec.State == pipeline.RunRunning && (rec.HandedOver || rec.Owner.Token == q.server.c.Owner.Token || !q.server.c.MayLive(rec.Owner)) || rec.State == pipeline.RunInterrupted && rec.Stopped == ""
	if !gone || rec.Trigger == 0 || rec.Trigger == q.seq {
		return nil, nil
	}
	if !q.t.Resume {
		if stopped, err := q.server.c.HeedCancel(ctx, last); err != nil || stopped {
			return nil, err
		}
	}
	q.queued("run " + id + ", which was interrupted, is finished first")
	t := spec.Request{Run: id, Seq: rec.Trigger}
	if q.t.Resume {
		t.Resume, t.Run = true, q.t.Run // so that this trigger, coming again, finds what it has resumed
	}
	own, held := q.server.pending.admit(ctx, "", id, q.def.Job.ID, rec.Trigger)
	defer q.server.pending.finish(held)
	out, err := q.server.c.Carry(own, q.def, t, func(run string) { q.server.pending.began(held, run) })
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, pipeline.ErrHeld), errors.Is(err, pipeline.ErrFenced), errors.Is(err, coordinate.ErrUnrecorded):
		return out, err
	// That is its end; this one's turn has come.
	case errors.Is(err, memory.ErrMemory), errors.Is(err, pipeline.ErrCancelled), own.Err() != nil, pipeline.IsPermanent(err):
		q.server.c.Log.Error(fmt.Sprintf("run %s could not be finished: %v", id, err))
		return nil, nil
	}
	return nil, err
}

// ended says what becomes of a trigger that was carried out with err. Only what is over, or recorded as stopped on
// purpose, is done with.
func (q *request) ended(ctx context.Context, err error) error {
	id := q.t.Run
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err // whoever serves next goes on
	case errors.Is(err, pipeline.ErrOverlap):
		return q.skip()
	case errors.Is(err, coordinate.ErrUnrecorded):
		q.server.c.Log.Error(fmt.Sprintf("run %s: %v; it goes on when the store answers", id, err))
		return err
	case errors.Is(err, memory.ErrMemory), errors.Is(err, pipeline.ErrCancelled), errors.Is(context.Cause(q.ctx), pipeline.ErrCancelled):
		if !errors.Is(err, memory.ErrMemory) && !q.server.pending.hasBegun(q.held) {
			q.server.c.Log.Info(fmt.Sprintf("run %s of job %s was cancelled before it began", id, q.def.Job.ID))
			if err := checkpoint.NoteTrigger(ctx, q.server.c.Stores.Runs, id, checkpoint.TriggerNote{Job: q.def.Job.ID, Cancelled: true}); err != nil {
				return err // it comes again, and can be cancelled again
			}
		} else {
			q.server.c.Log.Error(fmt.Sprintf("run %s was stopped: %v", id, err))
		}
		if err := q.markStopped(ctx); err != nil {
			q.server.c.Log.Warn(fmt.Sprintf("run %s was cancelled, and the next trigger of its job may go on with it: %v", id, err))
		}
		q.reply(pipeline.Answer{Run: id, Job: q.def.Job.ID, Error: "the run was stopped: " + err.Error()})
		return nil
	case pipeline.IsPermanent(err):
		return q.refuse(err)
	}
	q.server.c.Log.Error(fmt.Sprintf("run %s: %v; trying again", id, err))
	return err
}

// markStopped records that a run was cancelled before it went on here: no trigger goes on with it by itself.
func (q *request) markStopped(ctx context.Context) error {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, q.server.c.Stores.Runs, checkpoint.RunKey(q.t.Run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	rec := doc.Value()
	if rec.State != pipeline.RunInterrupted || rec.Stopped != "" || rec.Owner.Token != q.server.c.Owner.Token {
		return nil
	}
	rec.Stop()
	if err := doc.Write(ctx, rec); !errors.Is(err, pipeline.ErrConflict) { // over what was looked at, and nothing later
		return err
	}
	return nil // somebody goes on with it
}

// queued tells that the trigger waits, and for what.
func (q *request) queued(why string) {
	if why != "" {
		why = ": " + why
	}
	if line := fmt.Sprintf("run %s of job %s waits for its turn%s", q.t.Run, q.def.Job.ID, why); line != q.said {
		q.said = line
		q.server.c.Log.Info(line)
	}
	q.reply(pipeline.Answer{Run: q.t.Run, Job: q.def.Job.ID, State: pipeline.AnswerQueued})
}

// reply answers whoever published the trigger, once.
func (q *request) reply(a pipeline.Answer) {
	if q.done {
		return
	}
	q.done = true
	a.Stream, a.Seq = "FANMILL_TRIGGERS", q.seq
	q.server.pending.reply(q.key, q.says, a, q.late)
}

// jobLeftOut stands in the dead letter of a trigger for the job that it brought along.
var jobLeftOut = json.RawMessage(`"left out, as it may hold passwords"`)

// jobWords are what a job has that holds passwords, in a trigger that cannot be read as one.
var jobWords = regexp.MustCompile(`(?i)"jobs?"|dsn|passw|pwd|secret|://|connections"?\s*:\s*\[\s*\{`)

func mayBeJob(payload []byte) bool { return !utf8.Valid(payload) || jobWords.Match(payload) }

// refuse turns a trigger away for good. That is noted first: delivered once more, it is refused again, though what was
// wrong may be right by then.
func (q *request) refuse(err error) error {
	if id := pipeline.RunID(q.msg); !errors.Is(err, pipeline.ErrBadID) { // which is wrong for ever, and may be no key
		note := checkpoint.TriggerNote{Job: pipeline.Untoken(pipeline.LastToken(q.msg.Subject)), Refused: pipeline.ShortError(err), Seq: q.seq}
		if noteErr := q.outcome(id, note); noteErr != nil {
			return noteErr
		}
	}
	return q.refused(err)
}

// outcome notes what became of a trigger that gets no run. What is known already of its id is not written over: it was
// cancelled, or had a run resumed.
func (q *request) outcome(id string, note checkpoint.TriggerNote) error {
	t, err := q.server.c.View().Noted(q.serving, id)
	if err != nil || t.Cancelled || t.Run != "" {
		return err
	}
	return checkpoint.NoteTrigger(q.serving, q.server.c.Stores.Runs, id, note)
}

// refused tells of a trigger that is turned away.
func (q *request) refused(err error) error {
	if subject := q.msg.Subject; q.def == nil && len(q.t.Job) == 0 && (strings.HasPrefix(subject, "fanmill.jobs.inline.") || mayBeJob(q.msg.Payload)) {
		q.msg.Payload = []byte(jobLeftOut)
	}
	if t := q.t.Trigger; len(t.Job) > 0 || errors.Is(err, pipeline.ErrSecret) {
		if len(t.Job) > 0 {
			t.Job = jobLeftOut
		}
		if errors.Is(err, pipeline.ErrSecret) {
			t.Params = nil
		}
		if payload, err := json.Marshal(t); err == nil {
			q.msg.Payload = payload
		}
	}
	q.server.c.Log.Error("a trigger was refused, and is kept among the dead letters: "+err.Error(), "subject", q.msg.Subject, "sequence", q.seq)
	q.reply(pipeline.Answer{Error: err.Error()})
	return pipeline.Permanent(err)
}

// skip leaves a trigger out. That is noted first: delivered once more it would find its job free, and be carried out.
func (q *request) skip() error {
	if err := q.outcome(q.t.Run, checkpoint.TriggerNote{Job: q.def.Job.ID, Skipped: true, Seq: q.seq}); err != nil {
		return err
	}
	q.server.c.Log.Warn(fmt.Sprintf("a trigger of job %s is skipped: %v", q.def.Job.ID, pipeline.ErrOverlap))
	q.reply(pipeline.Answer{Job: q.def.Job.ID, Skipped: true, Error: pipeline.ErrOverlap.Error()})
	return nil
}
