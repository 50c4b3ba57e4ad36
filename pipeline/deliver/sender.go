package deliver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// sender is the second loop of a spooled destination: it writes, or sends, what the first one has sealed. The first
// reads the row log and never waits for it: a receiver that is slow, down, or asks to wait holds neither the log nor
// other destinations, only its own spool.
//
// Each connection goes through these steps. A record stands between the last two, so that each can be repeated:
//
//	composed  Open and Finish have written it from the spool into a part, which is a cache: after a crash it is made again
//	staged    Stage has made the bytes that go out, synced; the outbox has their requests, and then the record
//	released  readers see it, or the receiver said yes; the next record calls it settled
type sender struct {
	v        *delivery
	traits   pipeline.Traits
	atEnd    bool // nothing is staged before all connections have ended
	parallel int
	keyTTL   time.Duration // 0 is for ever
	gather   pipeline.Gathering
	own      chan struct{}

	mu     sync.Mutex
	sealed map[int]pipeline.Seal // recorded, not composed yet
	all    bool                  // no more will come
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
	id    pipeline.PartID
	seal  pipeline.Seal
	part  pipeline.Part
	bytes int64
}

func newSender(v *delivery, kind *pipeline.SinkKind) *sender {
	return &sender{v: v, traits: kind.Traits, atEnd: kind.AtEnd != nil && kind.AtEnd(v.dest), parallel: kind.ParallelOf(v.dest), keyTTL: kind.TTLOf(v.dest), gather: kind.GatheringOf(v.dest), own: make(chan struct{}, 1),
		sealed: map[int]pipeline.Seal{}, wake: make(chan struct{}, 1), parts: map[int]*composed{}, shown: map[int]bool{}, tried: map[int]bool{}, maybe: map[int]bool{}, moved: time.Now(), gathered: time.Now()}
}

// restore goes on from a record. closed is how many rounds were closed, of a partition, which closes none itself.
func (s *sender) restore(rec checkpoint.CommitRecord, closed int) {
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
	s.round = max(1, o.finals(), closed+1)
	// What a final is followed by belongs to the next round: its own is closed, and goes out as it is.
	if o.finals() > 0 && (len(s.sealed) > 0 || rec.State != pipeline.RecordFinishing) {
		s.round++
	}
}

// add takes over connections that a record calls sealed.
func (s *sender) add(sealed map[int]pipeline.Seal) {
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
	if err := s.answered(ctx); err != nil {
		return err
	}
	patience := newPatience(s.v.d.Timeout)
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
		var trouble *pipeline.Trouble
		if !errors.As(err, &trouble) {
			return err
		}
		pause, over := patience.next(trouble, s.ended())
		if over {
			return &pipeline.Owing{Reason: err.Error()}
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

// commit writes the record, with the outbox as it is on the disk.
func (s *sender) commit(ctx context.Context, change func(*checkpoint.CommitRecord)) error {
	err := s.v.claim.Commit(ctx, func(r *checkpoint.CommitRecord) {
		change(r)
		s.v.account(r)
	})
	if err == nil {
		s.moved = time.Now()
		s.v.moved()
	}
	return err
}

// dropRows removes the rows of a connection that nothing needs any more.
func (s *sender) dropRows(id pipeline.PartID) { s.dropFile(spoolName(id)) }

func (s *sender) dropFile(name string) {
	if err := s.v.spool.Remove(name); err != nil {
		s.v.log.Warn("a file was left in the spool; the next claim removes it", "error", err)
	}
}

// final stages and releases the artifact's last form, or the round's last requests, and ends the record. Each step can
// be repeated: a claim after a crash in between does so.
func (s *sender) final(ctx context.Context) (err error) {
	ctx, end := s.v.span(ctx, pipeline.SpanFinish)
	defer func() { end(err) }()
	if err := s.commit(ctx, (*checkpoint.CommitRecord).StartFinal); err != nil {
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
		return &pipeline.Owing{Reason: fmt.Sprintf("%d of %d requests were not taken; fanmill dead ls shows them", n, len(s.v.outbox.requests))}
	}
	if left := s.unsettled(); len(left) > 0 {
		return pipeline.Permanent(fmt.Errorf("the sink of %s has left %d connections unsent", s.v.dest.ID, len(left)))
	}
	if err := s.release(ctx, true); err != nil {
		return err
	}
	if err := s.commit(ctx, (*checkpoint.CommitRecord).Finish); err != nil {
		return err
	}
	failpoint.Hit("after-finished")
	s.v.keepReport()
	return nil
}

// finals reports whether this round has yet to get its last form. A run of which nothing was delivered has none, nor
// has a resume that brought nothing.
func (s *sender) finals() bool {
	rec := s.v.claim.Record()
	switch {
	case s.v.dest.Shared(): // another record closes the round of all
		return false
	case s.v.dest.Closes():
		return s.v.outbox.finals() < s.round && s.v.untold()
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
