package screen

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
)

// refresh is the time between two frames: fast enough to look alive, slow enough to read.
const refresh = 125 * time.Millisecond

// Progress shows a run on a terminal: a line for each connection that is being asked, a total, the memory. Log lines
// that are written to Writer go above it. Off a terminal it draws nothing, and Writer is the writer it was given.
//
// Its methods may be called from any goroutine. None but Close and Writer waits for the terminal: one that its user
// has stopped, by Ctrl-S or by selecting text, does not stop the run.
type Progress struct {
	out   io.Writer
	state *state
	rows  map[string]*atomic.Int64 // by connection id; the map itself does not change
	now   func() time.Time

	drawing sync.Mutex // guards the terminal and what follows; never taken while state.mu is held
	paint   *painter   // nil off a terminal
	partial []byte     // of a log line
	frame   []string

	stop     chan struct{}
	stopped  chan struct{}
	stopOnce sync.Once
}

// state is what is known of the run.
type state struct {
	mu        sync.Mutex
	scope     Scope
	names     map[string]string
	ledger    *ledger
	began     time.Time
	running   []*running // the longest first
	read      map[string]int64
	delivered int           // connections that were read in this process
	took      time.Duration // what they took, all together
	resident  int64
	threshold int64
}

// running is a connection that is being asked, or whose rows are being written.
type running struct {
	id, name string
	attempt  int
	phase    phase
	started  time.Time // of the phase
	trouble  string    // why it is tried again
	rows     *atomic.Int64
	pace     pace
}

type phase uint8

const (
	asked     phase = iota
	retrying        // waits for its next attempt
	delivered       // its rows are all read; destinations are at it
)

// NewProgress shows a run on out, a terminal, until Close.
func NewProgress(out io.Writer, scope Scope) *Progress {
	tick := time.NewTicker(refresh)
	return newProgress(out, scope, look{color: Colors(out), plain: !braille()}, time.Now, tick.C, tick.Stop)
}

func newProgress(out io.Writer, scope Scope, l look, now func() time.Time, tick <-chan time.Time, done func()) *Progress {
	s := &state{scope: scope, names: map[string]string{}, ledger: newLedger(scope), began: now(), read: map[string]int64{}}
	p := &Progress{out: out, state: s, now: now, rows: map[string]*atomic.Int64{}, stop: make(chan struct{}), stopped: make(chan struct{})}
	for _, c := range scope.Connections {
		s.names[c.ID] = clean(c.Name)
		p.rows[c.ID] = new(atomic.Int64)
	}
	t, ok := terminalOf(out)
	if !ok {
		done()
		close(p.stopped)
		return p
	}
	p.paint = &painter{terminal: t, look: l}
	go func() {
		defer close(p.stopped)
		defer done()
		for {
			select {
			case <-tick:
				p.refresh()
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// Rows notes how many rows of a connection its present attempt has read so far. It is cheap enough to be called for
// every batch.
func (p *Progress) Rows(connection string, rows int64) {
	if n, ok := p.rows[connection]; ok {
		n.Store(rows)
	}
}

// Memory notes a reading, in bytes. Above the threshold queries pause, and the screen says so.
func (p *Progress) Memory(resident, threshold int64) {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	p.state.resident, p.state.threshold = resident, threshold
}

// Checkpoint takes in what the run has published of its progress: what was delivered before a resume, for one.
func (p *Progress) Checkpoint(c pipeline.PublicCheckpoint) {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	for _, id := range p.state.ledger.checkpoint(c) {
		p.state.drop(id)
	}
}

// Observe takes an event in.
func (p *Progress) Observe(e pipeline.Event) {
	now, s := p.now(), p.state
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.ledger.observe(e) {
		s.drop(id)
	}
	if e.Connection != "" && s.ledger.entry(e.Connection).waits() { // the total counts it
		s.drop(e.Connection)
	}
	switch e.Kind {
	case pipeline.EventConnected:
		r := s.line(e.Connection, now)
		if r.rows = p.rows[e.Connection]; r.rows == nil { // added by a resume
			r.rows = new(atomic.Int64)
		}
		r.rows.Store(0)
		r.attempt, r.trouble, r.pace = e.Attempt, "", pace{}
		r.enter(asked, now)
	case pipeline.EventRetry:
		r := s.line(e.Connection, now)
		r.attempt, r.trouble = e.Attempt, oneLine(e.Error)
		r.enter(retrying, now)
	case pipeline.EventDelivered:
		s.read[e.Connection] = e.Rows
		s.delivered++
		s.took += time.Duration(e.Millis) * time.Millisecond
		if c := s.ledger.entry(e.Connection); !c.over && !c.waits() {
			s.line(e.Connection, now).enter(delivered, now)
		}
	case pipeline.EventCommitted:
		if _, ok := s.read[e.Connection]; !ok { // read before a resume
			s.read[e.Connection] = e.Rows
		}
	}
}

// line is a connection's; a new one stands last.
func (s *state) line(id string, now time.Time) *running {
	for _, r := range s.running {
		if r.id == id {
			return r
		}
	}
	r := &running{id: id, name: s.name(id), started: now, rows: new(atomic.Int64)}
	s.running = append(s.running, r)
	return r
}

func (s *state) name(id string) string {
	if name, ok := s.names[id]; ok {
		return name
	}
	return clean(id)
}

func (s *state) drop(id string) {
	s.running = slices.DeleteFunc(s.running, func(r *running) bool { return r.id == id })
}

func (r *running) enter(ph phase, now time.Time) { r.phase, r.started = ph, now }

// total is the number of rows read so far.
func (s *state) total() (rows int64) {
	for _, n := range s.read {
		rows += n
	}
	for _, r := range s.running {
		if r.phase == asked {
			rows += r.rows.Load()
		}
	}
	return rows
}

// remaining estimates the time until the last connection is read, from what those took that were: the ones that are
// being asked have spent some of theirs, the others share the slots. It is 0 while there is nothing to go by. Failed
// ones do not count: they are quick.
func (s *state) remaining(now time.Time) time.Duration {
	if s.delivered == 0 {
		return 0
	}
	mean := s.took / time.Duration(s.delivered)
	var work, longest time.Duration
	reading := 0
	for _, r := range s.running {
		rest := time.Duration(0)
		switch r.phase {
		case delivered:
			continue
		case asked:
			rest = max(mean-now.Sub(r.started), 0)
		case retrying:
			rest = mean
		}
		reading++
		work, longest = work+rest, max(longest, rest)
	}
	waiting := s.ledger.left() - s.ledger.waiting() - len(s.running)
	if waiting > 0 {
		work, longest = work+mean*time.Duration(waiting), max(longest, mean)
	}
	slots := max(min(s.scope.Parallel, reading+max(waiting, 0)), 1)
	return max(work/time.Duration(slots), longest)
}

// Writer is where log lines go while the progress is shown: whole lines, above it.
func (p *Progress) Writer() io.Writer {
	if p.paint == nil {
		return p.out
	}
	return lineWriter{p}
}

type lineWriter struct{ p *Progress }

// Write implements io.Writer. What does not end a line waits for the rest of it, at most until Close.
func (w lineWriter) Write(b []byte) (int, error) {
	p := w.p
	p.drawing.Lock()
	defer p.drawing.Unlock()
	n := bytes.LastIndexByte(b, '\n') + 1
	if n == 0 {
		p.partial = append(p.partial, b...)
		return len(b), nil
	}
	text := append(p.partial, b[:n]...)
	p.partial = append([]byte(nil), b[n:]...)
	if err := p.paint.show(text, p.frame); err != nil {
		return 0, err
	}
	return len(b), nil
}

// refresh draws what is known now. A terminal that cannot be written to is no reason to stop anything, and one that
// stands still gets no frames: they would fill the room that log lines need.
func (p *Progress) refresh() {
	p.drawing.Lock()
	defer p.drawing.Unlock()
	if t, ok := p.paint.terminal.(interface{ Stalled() bool }); ok && t.Stalled() {
		return
	}
	columns, rows, err := p.paint.terminal.Size()
	if err != nil {
		return
	}
	s := p.state
	s.mu.Lock()
	// The last column stays free: to erase the rest of a line that fills it would erase its end.
	p.frame = p.paint.look.frame(s, p.now(), columns-1, rows)
	s.mu.Unlock()
	_ = p.paint.show(nil, p.frame)
}

// Close removes the progress from the terminal, so that what is written next stands where it was. Log lines may follow.
func (p *Progress) Close() {
	p.stopOnce.Do(func() { close(p.stop) })
	<-p.stopped
	if p.paint == nil {
		return
	}
	p.drawing.Lock()
	defer p.drawing.Unlock()
	text := p.partial
	if len(text) > 0 {
		text = append(text, '\n')
	}
	p.partial, p.frame = nil, nil
	_ = p.paint.show(text, nil)
}
