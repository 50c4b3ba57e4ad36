package notices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// Outbox sends notices. Of the processes that do, one claims a notice at a time, by a compare-and-set of its record, so
// a receiver is told once. What only a crash between the receiver's yes and the record of it can double has the same
// id.
type Outbox struct {
	Runs  pipeline.KV
	Owner pipeline.Owner
	Kinds map[string]*pipeline.NotifyKind
	// Expand replaces references in texts of a job.
	Expand func(job string) func(text string) (string, error)
	// Gone reports whether a process is known to be gone.
	Gone func(pipeline.Owner) bool
	// Event tells what became of a notice of a run; nil tells nobody.
	Event func(pipeline.Event)
	Log   *slog.Logger

	mu      sync.Mutex
	claims  map[string]seenClaim // of other processes, by key
	lacking map[string]time.Time // notices whose references are not here, by key, and when that was looked at
}

// seenClaim is a claim of another process, and since when its record has stood still, by this process's clock.
type seenClaim struct {
	revision uint64
	since    time.Time
}

const (
	// attemptPatience bounds an attempt. A claim that stands for claimPatience is of a process that is gone, or has slept.
	attemptPatience = 90 * time.Second
	claimPatience   = 3 * time.Minute
	// keepTrying is how long somebody may be away who is to be told: a night and a day.
	keepTrying = 24 * time.Hour
	// The pauses between attempts: doubled from the first one on. What only a person can put right has time.
	firstPause  = 10 * time.Second
	targetPause = 5 * time.Minute
	maxPause    = 15 * time.Minute
	maxAsked    = 6 * time.Hour // that a receiver may ask to wait
	// lackingPause is how long a notice is left to others that this process cannot send.
	lackingPause = time.Minute
	atOnce       = 8 // attempts
)

// Once makes an attempt at every notice that is due, and returns when all are made or ctx ends.
func (o *Outbox) Once(ctx context.Context) error {
	docs, err := checkpoint.Notices(ctx, o.Runs, func(err error) { o.Log.Warn(err.Error()) })
	if err != nil {
		return err
	}
	o.attempt(ctx, docs)
	return nil
}

// attempt makes an attempt at each of these that is due, a few at a time.
func (o *Outbox) attempt(ctx context.Context, docs []*checkpoint.Document[checkpoint.NoticeRecord]) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, doc := range docs {
		if !o.due(doc, time.Now()) {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			all.Wait()
			return
		}
		all.Go(func() {
			defer func() { <-places }()
			if err := o.Try(ctx, doc); err != nil && ctx.Err() == nil {
				o.Log.Warn("a notice could not be worked on; that is tried again", "key", checkpoint.NoticeKeyOf(doc), "error", err)
			}
		})
	}
	all.Wait()
}

// due reports whether an attempt at a notice is for this process, now.
func (o *Outbox) due(doc *checkpoint.Document[checkpoint.NoticeRecord], now time.Time) bool {
	rec, key := doc.Value(), checkpoint.NoticeKeyOf(doc)
	o.mu.Lock()
	defer o.mu.Unlock()
	if rec.State != checkpoint.NoticeWaiting {
		delete(o.claims, key)
		delete(o.lacking, key)
		return false
	}
	if now.Sub(o.lacking[key]) < lackingPause {
		return false
	}
	if !rec.Claimed() {
		return !rec.Next.After(now)
	}
	if rec.Claim.Token == o.Owner.Token {
		return false
	}
	if o.Gone != nil && o.Gone(rec.Claim) {
		return true
	}
	if seen, ok := o.claims[key]; ok && seen.revision == doc.Revision() {
		return now.Sub(seen.since) >= claimPatience
	}
	if o.claims == nil {
		o.claims = map[string]seenClaim{}
	}
	o.claims[key] = seenClaim{doc.Revision(), now}
	return false
}

// Try claims a notice and makes an attempt. Nil is also what another process has claimed first.
func (o *Outbox) Try(ctx context.Context, doc *checkpoint.Document[checkpoint.NoticeRecord]) error {
	rec := doc.Value()
	kind := o.Kinds[rec.Target.Type]
	if kind == nil || rec.Notice == nil {
		return o.close(ctx, doc, fmt.Errorf("this version of fanmill knows no %q", rec.Target.Type))
	}
	if time.Since(rec.Made) > keepTrying {
		why := errors.New("nobody could send it")
		if rec.Error != "" {
			why = errors.New(rec.Error)
		}
		return o.close(ctx, doc, fmt.Errorf("given up after %s: %w", keepTrying, why))
	}
	rec.Take(o.Owner)
	if err := doc.Write(ctx, rec); err != nil { // over what was judged, and nothing later
		if errors.Is(err, pipeline.ErrConflict) {
			return nil
		}
		return err
	}
	failpoint.Hit("notice-claimed")
	trying, cancel := context.WithTimeout(ctx, attemptPatience)
	defer cancel()
	answer, err := kind.Send(trying, pipeline.NotifySpec{Target: &rec.Target, Notice: rec.Notice, Expand: o.Expand(rec.Job)})
	failpoint.Hit("notice-sent")
	// What became of it is recorded also where the process is about to end.
	recording, stop := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer stop()
	return o.record(recording, ctx, doc, answer, err)
}

// recordPatience bounds the write behind an attempt.
const recordPatience = 5 * time.Second

// record writes what became of an attempt; trying is the context that it was made in.
func (o *Outbox) record(ctx, trying context.Context, doc *checkpoint.Document[checkpoint.NoticeRecord], answer string, err error) error {
	mine := func(r *checkpoint.NoticeRecord) bool { return r.Claim.Token == o.Owner.Token }
	change := func(f func(*checkpoint.NoticeRecord)) error {
		err := doc.Change(ctx, mine, f)
		if errors.Is(err, pipeline.ErrFenced) {
			return nil // this process slept, and another one has it
		}
		return err
	}
	rec, now := doc.Value(), time.Now().UTC()
	var lacks []string
	if err != nil {
		lacks = pipeline.Missing(err)
	}
	trouble := pipeline.TroubleOf(err)
	switch {
	case err == nil:
		o.tell(&rec, pipeline.EventNotified, nil)
		return change(func(r *checkpoint.NoticeRecord) { r.Sent(answer, now) })
	case trying.Err() != nil:
		return change((*checkpoint.NoticeRecord).GiveBack)
	case lacks != nil:
		o.mu.Lock()
		if o.lacking == nil {
			o.lacking = map[string]time.Time{}
		}
		o.lacking[checkpoint.NoticeKeyOf(doc)] = now
		o.mu.Unlock()
		return change(func(r *checkpoint.NoticeRecord) { r.GiveBack(); r.Error = pipeline.ShortError(err) })
	case trouble.Scope == pipeline.OfRequest:
		return o.close(ctx, doc, err)
	}
	pause := Pause(rec.Tries, trouble)
	if now.Add(pause).Sub(rec.Made) > keepTrying {
		return o.close(ctx, doc, fmt.Errorf("given up after %s: %w", now.Sub(rec.Made).Round(time.Minute), err))
	}
	o.Log.Warn(fmt.Sprintf("%s could not be told that job %s is %s; the next attempt is due in %s", rec.Target.ID, rec.Job, rec.Event, pause.Round(time.Second)), "error", err)
	return change(func(r *checkpoint.NoticeRecord) { r.TryAgain(err, now.Add(pause)) })
}

// Pause is how long the next attempt waits after so many before this one.
func Pause(tries int, t *pipeline.Trouble) time.Duration {
	pause := firstPause << min(tries, 10)
	if t.Scope == pipeline.OfTarget {
		pause = max(pause, targetPause)
	}
	pause = min(pause, maxPause)
	pause += time.Duration(rand.Int64N(int64(pause)/5 + 1)) // several targets do not come back together
	return max(pause, min(t.After, maxAsked))
}

// close gives a notice up, with a warning.
func (o *Outbox) close(ctx context.Context, doc *checkpoint.Document[checkpoint.NoticeRecord], why error) error {
	rec := doc.Value()
	same := func(r *checkpoint.NoticeRecord) bool {
		return r.State == checkpoint.NoticeWaiting && r.Claim.Token == rec.Claim.Token
	}
	err := doc.Change(ctx, same, func(r *checkpoint.NoticeRecord) { r.GiveUp(why, time.Now().UTC()) })
	if errors.Is(err, pipeline.ErrFenced) {
		return nil
	}
	if err == nil {
		o.Log.Warn(fmt.Sprintf("nobody told %s that job %s is %s; fanmill notify test tries its settings", rec.Target.ID, rec.Job, rec.Event), "error", why)
		o.tell(&rec, pipeline.EventNotNotified, why)
	}
	return err
}

// tell has an event say what became of a notice of a run.
func (o *Outbox) tell(rec *checkpoint.NoticeRecord, kind string, why error) {
	if o.Event == nil || rec.Run == "" {
		return
	}
	e := pipeline.Event{Kind: kind, Job: rec.Job, Run: rec.Run, Destination: rec.Target.ID, State: string(rec.Event), Time: time.Now().UTC(), Process: o.Owner.Token}
	if why != nil {
		e.Error = pipeline.ShortError(why)
	}
	o.Event(e)
}
