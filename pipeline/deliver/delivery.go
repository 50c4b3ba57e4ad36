package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// trouble tells that these connections could not be written. The delivery begins again from what is committed.
func (v *delivery) trouble(err error, connections ...int) {
	for _, i := range connections {
		v.d.notify(v.m, pipeline.Event{Kind: pipeline.EventTrouble, Destination: v.dest.ID, Connection: v.m.Connections[i].ID, Error: pipeline.ShortError(err)})
	}
}

// delivery is one claim's life: from the claim to the finished artifact, or to the first error.
type delivery struct {
	d         *Deliverer
	m         *pipeline.Manifest
	dest      *pipeline.ManifestDestination
	log       *slog.Logger
	trace     pipeline.TraceContext // of the run
	claim     checkpoint.Claim
	sink      pipeline.Sink
	oneSchema bool
	rowLog    pipeline.RowLog
	reader    pipeline.FrameReader
	started   time.Time
	again     bool // this process has claimed the record before
	claimed   func(context.Context) error
	waited    time.Duration // for frames

	spool *spool.Folder // the claim's; of a destination that is not spooled nil, until it needs one for a row in pieces
	spent []string      // files in it that the next record does not name

	// Of a spooled destination; nil of others.
	place  spool.Place
	outbox *outboxFile
	sender *sender

	partitions map[string]checkpoint.CommitRecord // that this one closes, by id, once they have ended; guarded by mu

	mu         sync.Mutex
	progressed time.Time                   // when the record last changed
	errors     map[string]string           // why connections are missing, by id
	before     map[string]pipeline.Figures // what they delivered the last time, by id

	gates    []gate
	index    map[string]int // connection id -> index
	open     map[int]*openPart
	ready    []*openPart              // eof verified, to be staged by the next commit
	trash    []*openPart              // replaced by a higher attempt; the record may still reference them
	failed   map[int]pipeline.Refusal // not yet recorded
	reopened map[int]bool             // recorded as failed, opened again since
	strange  bool                     // foreign messages were found in the row log, and the log says so
	pos      uint64                   // sequence of the last frame routed
	volatile int64                    // bytes of frames routed and not yet covered by the record's Seq
	maxBytes int64                    // of the row log
	looked   time.Time                // at the row log, by a partition
	slots    chan struct{}            // bounds the batches between routing and the part file
	own      chan struct{}            // holds a token while the one batch is under way that waits for nobody else's memory
	stop     context.CancelCauseFunc
}

// frameOverhead is what a frame takes in the row log besides its body, in bytes, rounded up: subject, headers, record.
const frameOverhead = 400

func (v *delivery) run(ctx context.Context, previous string, incarnation int) (err error) {
	ctx, v.stop = context.WithCancelCause(ctx)
	defer func() {
		v.stop(nil)
		if err != nil && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
			err = context.Cause(ctx) // the first cause, not what it led to
		}
	}()
	owner, kind := withToken(v.d.Owner), v.d.Sinks[v.dest.Type]
	here, err := v.d.Places.Here(v.dest)
	if err != nil {
		return err
	}
	v.dest = here
	made := pipeline.SinkSpec{Manifest: v.m, Destination: v.dest, StoreID: v.d.StoreID, Home: owner.Home, Nonce: owner.Token, Log: v.log, Expand: v.d.Jobs.Expand(v.m.JobID)}
	at := sight{kind: kind, spec: made, places: v.d.Places, alone: v.d.Alone, log: v.log}
	if v.claim, err = v.d.Records.Claim(ctx, v.m.Run, v.dest.ID, incarnation, owner, previous, at.look); err != nil {
		return err
	}
	if err := v.claimed(ctx); err != nil && ctx.Err() == nil {
		v.log.Debug("the command of a destination that was claimed could not be acknowledged", "error", err)
	}
	rec := v.claim.Record()
	if rec.Ended() || rec.State == pipeline.RecordAbandoned {
		return nil // a resume opens a detached one again; within the run that gave it up it stays detached
	}
	renewed := v.keepLease(ctx)
	defer func() { v.stop(nil); <-renewed }()

	if kind == nil {
		return pipeline.Permanent(fmt.Errorf("destination %s: no sink of type %q", v.dest.ID, v.dest.Type))
	}
	v.oneSchema = kind.OneSchema(v.dest)
	if v.sink, err = pipeline.NewMasked(kind, made); err != nil {
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
	if err = v.adopt(ctx, rec); err != nil {
		return err
	}
	if v.dest.Closes() {
		return v.closeWhole(ctx)
	}
	if v.sender != nil {
		return v.spoolAndSend(ctx, rec)
	}
	if rec.State != pipeline.RecordFinishing && !v.done() {
		if err = v.follow(ctx); err != nil {
			return err
		}
	}
	return v.finish(ctx)
}

// spoolAndSend runs the two loops of a spooled destination.
func (v *delivery) spoolAndSend(ctx context.Context, rec checkpoint.CommitRecord) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if rec.State != pipeline.RecordFinishing && !v.done() {
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

// withToken is o under the token of a new claim.
func withToken(o pipeline.Owner) pipeline.Owner {
	o.Process, o.Token = o.Token, pipeline.NewToken()
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
			if err := v.claim.Renew(ctx, third); errors.Is(err, pipeline.ErrFenced) || errors.Is(err, checkpoint.ErrLater) {
				v.stop(err)
				return
			}
		}
	}()
	return done
}

// leaseThird is how old the record may become before its owner writes it again.
func (v *delivery) leaseThird() time.Duration {
	return time.Duration(v.d.Owner.LeaseMS) * time.Millisecond / 3
}

// adopt takes over the files of the record and sets the gates where it says.
func (v *delivery) adopt(ctx context.Context, rec checkpoint.CommitRecord) error {
	var err error
	if v.rowLog, err = checkpoint.OpenLog(ctx, v.d.RowLogs, v.m.Run, rec.Opened); err != nil {
		return err
	}
	state, err := v.rowLog.State(ctx)
	if err != nil {
		return fmt.Errorf("look at row log: %w", err)
	}
	v.maxBytes = state.MaxBytes
	if rec.Log.Stream != "" && !rec.Log.Same(state.ID) {
		return fmt.Errorf("destination %s: the record was written against another row log: %w", v.dest.ID, pipeline.ErrNoLog)
	}
	if v.errors, err = v.d.Records.Errors(ctx, v.m.Run, v.dest.ID); err != nil {
		return err
	}
	v.lookBefore(ctx)
	fence := pipeline.Fence{Token: v.claim.Token(), Epoch: rec.Epoch, Birth: v.m.Birth}
	parts := rec.Parts
	if v.sender != nil {
		if err := v.takeSpool(&rec); err != nil {
			return err
		}
		fence.Folder, fence.Grow, parts = v.spool.Dir(), v.d.Spool.Space.Force, nil
	} else if err := v.takeHeld(&rec); err != nil {
		return err
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
	err = v.claim.Commit(ctx, func(r *checkpoint.CommitRecord) {
		r.Recover(v.d.Owner.Home, found.State, state.ID, found.Settled)
		if v.sender != nil {
			r.Spool(v.place)
			v.account(r)
		}
	})
	if err != nil {
		return err
	}
	failpoint.Hit("place-recorded")
	v.notePlace(ctx)
	if _, err := v.sink.Release(ctx, nil, nil, false); err != nil {
		return fmt.Errorf("publish %s: %w", v.dest.Where(), err)
	}
	return v.restore(ctx, v.claim.Record())
}

// openPart begins the part of an attempt, or continues a recorded one: the sink's, or one in the spool.
func (v *delivery) openPart(ctx context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState) (pipeline.Part, error) {
	if v.sender != nil {
		return v.openSpooled(ctx, id, o, from)
	}
	return v.sink.Open(ctx, id, o, from, nil)
}

// restore sets the gates and opens the recorded parts.
func (v *delivery) restore(ctx context.Context, rec checkpoint.CommitRecord) error {
	v.gates = make([]gate, len(v.m.Connections))
	v.index = make(map[string]int, len(v.m.Connections))
	v.open, v.failed, v.reopened = map[int]*openPart{}, map[int]pipeline.Refusal{}, map[int]bool{}
	v.slots, v.own = make(chan struct{}, cap(v.d.encoders)+2), make(chan struct{}, 1)
	v.pos = rec.Seq
	for i, c := range v.m.Connections {
		v.index[c.ID] = i
		g := &v.gates[i]
		g.min = max(1, rec.Floor[i])
		if rec.Has(i) || !v.dest.Takes(i) {
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
		v.open[s.Connection] = p
		if err := p.restore(s); err != nil {
			return fmt.Errorf("reopen part of %s: %w", v.m.Connections[s.Connection].ID, err)
		}
		g := &v.gates[s.Connection]
		g.attempt, g.min, g.last = s.Attempt, s.Attempt, s.Frame+uint64(p.held.pieces)
	}
	if v.sender != nil {
		closed := 0
		if v.dest.Shared() {
			var err error
			if closed, err = v.closedRounds(ctx); err != nil {
				return err
			}
		}
		v.sender.restore(rec, closed)
	}
	if v.spool == nil {
		return nil
	}
	return v.sweepSpool(rec)
}

// follow reads the row log until every connection is settled or failed.
func (v *delivery) follow(ctx context.Context) error {
	var err error
	name := v.dest.ID + "-" + v.claim.Token()[:6]
	if v.reader, err = v.rowLog.Reader(ctx, name, v.pos+1, v.reads()); err != nil {
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
		due := v.volatile >= min(v.maxBytes/2, pipeline.CutBytes)
		if v.dest.Shared() && !due {
			if due, err = v.holds(ctx); err != nil {
				return err
			}
		}
		if due {
			if err := v.cut(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// reads are the connections whose frames the destination reads; nil is all.
func (v *delivery) reads() (ids []string) {
	if v.dest.Partition == nil {
		return nil
	}
	for _, i := range v.dest.Partition.Connections {
		ids = append(ids, v.m.Connections[i].ID)
	}
	return ids
}

// holdLook is how often a partition looks whether it holds the row log.
const holdLook = 500 * time.Millisecond

// holds reports whether the row log waits for this partition, which is to record how far it is then. What it has read
// itself does not tell: the frames of other partitions fill the log as well, and it sees none of them.
func (v *delivery) holds(ctx context.Context) (bool, error) {
	rec := v.claim.Record()
	if v.pos <= rec.Seq || time.Since(v.looked) < holdLook {
		return false, nil
	}
	v.looked = time.Now()
	s, err := v.rowLog.State(ctx)
	if err != nil {
		return false, fmt.Errorf("look at row log: %w", err)
	}
	return s.Waits(rec.Seq), nil
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
