package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/dead"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"
)

// Deliverer runs the sink loop: it reads a run's row log in stream order and brings it into one artifact, whatever
// the format. The commit record decides everything; after any error it is read again, and nothing else is believed.
type Deliverer struct {
	Records Records
	RowLogs RowLogs
	Sinks   map[string]*SinkKind
	Owner   Owner // token unused: every claim gets its own
	StoreID string
	Expand  func(string) (string, error) // replaces references in options of destinations; may be nil
	Timeout time.Duration                // a destination that fails for so long, without progress, is detached
	Notify  func(Event)
	Log     *slog.Logger
	Budget  *Budget
	Spool   *spool.Root  // of spooled destinations; nil if none can be
	Dead    *dead.Folder // of requests that receivers refuse; nil keeps them in the outbox alone
	// Post stores a message for people. nil stores none.
	Post    func(topic string, msg *message.Message) error
	Reports string // the folder of the reports of destinations that are no files; "" writes none
	// StoreFails reports whether the store does not work: that says nothing of a destination. May be nil.
	StoreFails func() bool

	encoders chan struct{} // limits batches being encoded, over all destinations of the process
}

// fetchBytes bounds what a destination takes from the row log at a time: four large batches.
const fetchBytes = 2 << 20

// cutBytes is how much a destination reads, in bytes of frames, before it makes its parts durable, however large the
// log may become: only what is recorded can be trimmed, and an embedded server keeps what was stored in the last ten
// seconds in memory unless it is trimmed. A cut costs an fsync of each open part.
const cutBytes = 64 << 20

// NewDeliverer completes d for use.
func NewDeliverer(d Deliverer) *Deliverer {
	d.encoders = make(chan struct{}, runtime.GOMAXPROCS(0))
	return &d
}

// Deliver works on a destination until its record is finished or detached (nil), another process owns it (ErrFenced,
// ErrHeld) or ctx ends. generation is that of the run's present row log.
func (d *Deliverer) Deliver(ctx context.Context, m *Manifest, dest *ManifestDestination, generation int) error {
	log := d.Log.With("destination", dest.ID)
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 250*time.Millisecond, 15*time.Second
	previous := ""
	var again onceMore
	var progressed, failing time.Time // failing is since when, without progress in between and less its waits for rows; zero while it does not
	for {
		v := &delivery{Deliverer: d, m: m, dest: dest, log: log, started: time.Now(), again: previous != ""}
		err := v.run(ctx, previous, generation)
		if v.claim != nil {
			previous = v.claim.Token()
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, ErrHeld):
			return err
		case errors.Is(err, ErrForeign):
			return fmt.Errorf("destination %s: %w", dest.ID, err)
		case errors.Is(err, ErrFenced):
			if stillOurs, ferr := d.fenced(ctx, m, dest, previous, err); !stillOurs {
				return ferr
			}
		case errors.As(err, new(*Owing)):
			return d.owe(ctx, v, err)
		case IsPermanent(err) || errors.Is(err, ErrGap) || errors.Is(err, ErrLost):
			return d.detach(ctx, v, err)
		}
		if v.lastMove().After(progressed) {
			progressed, failing, again = v.lastMove(), time.Time{}, 0
			pauses.Reset()
		}
		if again.spent(err) {
			return d.detach(ctx, v, err)
		}
		switch {
		case v.claim == nil, d.StoreFails != nil && d.StoreFails(): // a store that does not answer says nothing of the destination
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

// fenced tells what stopped a delivery. If the record is still ours, a claimer that had overslept its own claim
// renamed our folder away: claiming once more puts that right. If the coordinator detached the destination, all is
// said. Else it is a takeover.
func (d *Deliverer) fenced(ctx context.Context, m *Manifest, dest *ManifestDestination, token string, err error) (stillOurs bool, _ error) {
	if rec, loadErr := d.Records.Load(ctx, m.Run, dest.ID); loadErr == nil {
		if token != "" && rec.Token == token {
			return true, nil
		}
		if rec.State == RecordDetached {
			return false, nil
		}
	} else if errors.Is(loadErr, ErrForeign) || errors.Is(loadErr, ErrNoKey) {
		return false, fmt.Errorf("destination %s: %w", dest.ID, errors.Join(loadErr, ErrForeign))
	}
	return false, fmt.Errorf("destination %s: %w; this process stops writing to it and has changed nothing that the other one relies on", dest.ID, err)
}

// gapLog stands in a record for a row log that lacks what its destination must read next.
const gapLog = "gap"

// detach gives the destination up for this run, so that it holds up nobody else.
func (d *Deliverer) detach(ctx context.Context, v *delivery, cause error) error {
	change := func(r *CommitRecord) {
		r.State, r.Error = RecordDetached, shortError(cause)
		if errors.Is(cause, ErrGap) {
			r.Log, r.Parts = LogID{Stream: gapLog}, nil // no log is this one: a resume begins a new generation
		}
		if errors.Is(cause, ErrLost) {
			r.lose(cause)
		}
	}
	var err error
	if v.claim != nil {
		if err = v.claim.Commit(ctx, change); err == nil {
			v.keepReport()
		}
	} else {
		err = d.Records.Reset(ctx, v.m.Run, v.dest.ID, change)
	}
	if errors.Is(err, ErrFenced) {
		_, err = d.fenced(ctx, v.m, v.dest, "", err)
		return err
	}
	return err // the coordinator tells of it: this record may be the last that its run waits for
}

// owe ends the destination for this run: what it has is safe, and a resume sends it.
func (d *Deliverer) owe(ctx context.Context, v *delivery, cause error) error {
	err := v.claim.Commit(ctx, func(r *CommitRecord) { r.State, r.Error = RecordOwing, shortError(cause) })
	if err == nil {
		v.keepReport()
	}
	if errors.Is(err, ErrFenced) {
		_, err = d.fenced(ctx, v.m, v.dest, "", err)
	}
	return err
}

func (d *Deliverer) notify(m *Manifest, e Event) {
	if d.Notify != nil {
		e.Job, e.Run, e.Time = m.JobID, m.Run, time.Now().UTC()
		d.Notify(e)
	}
}

// trouble tells that these connections could not be written. The delivery begins again from what is committed.
func (v *delivery) trouble(err error, connections ...int) {
	for _, i := range connections {
		v.notify(v.m, Event{Kind: EventTrouble, Destination: v.dest.ID, Connection: v.m.Connections[i].ID, Error: shortError(err)})
	}
}

// delivery is one claim's life: from the claim to the finished artifact, or to the first error.
type delivery struct {
	*Deliverer
	m         *Manifest
	dest      *ManifestDestination
	log       *slog.Logger
	claim     Claim
	sink      Sink
	oneSchema bool
	rowLog    RowLog
	reader    FrameReader
	started   time.Time
	again     bool          // this process has claimed the record before
	waited    time.Duration // for frames

	// Of a spooled destination; nil of others.
	spool  *spool.Folder
	place  spool.Place
	outbox *outboxFile
	sender *sender

	mu         sync.Mutex
	progressed time.Time         // when the record last changed
	errors     map[string]string // why connections are missing, by id

	gates    []gate
	index    map[string]int // connection id -> index
	open     map[int]*openPart
	ready    []*openPart     // eof verified, to be staged by the next commit
	trash    []*openPart     // replaced by a higher attempt; the record may still reference them
	failed   map[int]Refusal // not yet recorded
	reopened map[int]bool    // recorded as failed, opened again since
	strange  bool            // foreign messages were found in the row log, and the log says so
	pos      uint64          // sequence of the last frame routed
	volatile int64           // bytes of frames routed and not yet covered by the record's Seq
	maxBytes int64           // of the row log
	slots    chan struct{}   // bounds the batches between routing and the part file
	own      chan struct{}   // holds a token while the one batch is under way that waits for nobody else's memory
	stop     context.CancelCauseFunc
}

// frameOverhead is what a frame takes in the row log besides its body, in bytes, rounded up: subject, headers, record.
const frameOverhead = 400

func (v *delivery) run(ctx context.Context, previous string, generation int) (err error) {
	ctx, v.stop = context.WithCancelCause(ctx)
	defer func() {
		v.stop(nil)
		if err != nil && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
			err = context.Cause(ctx) // the first cause, not what it led to
		}
	}()
	owner := withToken(v.Owner)
	if v.claim, err = v.Records.Claim(ctx, v.m.Run, v.dest.ID, owner, previous); err != nil {
		return err
	}
	rec := v.claim.Record()
	if rec.Ended() || rec.State == RecordAbandoned {
		return nil // a resume opens a detached one again; within the run that gave it up it stays detached
	}
	renewed := v.keepLease(ctx)
	defer func() { v.stop(nil); <-renewed }()

	kind, ok := v.Sinks[v.dest.Type]
	if !ok {
		return Permanent(fmt.Errorf("destination %s: no sink of type %q", v.dest.ID, v.dest.Type))
	}
	v.oneSchema = kind.OneSchema(v.dest)
	if v.sink, err = newMasked(kind, SinkSpec{Manifest: v.m, Destination: v.dest, StoreID: v.StoreID, Log: v.log, Expand: v.Expand}); err != nil {
		return err
	}
	defer func() {
		if cerr := v.sink.Close(); err == nil {
			err = cerr
		}
	}()
	defer v.closeParts()
	if kind.Traits.Spooled {
		v.sender = newSender(v, kind)
		defer func() { err = errors.Join(err, v.leaveSpool()) }()
	}
	if err = v.adopt(ctx, rec, generation); err != nil {
		return err
	}
	if v.sender != nil {
		return v.spoolAndSend(ctx, rec)
	}
	if rec.State != RecordFinishing && !v.done() {
		if err = v.follow(ctx); err != nil {
			return err
		}
	}
	return v.finish(ctx)
}

// spoolAndSend runs the two loops of a spooled destination.
func (v *delivery) spoolAndSend(ctx context.Context, rec CommitRecord) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if rec.State != RecordFinishing && !v.done() {
			if err := v.follow(ctx); err != nil {
				return err
			}
		}
		v.sender.end()
		return nil
	})
	g.Go(func() error { return v.sender.run(ctx) })
	return g.Wait()
}

// leaveSpool gives up what the claim holds of the spool. The files stay.
func (v *delivery) leaveSpool() error {
	err := v.sender.close()
	if v.outbox != nil {
		err = errors.Join(err, v.outbox.close())
	}
	return err
}

// moved notes that the record has changed.
func (v *delivery) moved() {
	v.mu.Lock()
	v.progressed = time.Now()
	v.mu.Unlock()
}

func (v *delivery) lastMove() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.progressed
}

// setReason notes why a connection is missing.
func (v *delivery) setReason(id, why string) {
	v.mu.Lock()
	v.errors[id] = why
	v.mu.Unlock()
}

func (v *delivery) reason(id string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.errors[id]
}

// withToken is o under a new token.
func withToken(o Owner) Owner {
	o.Token = NewToken()
	return o
}

// keepLease renews the lease until ctx ends, and ends the delivery when it was fenced. The channel closes when it is
// over.
func (v *delivery) keepLease(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	third := v.leaseThird()
	go func() {
		defer close(done)
		tick := time.NewTicker(third)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := v.claim.Renew(ctx, third); errors.Is(err, ErrFenced) {
				v.stop(err)
				return
			}
		}
	}()
	return done
}

// leaseThird is how old the record may become before its owner writes it again.
func (v *delivery) leaseThird() time.Duration {
	return time.Duration(v.Owner.LeaseMS) * time.Millisecond / 3
}

// adopt takes over the files of the record and sets the gates where it says.
func (v *delivery) adopt(ctx context.Context, rec CommitRecord, generation int) error {
	var err error
	if v.rowLog, err = v.RowLogs.Open(ctx, v.m.Run, generation); err != nil {
		return fmt.Errorf("open row log: %w", err)
	}
	state, err := v.rowLog.State(ctx)
	if err != nil {
		return fmt.Errorf("look at row log: %w", err)
	}
	v.maxBytes = state.MaxBytes
	if rec.Log.Stream == "" {
		rec.Log = state.ID
	}
	if !rec.Log.Same(state.ID) {
		return fmt.Errorf("destination %s: the record was written against another row log: %w", v.dest.ID, ErrGap)
	}
	if v.errors, err = v.Records.Errors(ctx, v.m.Run, v.dest.ID); err != nil {
		return err
	}
	fence := Fence{Token: v.claim.Token(), Epoch: rec.Epoch, Birth: v.m.Birth}
	parts := rec.Parts
	if v.sender != nil {
		if err := v.takeSpool(&rec); err != nil {
			return err
		}
		fence.Folder, fence.Grow, parts = v.spool.Dir(), v.Spool.Space.Force, nil
	}
	found, err := v.sink.Recover(ctx, fence, rec.Artifact, parts)
	if err != nil {
		return fmt.Errorf("claim %s: %w", v.dest.Where(), err)
	}
	failpoint.Hit("after-claim-copy")
	if v.sender != nil {
		if err := v.blameDropped(ctx, &rec); err != nil {
			return err
		}
	}
	err = v.claim.Commit(ctx, func(r *CommitRecord) {
		r.Artifact, r.Log = found.State, rec.Log
		r.settle(r.known(found.Settled))
		if v.sender != nil {
			r.Place, r.Replays, r.Drops = &v.place, nil, nil
			v.account(r)
		}
	})
	if err != nil {
		return err
	}
	if _, err := v.sink.Release(ctx, nil, nil, false); err != nil {
		return fmt.Errorf("publish %s: %w", v.dest.Where(), err)
	}
	return v.restore(ctx, v.claim.Record())
}

// openPart begins the part of an attempt, or continues a recorded one: the sink's, or one in the spool.
func (v *delivery) openPart(ctx context.Context, id PartID, o *Opening, from *PartState) (Part, error) {
	if v.sender != nil {
		return v.openSpooled(ctx, id, o, from)
	}
	return v.sink.Open(ctx, id, o, from, nil)
}

// restore sets the gates and opens the recorded parts.
func (v *delivery) restore(ctx context.Context, rec CommitRecord) error {
	v.gates = make([]gate, len(v.m.Connections))
	v.index = make(map[string]int, len(v.m.Connections))
	v.open, v.failed, v.reopened = map[int]*openPart{}, map[int]Refusal{}, map[int]bool{}
	v.slots, v.own = make(chan struct{}, cap(v.encoders)+2), make(chan struct{}, 1)
	v.pos = rec.Seq
	for i, c := range v.m.Connections {
		v.index[c.ID] = i
		g := &v.gates[i]
		g.min = max(1, rec.Floor[i])
		if rec.Has(i) {
			g.settled = true
		} else if f, ok := rec.Failed[i]; ok {
			g.failed, g.attempt, g.min = true, f.Attempt, f.Attempt+1
		}
	}
	for _, s := range rec.Parts {
		if v.gates[s.Connection].settled {
			continue
		}
		part, err := v.openPart(ctx, s.PartID, &s.Open, &s)
		if err != nil {
			return fmt.Errorf("reopen part of %s: %w", v.m.Connections[s.Connection].ID, err)
		}
		p := v.newPart(ctx, s.PartID, s.Open, part)
		p.restore(s)
		v.open[s.Connection] = p
		g := &v.gates[s.Connection]
		g.attempt, g.min, g.last = s.Attempt, s.Attempt, s.Frame
	}
	if v.sender == nil {
		return nil
	}
	v.sender.restore(rec)
	return v.sweepSpool(rec)
}

// follow reads the row log until every connection is settled or failed.
func (v *delivery) follow(ctx context.Context) error {
	var err error
	name := v.dest.ID + "-" + v.claim.Token()[:6]
	if v.reader, err = v.rowLog.Reader(ctx, name, v.pos+1); err != nil {
		return fmt.Errorf("read row log: %w", err)
	}
	defer func() { _ = v.reader.Close() }() // its mark on the server expires by itself
	for !v.done() {
		asked := time.Now()
		frames, err := v.reader.Fetch(ctx, fetchBytes)
		v.waited += time.Since(asked)
		if err != nil {
			return fmt.Errorf("read row log: %w", err)
		}
		for _, f := range frames {
			if err := v.route(ctx, f); err != nil {
				return err
			}
		}
		if len(v.ready) > 0 || len(v.failed) > 0 {
			if err := v.commit(ctx); err != nil {
				return err
			}
		}
		// Also right after a commit: if the log is full of other connections' frames, nothing more may come before
		// this.
		if v.volatile >= min(v.maxBytes/2, cutBytes) {
			if err := v.cut(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// done reports whether every connection is settled or failed, and recorded as such.
func (v *delivery) done() bool {
	if len(v.ready) > 0 || len(v.failed) > 0 {
		return false
	}
	for i := range v.gates {
		if g := &v.gates[i]; !g.settled && !g.failed {
			return false
		}
	}
	return true
}
