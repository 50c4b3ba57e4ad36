package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/failpoint"
)

// Owing ends a destination for this run: everything that it has is safe, and something of it is not sent. A resume goes
// on with that.
type Owing struct{ Reason string }

func (o *Owing) Error() string { return o.Reason }

// sender is the second loop of a spooled destination: it writes, or sends, what the first one has sealed. The first reads
// the row log and never waits for it: a receiver that is slow, down, or asks to wait holds neither the log nor other
// destinations, only its own spool.
//
// Each connection goes through these steps. A record stands between the last two, so that each can be repeated:
//
//	composed  Open and Finish have written it from the spool into a part, which is a cache: after a crash it is made again
//	staged    Stage has made the bytes that go out, synced; the outbox has their requests, and then the record
//	released  readers see it, or the receiver said yes; the next record calls it settled
type sender struct {
	v        *delivery
	traits   Traits
	atEnd    bool // nothing is staged before all connections have ended
	parallel int
	gather   Gathering
	own      chan struct{}

	mu     sync.Mutex
	sealed map[int]Seal // recorded, not composed yet
	all    bool         // no more will come
	wake   chan struct{}

	// Of the sender's own goroutine.
	parts    map[int]*composed
	shown    map[int]bool // staged for a target without requests, to be settled by the next Release
	tried    map[int]bool // requests that this claim has sent
	maybe    map[int]bool // those of them that may have reached the receiver, and those that an earlier claim has tried
	round    int
	behind   bool // what readers see is older than the record
	gathered time.Time
	moved    time.Time // when something was last achieved
}

// composed is a connection that is written into a part.
type composed struct {
	id    PartID
	seal  Seal
	part  Part
	bytes int64
}

func newSender(v *delivery, kind *SinkKind) *sender {
	return &sender{v: v, traits: kind.Traits, atEnd: kind.AtEnd != nil && kind.AtEnd(v.dest), parallel: kind.parallel(v.dest), gather: kind.gathering(v.dest), own: make(chan struct{}, 1),
		sealed: map[int]Seal{}, wake: make(chan struct{}, 1), parts: map[int]*composed{}, shown: map[int]bool{}, tried: map[int]bool{}, maybe: map[int]bool{}, moved: time.Now(), gathered: time.Now()}
}

// restore goes on from a record.
func (s *sender) restore(rec CommitRecord) {
	o := s.v.outbox
	allocated := o.allocated()
	for i, seal := range rec.Sealed {
		if !allocated[i] {
			s.sealed[i] = seal
		}
	}
	for i, seal := range rec.Sealed {
		if !s.v.again { // whoever follows the run here has not seen it
			s.v.sealedEvent(i, seal)
		}
	}
	s.round = max(1, o.finals())
	// What a final is followed by belongs to the next round: its own is closed, and goes out as it is.
	if o.finals() > 0 && (len(s.sealed) > 0 || rec.State != RecordFinishing) {
		s.round++
	}
}

// add takes over connections that a record calls sealed.
func (s *sender) add(sealed map[int]Seal) {
	s.mu.Lock()
	maps.Copy(s.sealed, sealed)
	s.mu.Unlock()
	s.signal()
}

// end says that no more will come.
func (s *sender) end() {
	s.mu.Lock()
	s.all = true
	s.mu.Unlock()
	s.signal()
}

func (s *sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sender) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// waiting are the connections to be composed, in the job's order.
func (s *sender) waiting() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.sealed))
}

// run sends until everything is sent, or nothing more will be: *Owing. Any other error ends the claim.
func (s *sender) run(ctx context.Context) error {
	patience := newPatience(s.v.Timeout)
	for {
		before := s.moved
		done, err := s.pass(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if done {
			return nil
		}
		if s.moved.After(before) {
			patience.reset()
		}
		if err == nil {
			patience.reset()
			if err := s.rest(ctx); err != nil {
				return err
			}
			continue
		}
		var trouble *Trouble
		if !errors.As(err, &trouble) {
			return err
		}
		pause, over := patience.next(trouble, s.ended())
		if over {
			return &Owing{Reason: err.Error()}
		}
		s.v.log.Warn(fmt.Sprintf("%s does not take what is sent; trying again", s.v.dest.Where()), "error", err, "pause", pause.Round(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// rest waits for more, or until what is gathered has waited long enough.
func (s *sender) rest(ctx context.Context) error {
	var due <-chan time.Time
	if len(s.parts) > 0 && !s.atEnd {
		timer := time.NewTimer(max(0, s.gather.Time-time.Since(s.gathered)))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s.wake:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// unsettled are the connections that wait for the receiver.
func (s *sender) unsettled() []int {
	return slices.Sorted(maps.Keys(s.v.claim.Record().Sealed))
}

// pass does what can be done. done means that the destination is finished, and its record says so.
func (s *sender) pass(ctx context.Context) (done bool, err error) {
	all := s.ended()
	if all || !s.atEnd {
		if err := s.compose(ctx); err != nil {
			return false, err
		}
	}
	if !s.atEnd && s.due(all) {
		if err := s.stage(ctx, nil); err != nil {
			return false, err
		}
	}
	if err := s.release(ctx, false); err != nil {
		return false, err
	}
	if !all || len(s.waiting()) > 0 {
		return false, nil
	}
	err = s.final(ctx)
	return err == nil, err
}

// due reports whether what is composed is to be staged now.
func (s *sender) due(all bool) bool {
	if len(s.parts) == 0 {
		return false
	}
	var bytes, rows int64
	for _, c := range s.parts {
		bytes += c.bytes
		rows += s.v.taken(c.seal.Rows)
	}
	g := &s.gather
	return all || !s.traits.Gathers || bytes >= g.Bytes || g.Rows > 0 && rows >= g.Rows || time.Since(s.gathered) >= g.Time
}

// compose writes the sealed connections into parts, several at a time. One that is turned away is given up here: this is
// the last place for that.
func (s *sender) compose(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	var spoiled []Part
	refused := map[int]string{}
	made := map[int]*composed{}
	var failed error
	for _, i := range s.waiting() {
		c, err := s.openPart(ctx, i)
		var turned *RejectError
		if errors.As(err, &turned) {
			refused[i] = turned.Reason
			continue
		}
		if err != nil {
			failed = err
			break
		}
		g.Go(func() error {
			err := s.fill(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made[i] = c
				return nil
			}
			spoiled = append(spoiled, c.part)
			if turned := (*RejectError)(nil); errors.As(err, &turned) {
				refused[i] = turned.Reason
				return nil
			}
			return err
		})
	}
	err := errors.Join(g.Wait(), failed)
	for _, part := range spoiled { // not at once: that is the sink's own goroutine
		err = errors.Join(err, part.Discard())
	}
	maps.Copy(s.parts, made)
	s.mu.Lock()
	for i := range made {
		delete(s.sealed, i)
	}
	s.mu.Unlock()
	return errors.Join(err, s.refuse(ctx, refused))
}

// openPart opens the part of a sealed connection.
func (s *sender) openPart(ctx context.Context, i int) (*composed, error) {
	s.mu.Lock()
	seal := s.sealed[i]
	s.mu.Unlock()
	rows := &sealedRows{v: s.v, id: PartID{i, seal.Attempt}, seal: seal}
	o, err := rows.opening(ctx)
	if err != nil {
		return nil, &lostRows{connections: []int{i}, err: err}
	}
	part, err := s.v.sink.Open(ctx, rows.id, o, nil, rows)
	if err != nil {
		return nil, err
	}
	return &composed{id: rows.id, seal: seal, part: part, bytes: seal.At.Length}, nil
}

// fill writes a connection's rows into its part.
func (s *sender) fill(ctx context.Context, c *composed) error {
	give, err := s.v.Budget.sinks.takeOr(ctx, max(s.traits.WorkingSet, maxTaskWeight), s.own)
	if err != nil {
		return err
	}
	defer give()
	summary, err := c.part.Finish(ctx)
	if errors.Is(err, ErrLost) {
		return &lostRows{connections: []int{c.id.Connection}, err: err}
	}
	if err != nil {
		return fmt.Errorf("write rows of %s: %w", s.v.m.Connections[c.id.Connection].ID, err)
	}
	c.seal.Losses = summary.Losses
	c.note(summary.Notes)
	return nil
}

// note adds notes to those of the connection. What is staged again after a crash has them already.
func (c *composed) note(notes []string) {
	c.seal.Notes = slices.Clip(c.seal.Notes)
	for _, n := range notes {
		if !slices.Contains(c.seal.Notes, n) {
			c.seal.Notes = append(c.seal.Notes, n)
		}
	}
}

// lostRows are sealed connections whose rows are gone, and which were not sent: they are asked again.
type lostRows struct {
	connections []int
	err         error
}

func (l *lostRows) Error() string   { return l.err.Error() }
func (l *lostRows) Unwrap() []error { return []error{l.err, ErrLost} }

// refuse records that connections were turned away. Their rows go.
func (s *sender) refuse(ctx context.Context, reasons map[int]string) error {
	if len(reasons) == 0 {
		return nil
	}
	seals, recorded := map[int]Seal{}, s.v.claim.Record().Sealed
	s.mu.Lock()
	for i := range reasons {
		if _, ok := recorded[i]; ok {
			seals[i] = recorded[i]
		}
		delete(s.sealed, i)
	}
	s.mu.Unlock()
	for i := range seals {
		why := reasons[i]
		id := s.v.m.Connections[i].ID
		s.v.setReason(id, why)
		if err := s.v.Records.SetError(ctx, s.v.m.Run, s.v.dest.ID, id, shortError(errors.New(why))); err != nil {
			return err
		}
	}
	err := s.commit(ctx, func(r *CommitRecord) {
		for i, seal := range seals {
			delete(r.Sealed, i)
			r.Failed[i] = Refusal{Attempt: seal.Attempt, Attempts: seal.Attempts, Millis: seal.Millis, Rejected: true}
		}
	})
	if err != nil {
		return err
	}
	for i, seal := range seals {
		s.dropRows(PartID{i, seal.Attempt})
		delete(s.shown, i)
		s.v.notify(s.v.m, Event{Kind: EventRejected, Destination: s.v.dest.ID, Connection: s.v.m.Connections[i].ID, Attempt: seal.Attempt, Error: reasons[i]})
	}
	return nil
}

// commit writes the record, with the outbox as it is on the disk.
func (s *sender) commit(ctx context.Context, change func(*CommitRecord)) error {
	err := s.v.claim.Commit(ctx, func(r *CommitRecord) {
		change(r)
		s.v.account(r)
	})
	if err == nil {
		s.moved = time.Now()
		s.v.moved()
	}
	return err
}

// stage hands what is composed to the sink, and records what it made. The order is what makes a crash harmless:
//
//  1. Stage: the bytes are on the disk, synced. A crash here leaves files that the next claim does not take over.
//  2. The outbox names the requests. A crash here leaves a line that the next claim drops: nothing of it was sent.
//  3. The record names the outbox. From here on the requests are sent as they are, and never made again.
func (s *sender) stage(ctx context.Context, final *Report) error {
	var parts []Part
	order := slices.Sorted(maps.Keys(s.parts))
	for _, i := range order {
		parts = append(parts, s.parts[i].part)
	}
	staged, err := s.v.sink.Stage(ctx, parts, s.round, final)
	if err != nil {
		return fmt.Errorf("stage for %s: %w", s.v.dest.Where(), err)
	}
	failpoint.Hit("after-stage")
	for i, notes := range staged.Notes {
		if c := s.parts[i]; c != nil {
			c.note(notes)
		}
	}
	line, err := s.number(&staged, final != nil)
	if err != nil {
		return err
	}
	if s.traits.Requests && (final != nil || len(staged.Allocated) > 0) {
		if err := s.v.outbox.write(outboxLine{Stage: line}); err != nil {
			return err
		}
	}
	failpoint.Hit("before-cas")
	taken := order
	if s.traits.SettlesOnRelease {
		taken = staged.Allocated
	}
	settled := map[int]Settlement{}
	for _, i := range taken {
		c := s.parts[i]
		if c == nil {
			return Permanent(fmt.Errorf("the sink of %s has staged connection %d, which it was not given", s.v.dest.ID, i))
		}
		if !s.traits.SettlesOnRelease || s.traits.Requests && !line.asks(i) {
			settled[i] = c.seal.Settlement
		}
	}
	err = s.commit(ctx, func(r *CommitRecord) {
		r.Artifact, r.Commits = staged.State, r.Commits+1
		for _, i := range taken {
			r.Sealed[i] = s.parts[i].seal
		}
		r.settle(settled)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("after-cas")
	s.behind, s.gathered = true, time.Now()
	for _, i := range taken {
		if s.traits.SettlesOnRelease && !s.traits.Requests {
			s.shown[i] = true
		} else {
			s.dropRows(s.parts[i].id) // its bytes are in what is recorded
		}
		delete(s.parts, i)
	}
	s.tell(settled)
	if len(settled) > 0 {
		s.v.keepReport()
	}
	return nil
}

// number gives the requests of a staging their numbers and keys.
func (s *sender) number(staged *Staged, final bool) (*staging, error) {
	line := &staging{Round: s.round, Final: final, Requests: staged.Requests, Allocated: staged.Allocated, Keep: staged.Keep}
	for i := range line.Requests {
		r := &line.Requests[i]
		if !soundRequest(r) {
			return nil, Permanent(fmt.Errorf("the sink of %s has described a request badly: %+v", s.v.dest.ID, *r))
		}
		r.Number, r.Round = len(s.v.outbox.requests)+i+1, s.round
		r.Key = requestKey(s.v.StoreID, s.v.m.Birth, s.v.dest.ID, r)
	}
	return line, nil
}

// asks reports whether a connection's rows wait for a request of this staging.
func (l *staging) asks(connection int) bool {
	return slices.ContainsFunc(l.Requests, func(r WireRequest) bool {
		return !r.Closing && (r.Connection == OfAll || r.Connection == connection)
	})
}

// release sends what is recorded, or makes it public, until nothing waits.
func (s *sender) release(ctx context.Context, insist bool) error {
	for {
		next := s.v.outbox.pending(s.parallel)
		next, err := s.forgotten(ctx, next)
		if err != nil {
			return err
		}
		if len(next) == 0 && !s.behind && !insist {
			return nil
		}
		// Whoever froze before this finds here that another claim has the record, or that its run was given up: what it
		// would send then is nobody's to send.
		if err := s.v.claim.Renew(ctx, s.v.leaseThird()); err != nil {
			return err
		}
		if err := s.first(next); err != nil {
			return err
		}
		report := s.v.report()
		if insist {
			report = s.v.finalReport()
		}
		released, err := s.v.sink.Release(ctx, next, report, insist)
		if err := s.reached(next, released.Unsent); err != nil {
			return err
		}
		if aerr := s.apply(ctx, &released); aerr != nil {
			return aerr
		}
		if err != nil {
			return fmt.Errorf("deliver to %s: %w", s.v.dest.Where(), err)
		}
		s.behind = false
		if len(next) == 0 {
			return nil
		}
	}
}

// first notes the requests that are sent for the first time, before they are.
func (s *sender) first(next []WireRequest) error {
	var lines []outboxLine
	for _, r := range next {
		if _, before := s.v.outbox.tries[r.Number]; before && !s.tried[r.Number] {
			s.maybe[r.Number] = true
		}
		s.tried[r.Number] = true
		if _, before := s.v.outbox.tries[r.Number]; !before {
			lines = append(lines, outboxLine{Try: &firstTry{r.Number, time.Now().UTC()}})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return s.v.outbox.write(lines...)
}

// reached notes which of the requests that were sent may have reached the receiver. Of one that never did, no try counts:
// the receiver has no key to forget.
func (s *sender) reached(sent []WireRequest, unsent []int) error {
	var lines []outboxLine
	for _, r := range sent {
		switch {
		case !slices.Contains(unsent, r.Number):
			s.maybe[r.Number] = true
		case !s.maybe[r.Number]:
			lines = append(lines, outboxLine{Unsent: &r.Number})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return s.v.outbox.write(lines...)
}

// forgotten makes letters of the requests that an earlier claim sent, without an answer, longer ago than receivers
// remember keys: to send them again might have their rows twice.
func (s *sender) forgotten(ctx context.Context, next []WireRequest) (kept []WireRequest, err error) {
	var letters []Letter
	for _, r := range next {
		at, before := s.v.outbox.tries[r.Number]
		if ttl := s.traits.KeyTTL; ttl > 0 && before && !s.tried[r.Number] && time.Since(at) > ttl {
			letters = append(letters, Letter{Number: r.Number, At: time.Now().UTC(), Unknown: true,
				Error: fmt.Sprintf("it was sent on %s, and no answer came; after %s the receiver may have forgotten its key, so it is not sent again by itself", at.Format(time.RFC3339), ttl)})
			continue
		}
		kept = append(kept, r)
	}
	if len(letters) == 0 {
		return kept, nil
	}
	return kept, s.apply(ctx, &Released{Letters: letters})
}

// apply records what a release achieved.
func (s *sender) apply(ctx context.Context, released *Released) error {
	var lines []outboxLine
	for _, r := range released.Receipts {
		if r.Number < 1 || r.Number > len(s.v.outbox.requests) {
			return Permanent(fmt.Errorf("the sink of %s has a receipt of request %d of %d", s.v.dest.ID, r.Number, len(s.v.outbox.requests)))
		}
		lines = append(lines, outboxLine{Receipt: &r})
	}
	for _, l := range released.Letters {
		if l.Number < 1 || l.Number > len(s.v.outbox.requests) {
			return Permanent(fmt.Errorf("the sink of %s has refused request %d of %d", s.v.dest.ID, l.Number, len(s.v.outbox.requests)))
		}
		if err := errors.Join(s.v.bury(&l), s.blame(ctx, &l)); err != nil {
			return err
		}
		lines = append(lines, outboxLine{Letter: &l})
	}
	if err := s.refuse(ctx, released.Rejected); err != nil {
		return err
	}
	if len(lines)+len(released.Settled) == 0 && released.State == nil {
		return nil
	}
	if len(lines) > 0 {
		if err := s.v.outbox.write(lines...); err != nil {
			return err
		}
	}
	for _, r := range released.Receipts {
		if s.v.outbox.replayed[r.Number] { // it is no letter any more, whatever the record comes to
			if err := s.v.forget(r.Number); err != nil {
				return err
			}
		}
	}
	failpoint.Hit("after-answer")
	settled := map[int]Settlement{}
	sealed := s.v.claim.Record().Sealed
	for i := range s.v.outbox.done {
		if seal, ok := sealed[i]; ok {
			settled[i] = seal.Settlement
		}
	}
	for i := range released.Settled {
		if seal, ok := sealed[i]; ok {
			settled[i] = seal.Settlement
		}
	}
	err := s.commit(ctx, func(r *CommitRecord) {
		r.settle(settled)
		if released.State != nil {
			r.Artifact = released.State
		}
	})
	if err != nil {
		return err
	}
	for _, r := range released.Receipts {
		if name := s.v.outbox.requests[r.Number-1].File; s.v.outbox.open[name] == 0 {
			s.dropFile(name)
		}
	}
	for i := range settled {
		if s.shown[i] {
			s.dropRows(PartID{i, settled[i].Attempt})
			delete(s.shown, i)
		}
	}
	for _, l := range released.Letters {
		s.v.notify(s.v.m, Event{Kind: EventLetter, Destination: s.v.dest.ID, Connection: s.v.connectionOf(l.Number), Error: fmt.Sprintf("request %d: %s", l.Number, l.Error)})
	}
	s.tell(settled)
	if len(settled)+len(released.Letters) > 0 {
		s.v.keepReport()
	}
	return nil
}

// blame keeps why a connection is not delivered whose request was refused.
func (s *sender) blame(ctx context.Context, l *Letter) error {
	id := s.v.connectionOf(l.Number)
	if id == "" {
		return nil
	}
	why := shortError(fmt.Errorf("request %d was refused: %s", l.Number, l.Error))
	s.v.setReason(id, why)
	return s.v.Records.SetError(ctx, s.v.m.Run, s.v.dest.ID, id, why)
}

// tell publishes that connections are delivered.
func (s *sender) tell(settled map[int]Settlement) {
	for i, t := range settled {
		s.v.notify(s.v.m, Event{Kind: EventCommitted, Destination: s.v.dest.ID, Connection: s.v.m.Connections[i].ID, Attempt: t.Attempt, Rows: s.v.taken(t.Rows), Millis: t.Millis})
	}
}

// dropRows removes the rows of a connection that nothing needs any more.
func (s *sender) dropRows(id PartID) { s.dropFile(spoolName(id)) }

func (s *sender) dropFile(name string) {
	if err := s.v.spool.Remove(name); err != nil {
		s.v.log.Warn("a file was left in the spool; the next claim removes it", "error", err)
	}
}

// final stages and releases the artifact's last form, or the round's last requests, and ends the record. Each step can be
// repeated: a claim after a crash in between does so.
func (s *sender) final(ctx context.Context) error {
	if err := s.commit(ctx, func(r *CommitRecord) { r.State = RecordFinishing }); err != nil {
		return err
	}
	if s.finals() {
		if err := s.stage(ctx, s.v.report()); err != nil {
			return err
		}
		failpoint.Hit("before-final-publish")
	}
	if s.traits.SettlesOnRelease { // else nothing is public before it is final
		if err := s.release(ctx, false); err != nil {
			return err
		}
	}
	if n := len(s.v.outbox.letters); n > 0 {
		return &Owing{Reason: fmt.Sprintf("%d of %d requests were not taken; fanmill dead ls shows them", n, len(s.v.outbox.requests))}
	}
	if left := s.unsettled(); len(left) > 0 {
		return Permanent(fmt.Errorf("the sink of %s has left %d connections unsent", s.v.dest.ID, len(left)))
	}
	if err := s.release(ctx, true); err != nil {
		return err
	}
	if err := s.commit(ctx, func(r *CommitRecord) { r.State = RecordFinished }); err != nil {
		return err
	}
	failpoint.Hit("after-finished")
	s.v.keepReport()
	return nil
}

// finals reports whether this round has yet to get its last form. A run of which nothing was delivered has none, nor has
// a resume that brought nothing.
func (s *sender) finals() bool {
	rec := s.v.claim.Record()
	switch {
	case len(rec.Settled)+len(rec.Sealed) == 0:
		return false
	case !s.traits.Requests:
		return true
	case s.v.outbox.finals() >= s.round:
		return false
	}
	return s.round == 1 || len(s.parts) > 0 || s.v.outbox.newIn(s.round)
}

// close gives up the parts.
func (s *sender) close() error {
	var errs []error
	for _, c := range s.parts {
		errs = append(errs, c.part.Discard())
	}
	clear(s.parts)
	return errors.Join(errs...)
}
