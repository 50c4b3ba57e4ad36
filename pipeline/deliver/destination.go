package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/spec"
)

// Deliverer runs the sink loop: it reads a run's row log in stream order and brings it into one artifact, whatever
// the format. The commit record decides everything; after any error it is read again, and nothing else is believed.
type Deliverer struct {
	Runs    pipeline.KV // of the runs' records
	Specs   *spec.Cache
	Jobs    *spec.Jobs // that the process holds: for references in options of destinations
	Records checkpoint.Records
	RowLogs pipeline.RowLogs
	Sinks   map[string]*pipeline.SinkKind
	Owner   pipeline.Owner // token unused: every claim gets its own
	Places  *Places        // of this process
	// Alone: no other process takes commands of these runs, so one whose rows are elsewhere ends as owing.
	Alone   bool
	StoreID string
	Timeout time.Duration // a destination that fails for so long, without progress, is detached
	Notify  func(pipeline.Event)
	Log     *slog.Logger
	Budget  *memory.Budget
	Spool   *spool.Root  // of this process; nil if it has none: no spooled destination, no row larger than a message
	Dead    *dead.Folder // of requests that receivers refuse; nil keeps them in the outbox alone
	// Post stores a message for people. nil stores none.
	Post    func(topic, id string, payload []byte) error
	Reports string // the folder of the reports of destinations that are no files; "" writes none
	// StoreFails reports whether the store does not work: that says nothing of a destination. May be nil.
	StoreFails func() bool

	Tracing pipeline.Tracing // may be nil

	encoders chan struct{} // limits batches being encoded, over all destinations of the process
}

// fetchBytes bounds what a destination takes from the row log at a time: four large batches.
const fetchBytes = 2 << 20

// NewDeliverer completes d for use.
func NewDeliverer(d Deliverer) *Deliverer {
	d.encoders = make(chan struct{}, runtime.GOMAXPROCS(0))
	return &d
}

// Deliver carries a command out: it works on a destination until its record is finished or detached (nil), another
// process owns it (ErrFenced, ErrHeld) or ctx ends. For a command of an older incarnation than the record is opened for
// nothing is done (ErrFenced). A permanent error without a kind means that the record could not be claimed.
//
// A process that lacks what the destination's options refer to claims nothing, and returns nil: the coordinator
// publishes the command again as long as nobody has claimed the destination, and gives that up after its timeout.
//
// claimed is called right after the first claim, and before a file is touched: from then on the claim's lease tells who
// has the destination, and the command is needed no more. Its error changes nothing, as a command that is delivered
// once more finds the record claimed. It may be nil.
func (d *Deliverer) Deliver(ctx context.Context, command pipeline.SinkCommand, claimed func(context.Context) error) error {
	run, err := d.Specs.Run(ctx, command.Run, command.Incarnation)
	if err != nil {
		return fmt.Errorf("destination %s: %w", command.Destination, err)
	}
	m, incarnation := run.Manifest, command.Incarnation
	dest := m.Destination(command.Destination)
	if dest == nil {
		return pipeline.Permanent(fmt.Errorf("run %s has no destination %q", command.Run, command.Destination))
	}
	log := d.Log.With("destination", dest.ID)
	if kind := d.Sinks[dest.Type]; kind != nil {
		if err := pipeline.LacksReferences(dest.Options, kind.Options, d.Jobs.Expand(m.JobID)); err != nil {
			log.Warn(fmt.Sprintf("this process cannot write %s, and leaves it to others: %v", dest.Where(), err))
			return nil
		}
	}
	if claimed == nil {
		claimed = func(context.Context) error { return nil }
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 250*time.Millisecond, 15*time.Second
	previous := ""
	var again pipeline.SecondTries
	var progressed, failing time.Time // failing is since when, without progress in between and less its waits for rows; zero while it does not
	for {
		v := &delivery{d: d, m: m, dest: dest, log: log, trace: run.Spec.Span().Context(), started: time.Now(), again: previous != "", claimed: claimed}
		err := v.run(ctx, previous, incarnation)
		if v.claim != nil {
			previous, claimed = v.claim.Token(), func(context.Context) error { return nil }
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if !errors.Is(context.Cause(ctx), checkpoint.ErrDead) {
				d.letGo(v)
			}
			return err
		case errors.Is(err, pipeline.ErrHeld):
			return err
		case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
			return fmt.Errorf("destination %s: %w", dest.ID, err)
		case errors.Is(err, pipeline.ErrFenced):
			if stillOurs, ferr := d.fenced(ctx, m, dest, previous, err); !stillOurs {
				return ferr
			}
		case errors.Is(err, pipeline.ErrNoLog):
			if err := d.leave(ctx, v); err != nil {
				return err
			}
			previous = ""
		case errors.As(err, new(*pipeline.Owing)):
			return d.owe(ctx, v, err)
		case pipeline.IsPermanent(err) && v.claim == nil:
			return err
		case pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrGap) || errors.Is(err, pipeline.ErrLost):
			return d.detach(ctx, v, err)
		}
		if v.lastMove().After(progressed) {
			progressed, failing, again = v.lastMove(), time.Time{}, 0
			pauses.Reset()
		}
		if again.Spent(err) {
			return d.detach(ctx, v, err)
		}
		switch {
		// A store that does not answer says nothing of the destination.
		case v.claim == nil, errors.Is(err, pipeline.ErrNoLog), d.StoreFails != nil && d.StoreFails():
			failing = time.Time{}
		case failing.IsZero(): // its first trouble, however long it had nothing to do before
			failing = time.Now()
		default:
			failing = failing.Add(v.waited) // nor does a wait for rows between two troubles
			if time.Since(failing) > d.Timeout {
				return d.detach(ctx, v, fmt.Errorf("no progress for %s: %w", d.Timeout, err))
			}
		}
		pause := pauses.NextBackOff()
		log.Warn(fmt.Sprintf("writing %s failed; trying again from what is committed", dest.Where()), "error", err, "pause", pause.Round(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// letGoPatience bounds the last write of a claim that nobody has a use for any more.
const letGoPatience = 2 * time.Second

// letGo ends a claim in order, as this process, or the run, is being stopped: whoever goes on need not wait for its
// lease. What it has committed is all that counts.
func (d *Deliverer) letGo(v *delivery) {
	if v.claim == nil || d.StoreFails != nil && d.StoreFails() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), letGoPatience)
	defer cancel()
	if err := v.claim.Release(ctx); err != nil && !errors.Is(err, pipeline.ErrFenced) {
		v.log.Debug("the claim of a destination could not be given back; it lapses by itself", "error", err)
	}
}

// leave lets go of a claim whose row log is not there, or is another one than its record was written against, and reads
// the run again: it may have gone on with another log, without this process (ErrFenced). That says nothing of the
// destination, which is never given up for it. If the run goes on, its coordinator finds out, too.
func (d *Deliverer) leave(ctx context.Context, v *delivery) error {
	if v.claim == nil {
		return nil
	}
	o := v.claim.Record().Opened
	if err := v.claim.Release(ctx); errors.Is(err, pipeline.ErrFenced) {
		return fmt.Errorf("destination %s: %w", v.dest.ID, err)
	} else if err != nil {
		v.log.Warn("the claim of a destination could not be given back; it lapses by itself", "error", err)
	}
	if err := checkpoint.ReadAgain(ctx, d.Runs, v.m.Run, o); errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) {
		return fmt.Errorf("destination %s: %w", v.dest.ID, err)
	} else if err != nil {
		v.log.Warn("a destination without its row log could not look what became of its run", "error", err)
	}
	return nil
}

// fenced tells what stopped a delivery. If the record is still ours, a claimer that had overslept its own claim
// renamed our folder away: claiming once more puts that right. If the coordinator detached the destination, all is
// said. Else it is a takeover.
func (d *Deliverer) fenced(ctx context.Context, m *pipeline.Manifest, dest *pipeline.ManifestDestination, token string, err error) (stillOurs bool, _ error) {
	if rec, loadErr := d.Records.Load(ctx, m.Run, dest.ID); loadErr == nil {
		if token != "" && rec.Token == token {
			return true, nil
		}
		if rec.State == pipeline.RecordDetached {
			return false, nil
		}
	} else if errors.Is(loadErr, pipeline.ErrForeign) || errors.Is(loadErr, pipeline.ErrNoKey) {
		return false, fmt.Errorf("destination %s: %w", dest.ID, errors.Join(loadErr, pipeline.ErrForeign))
	}
	return false, fmt.Errorf("destination %s: %w; this process stops writing to it and has changed nothing that the other one relies on", dest.ID, err)
}

// detach gives the destination up for this run, so that it holds up nobody else.
func (d *Deliverer) detach(ctx context.Context, v *delivery, cause error) error {
	change := func(r *checkpoint.CommitRecord) {
		r.Detach(pipeline.ShortError(cause))
		if errors.Is(cause, pipeline.ErrGap) {
			r.Gap()
		}
		if errors.Is(cause, pipeline.ErrLost) {
			r.Lose(lostConnections(cause))
		}
	}
	err := v.claim.Commit(ctx, change)
	if err == nil {
		v.keepReport()
	}
	if errors.Is(err, pipeline.ErrFenced) {
		_, err = d.fenced(ctx, v.m, v.dest, "", err)
		return err
	}
	return err // the coordinator tells of it: this record may be the last that its run waits for
}

// owe ends the destination for this run: what it has is safe, and a resume sends it.
func (d *Deliverer) owe(ctx context.Context, v *delivery, cause error) error {
	err := v.claim.Commit(ctx, func(r *checkpoint.CommitRecord) { r.Owe(pipeline.ShortError(cause)) })
	if err == nil {
		v.keepReport()
	}
	if errors.Is(err, pipeline.ErrFenced) {
		_, err = d.fenced(ctx, v.m, v.dest, "", err)
	}
	return err
}

func (d *Deliverer) notify(m *pipeline.Manifest, e pipeline.Event) {
	if d.Notify != nil {
		if dest := m.Destination(e.Destination); dest != nil {
			e.Destination = dest.Whole()
		}
		e.Job, e.Run, e.Time = m.JobID, m.Run, time.Now().UTC()
		d.Notify(e)
	}
}
