package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline"
)

// Life is what an observer knows of a process.
type Life int

// The lives of processes.
const (
	LifeUnknown  Life = iota // it has not been looked at for long enough
	LifeAlive                // it has given a sign of life while it was looked at
	LifeSilent               // it has given none for its lease, or is known to be gone: it may be declared dead
	LifeDead                 // it is declared dead
	LifeReleased             // it has ended in order
)

// Processes sees which processes live. It follows their records by a watch, which may be late or mute, and reads what
// has not changed for half a lease. The clocks of two machines are never compared: what counts is that a record
// stands still for its lease, by the observer's own monotonic clock, and was read at the end of that. After a gap in
// which this process looked at nothing, as it was frozen or the store did not answer, it counts anew. It is safe for
// concurrent use.
type Processes struct {
	runs  pipeline.KV
	by    pipeline.Owner
	alive func(pipeline.Owner) (alive, known bool)
	lease time.Duration // the observer's own
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{}

	mu     sync.Mutex
	seen   map[string]*sighting // by token
	looked time.Time
	over   int // processes that were seen to be over
}

// sighting is what an observer has seen of one process.
type sighting struct {
	doc       *Document[ProcessRecord] // as it was seen; without a revision there is none
	readable  bool
	later     bool      // of a later version, which is never judged
	since     time.Time // it stands so, and was looked at, since
	confirmed time.Time // when it was last seen to stand so
	moved     bool      // it has changed while it was looked at
	asked     time.Time // when somebody last wanted to know of it
}

// watchPause and watchPauseMax are the pauses between two watches that break or stay mute.
const (
	watchPause    = time.Second
	watchPauseMax = 30 * time.Second
)

// absentLeases is for how many leases a process without a record is looked for that nobody asks about any more.
const absentLeases = 10

// forgetProcess is how long the record stays of a process that is released or dead.
const forgetProcess = 24 * time.Hour

// ObserveProcesses begins to look at the processes that share a store, until Close. by is the observer, which keeps a
// lease of its own. alive tells of processes whose marks this one can see, as coordinate.Coordinator.Alive does. What
// stands in the store is known when ObserveProcesses returns.
func ObserveProcesses(ctx context.Context, runs pipeline.KV, by pipeline.Owner, alive func(pipeline.Owner) (alive, known bool), log *slog.Logger) (*Processes, error) {
	p := newProcesses(runs, by, alive, log)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	w, err := p.watch(life)
	if err != nil {
		stop()
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	for !w.primed {
		select {
		case e, ok := <-w.entries:
			if !ok {
				stop()
				return nil, pipeline.WatchEnded(ctx, "processes")
			}
			w.primed = e.Key == ""
			p.hear(e, time.Now())
		case <-ctx.Done():
			w.end()
			stop()
			return nil, context.Cause(ctx)
		}
	}
	go p.observe(life, w)
	return p, nil
}

func newProcesses(runs pipeline.KV, by pipeline.Owner, alive func(pipeline.Owner) (alive, known bool), log *slog.Logger) *Processes {
	return &Processes{runs: runs, by: by, alive: alive, lease: time.Duration(by.LeaseMS) * time.Millisecond, log: log, done: make(chan struct{}),
		seen: map[string]*sighting{}, looked: time.Now()}
}

// Close ends the looking.
func (p *Processes) Close() {
	p.stop()
	<-p.done
}

// Life is what is known of a process.
func (p *Processes) Life(token string) Life {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seen[token]
	if s == nil { // of an earlier version, or somebody has deleted its record: that is looked up soon
		now := time.Now()
		s = &sighting{doc: p.none(token), since: now, confirmed: now}
		p.seen[token] = s
	}
	s.asked = time.Now()
	return p.life(s)
}

func (p *Processes) life(s *sighting) Life {
	rec := s.doc.value
	switch {
	case s.later:
		return LifeUnknown
	case rec.Dead != nil:
		return LifeDead
	case rec.Released:
		return LifeReleased
	case s.doc.key == ProcessKey(p.by.Token): // whether the observer is gone others judge
		return LifeAlive
	case s.confirmed.Sub(s.since) >= p.leaseOf(s), p.gone(s):
		return LifeSilent
	case s.moved:
		return LifeAlive
	}
	return LifeUnknown
}

// gone reports whether this process can see for itself that another one is gone.
func (p *Processes) gone(s *sighting) bool {
	o := s.doc.value.Owner
	if !s.readable {
		o.Token = pipeline.Untoken(strings.TrimPrefix(s.doc.key, processPrefix))
	}
	alive, known := p.alive(o)
	return known && !alive
}

func (p *Processes) leaseOf(s *sighting) time.Duration {
	if ms := s.doc.value.Owner.LeaseMS; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return p.lease
}

// Gone reports whether a process is gone: what it had in hand may be given to others. One that has stood still for
// its lease is declared dead first, over the very record that was seen to stand still: if it renews its lease at that
// moment it is not gone, and if it does so later it learns that it was. A process without a record is judged in the
// same way.
func (p *Processes) Gone(ctx context.Context, token string) (bool, error) {
	switch p.Life(token) {
	case LifeDead, LifeReleased:
		return true, nil
	case LifeSilent:
		return p.declareDead(ctx, token)
	}
	return false, nil
}

func (p *Processes) declareDead(ctx context.Context, token string) (bool, error) {
	p.mu.Lock()
	doc := *p.seen[token].doc
	p.mu.Unlock()
	rec := doc.value
	rec.Owner.Token = token // it may have none that can be read
	rec.Condemn(p.by, time.Now())
	err := doc.Write(ctx, rec)
	switch {
	case err == nil:
		p.mu.Lock()
		p.see(token, &doc, nil, time.Now())
		p.mu.Unlock()
		p.log.Warn(fmt.Sprintf("process %d on %s is gone", rec.Owner.PID, rec.Owner.Host), "process", token)
		return true, nil
	case errors.Is(err, pipeline.ErrConflict), errors.Is(err, ErrLater): // it lives, or another process has found it dead
		if err := p.read(ctx, token, time.Now()); err != nil {
			return false, err
		}
		life := p.Life(token)
		return life == LifeDead || life == LifeReleased, nil
	}
	return false, err
}

// Live lists the processes that are not known to be gone, by token: also those that nobody has looked at for long
// enough yet.
func (p *Processes) Live() (all []ProcessRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, token := range slices.Sorted(maps.Keys(p.seen)) {
		if s := p.seen[token]; s.readable && (p.life(s) == LifeAlive || p.life(s) == LifeUnknown) {
			all = append(all, s.doc.value)
		}
	}
	return all
}

// Departed counts the processes that were seen to have ended, in order or not: whoever looks for what they have left
// looks again when there are more.
func (p *Processes) Departed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// Sweep declares dead what has stood still for its lease, and removes the records of processes that are released or
// dead for a day. A process that works for nobody else may sleep for a day: whoever wants what it has asks whether it
// is Gone.
func (p *Processes) Sweep(ctx context.Context) error {
	p.mu.Lock()
	var silent, old []string
	for token, s := range p.seen {
		switch {
		case s.doc.rev == 0:
		case p.life(s) == LifeSilent && (!s.doc.value.Alone() || p.gone(s) || s.confirmed.Sub(s.since) > forgetProcess):
			silent = append(silent, token)
		case s.doc.value.Over() && time.Since(s.doc.value.Ended) > forgetProcess:
			old = append(old, token)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, token := range silent {
		_, err := p.declareDead(ctx, token)
		errs = append(errs, err)
	}
	for _, token := range old {
		errs = append(errs, p.runs.Delete(ctx, ProcessKey(token)))
	}
	return errors.Join(errs...)
}

// processWatch is one watch of the records.
type processWatch struct {
	entries <-chan pipeline.KVEntry
	stop    context.CancelFunc
	heard   time.Time // when it last brought something
	primed  bool      // what there was when it began has come
}

func (p *Processes) watch(ctx context.Context) (*processWatch, error) {
	watching, stop := context.WithCancel(ctx)
	entries, err := p.runs.Watch(watching, processPattern)
	if err != nil {
		stop()
		return nil, err
	}
	return &processWatch{entries: entries, stop: stop, heard: time.Now()}, nil
}

// end ends the watch, and waits for that.
func (w *processWatch) end() {
	w.stop()
	for range w.entries { // the store closes it
	}
}

// observe looks at the processes until ctx ends. A watch that brings nothing for a lease is taken for mute, as this
// process renews a lease of its own: another one takes its place, after pauses that grow as long as that brings
// nothing either.
func (p *Processes) observe(ctx context.Context, w *processWatch) {
	defer close(p.done)
	tick := time.NewTicker(max(p.lease/8, time.Millisecond))
	defer tick.Stop()
	pause, again := watchPause, time.Time{}
	for {
		var entries <-chan pipeline.KVEntry
		if w != nil {
			entries = w.entries
		}
		select {
		case <-ctx.Done():
			if w != nil {
				w.end()
			}
			return
		case e, ok := <-entries:
			if !ok {
				w.stop()
				w, again, pause = nil, time.Now().Add(pause), min(2*pause, watchPauseMax)
				continue
			}
			if w.heard = time.Now(); w.primed {
				pause = watchPause // it brings news
			}
			w.primed = w.primed || e.Key == ""
			p.hear(e, w.heard)
		case <-tick.C:
			now := time.Now()
			if w != nil && now.Sub(w.heard) > max(p.lease, pause) {
				w.end()
				w, again, pause = nil, now, min(2*pause, watchPauseMax)
			}
			if w == nil && !now.Before(again) {
				var err error
				if w, err = p.watch(ctx); err != nil && ctx.Err() == nil {
					p.log.Debug("processes could not be watched; trying again", "error", err)
					again, pause = now.Add(pause), min(2*pause, watchPauseMax)
				}
			}
			p.look(ctx, now)
		}
	}
}

// hear takes what a watch brings.
func (p *Processes) hear(e pipeline.KVEntry, now time.Time) {
	token, ok := strings.CutPrefix(e.Key, processPrefix)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.seen[token]; s != nil && !e.Deleted && e.Revision <= s.doc.rev { // it was read already
		return
	}
	p.entry(token, e, now)
}

// entry notes how a record stands at a time. p.mu is held.
func (p *Processes) entry(token string, e pipeline.KVEntry, now time.Time) {
	if s := p.seen[token]; e.Deleted && s != nil && s.doc.value.Over() { // it is forgotten
		delete(p.seen, token)
		return
	}
	if e.Deleted {
		p.see(token, p.none(token), pipeline.ErrNoKey, now)
		return
	}
	doc, err := DocumentOf[ProcessRecord](p.runs, e)
	p.see(token, doc, err, now)
}

// none is the document of a process that has none.
func (p *Processes) none(token string) *Document[ProcessRecord] {
	return &Document[ProcessRecord]{kv: p.runs, key: ProcessKey(token)}
}

// see notes what stands there at a time. p.mu is held.
func (p *Processes) see(token string, doc *Document[ProcessRecord], err error, now time.Time) {
	s := p.seen[token]
	if doc.value.Over() && (s == nil || !s.doc.value.Over()) {
		p.over++
	}
	if s == nil {
		p.seen[token] = &sighting{doc: doc, readable: err == nil, later: errors.Is(err, ErrLater), since: now, confirmed: now, asked: now}
		return
	}
	if s.doc.rev == doc.rev {
		s.confirmed = now
		return
	}
	s.doc, s.readable, s.later, s.since, s.confirmed, s.moved = doc, err == nil, errors.Is(err, ErrLater), now, now, err == nil
}

// look reads what has not changed for half a lease.
func (p *Processes) look(ctx context.Context, now time.Time) {
	p.mu.Lock()
	if now.Sub(p.looked) > p.lease/2 {
		p.anew(now)
	}
	p.looked = now
	var stale []string
	for token, s := range p.seen {
		switch {
		case s.doc.rev == 0 && now.Sub(s.asked) > absentLeases*p.lease:
			delete(p.seen, token)
		case s.doc.value.Over(): // that is its end
		case now.Sub(s.confirmed) >= p.lease/2:
			stale = append(stale, token)
		}
	}
	p.mu.Unlock()
	for _, token := range stale {
		if err := p.read(ctx, token, now); err != nil { // what it does not answer nobody has seen
			p.mu.Lock()
			p.anew(now)
			p.mu.Unlock()
			return
		}
	}
}

// read reads a record, at a time that is no later than that.
func (p *Processes) read(ctx context.Context, token string, now time.Time) error {
	reading, stop := context.WithTimeout(ctx, max(p.lease/4, time.Millisecond))
	defer stop()
	e, err := p.runs.Get(reading, ProcessKey(token))
	if errors.Is(err, pipeline.ErrNoKey) {
		e, err = pipeline.KVEntry{Deleted: true}, nil
	}
	if err != nil {
		return fmt.Errorf("look whether process %s lives: %w", token, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entry(token, e, now)
	return nil
}

// anew counts the silence of all processes anew. p.mu is held.
func (p *Processes) anew(now time.Time) {
	for _, s := range p.seen {
		s.since, s.confirmed = now, now
	}
}
