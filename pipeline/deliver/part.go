package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"fanmill/pipeline/columnar"
	"fanmill/pipeline/failpoint"

	"fanmill/pipeline"
)

// openPart is a part being filled: frames come in order from the loop, are decoded and encoded on all cores, and the
// results are appended in order by one goroutine.
type openPart struct {
	v      *delivery
	id     pipeline.PartID
	open   pipeline.Opening
	part   pipeline.Part
	ending pipeline.Ending

	// Of the frames taken. handed lags behind while a row is in pieces.
	chain         pipeline.Chain
	held          heldRow
	spent         []string // files of rows in pieces that are whole by now; a record may still name them
	handed        pipeline.PartState
	firstVolatile uint64              // sequence of the first frame that saved does not cover; 0 if it covers all
	saved         *pipeline.PartState // as of the last cut

	queue   chan *task
	pending sync.WaitGroup // tasks queued
	ended   chan struct{}  // the appender is gone
	closing sync.Once
	mu      sync.Mutex
	err     error
	reason  string // why the rows were turned away
}

// task is a batch on its way from a frame to the part file.
type task struct {
	query    int
	firstRow int64
	body     []byte
	more     bool                                  // a piece, on its way into the rows file of a spooled destination
	size     int64                                 // bytes of the body
	load     func(context.Context) ([]byte, error) // the body, if it is on the disk
	room     func()                                // gives back what it takes of the budget
	chunk    pipeline.Chunk
	err      error
	encoded  chan struct{}
}

func (v *delivery) newPart(ctx context.Context, id pipeline.PartID, o pipeline.Opening, part pipeline.Part) *openPart {
	p := &openPart{v: v, id: id, open: o, part: part, queue: make(chan *task, cap(v.slots)), ended: make(chan struct{})}
	p.handed = pipeline.PartState{PartID: id, Rows: make([]int64, len(o.Queries)), Open: o}
	go p.append(ctx)
	return p
}

// restore continues at a recorded state.
func (p *openPart) restore(s pipeline.PartState) error {
	p.handed, p.saved, p.chain = s, &s, s.Chain
	p.handed.Rows, p.handed.Held = slices.Clone(s.Rows), nil
	return p.restoreHeld(&s)
}

// take accepts a rows frame.
func (p *openPart) take(ctx context.Context, f *pipeline.Frame) error {
	if f.Query < 0 || f.Query >= len(p.handed.Rows) {
		return pipeline.Permanent(fmt.Errorf("frame %d is of query %d of %d", f.Number, f.Query, len(p.handed.Rows)))
	}
	if p.firstVolatile == 0 {
		p.firstVolatile = f.Seq
	}
	p.chain = p.chain.Add(f.Body)
	var t *task
	if f.Fragments > 1 {
		var err error
		if t, err = p.piece(ctx, f); err != nil || f.Fragment+1 < f.Fragments {
			return err
		}
	} else if p.v.takes(f.Query) {
		t = p.batch(f)
	}
	p.handed.Rows[f.Query] += int64(f.Rows)
	p.handed.Frame, p.handed.Chain = f.Number, p.chain
	if t == nil {
		return nil
	}
	return p.submit(ctx, t)
}

// batch is the task of a frame.
func (p *openPart) batch(f *pipeline.Frame) *task {
	return &task{query: f.Query, firstRow: p.handed.Rows[f.Query], body: f.Body, size: int64(len(f.Body)), encoded: make(chan struct{})}
}

// What a batch takes in memory on its way into a part, as a multiple of its encoded body: itself, its columns, and
// the text or cells made of them. Batches are cut at maxBatch bytes of columns.
const (
	taskWeight    = 12
	maxTaskWeight = 3 * pipeline.MaxBatch
)

// weight is what an encoded body of so many bytes takes. One larger than any batch is a huge row: itself, and its text.
func weight(body int64) int64 { return max(min(body*taskWeight, maxTaskWeight), 2*body) }

// submit waits for a slot and for room in the budget, which bound the memory of batches under way, and starts the
// encoding. Whoever has them needs nothing else to give them back but its own storage. A destination whose storage
// hangs keeps them, so each may have one batch under way whatever the others hold: it goes on, if slowly, and who is
// given up for holding the row log is the one that hangs.
func (p *openPart) submit(ctx context.Context, t *task) error {
	select {
	case p.v.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	takes := weight(t.size)
	if p.v.sender != nil { // only the body
		takes = t.size
	}
	if t.room, err = p.v.d.Budget.Sinks.TakeOr(ctx, takes, p.v.own); err != nil {
		<-p.v.slots
		return err
	}
	p.pending.Add(1)
	p.queue <- t           // has as much room as there are slots
	if p.v.sender != nil { // goes to the spool as it is
		t.chunk, t.body = raw{t.firstRow, t.body, t.more}, nil
		close(t.encoded)
		return nil
	}
	go func() {
		defer close(t.encoded)
		p.v.d.encoders <- struct{}{}
		defer func() { <-p.v.d.encoders }()
		if t.load != nil {
			if t.body, t.err = t.load(ctx); t.err != nil {
				return
			}
		}
		batch, err := columnar.Decode(t.body)
		if err != nil {
			t.err = pipeline.Permanent(err)
			return
		}
		t.body = nil
		t.chunk, t.err = p.part.Encode(t.query, t.firstRow, batch)
	}()
	return nil
}

// append writes the encoded batches in order. After the end of ctx nothing more is written, and the part says so: it
// lacks rows.
func (p *openPart) append(ctx context.Context) {
	defer close(p.ended)
	for t := range p.queue {
		<-t.encoded
		if err := t.err; err != nil {
			p.note(ctx, err)
		} else if err := ctx.Err(); err != nil {
			p.note(ctx, err)
		} else if p.ok() {
			if err := p.part.Append(ctx, t.query, t.chunk); err != nil {
				p.note(ctx, err)
			}
			failpoint.Hit("mid-part")
		}
		t.room()
		<-p.v.slots
		p.pending.Done()
	}
}

// note keeps the first error. One that turns the rows away concerns this part only; any other ends the delivery.
func (p *openPart) note(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.reason != "" {
		return
	}
	var turned *pipeline.RejectError
	if errors.As(err, &turned) {
		p.reason = turned.Reason
		return
	}
	p.err = fmt.Errorf("write rows of %s: %w", p.v.m.Connections[p.id.Connection].ID, err)
	if ctx.Err() == nil { // else the delivery has ended, and this is what came of it
		p.v.trouble(err, p.id.Connection)
		p.v.stop(p.err)
	}
}

func (p *openPart) ok() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err == nil && p.reason == ""
}

func (p *openPart) rejected() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// wait returns when every batch taken so far is in the part file.
func (p *openPart) wait() error {
	p.pending.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// verify compares what arrived with what the eof frame says was sent.
func (p *openPart) verify(end *pipeline.Ending) error {
	switch {
	case p.held.pieces > 0:
		return fmt.Errorf("eof in the middle of a row: %d pieces are held", p.held.pieces)
	case end.Frames != p.handed.Frame:
		return fmt.Errorf("received %d frames, %d were sent", p.handed.Frame, end.Frames)
	case !slices.Equal(end.Rows, p.handed.Rows):
		return fmt.Errorf("received %v rows, %v were sent", p.handed.Rows, end.Rows)
	case pipeline.Chain(end.Checksum) != p.chain:
		return fmt.Errorf("checksum of the rows received is %x, of those sent %x", uint64(p.chain), end.Checksum)
	}
	return nil
}

// save makes the part durable, and the pieces of a row with it, and remembers its state.
func (p *openPart) save(ctx context.Context) error {
	if err := p.wait(); err != nil {
		return err
	}
	if p.rejected() != "" {
		return nil // the caller turns it away
	}
	raw, err := p.part.Save(ctx)
	if err != nil {
		return fmt.Errorf("save part of %s: %w", p.v.m.Connections[p.id.Connection].ID, err)
	}
	held, err := p.saveHeld()
	if err != nil {
		return fmt.Errorf("save a row in pieces of %s: %w", p.v.m.Connections[p.id.Connection].ID, err)
	}
	s := p.handed
	s.Rows, s.State, s.Held = slices.Clone(s.Rows), raw, held
	p.saved, p.firstVolatile = &s, 0
	return nil
}

// close ends the appender and leaves the files.
func (p *openPart) close() {
	p.closing.Do(func() { close(p.queue) })
	<-p.ended
}
