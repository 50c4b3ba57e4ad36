package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"fanmill/pipeline"
)

// ErrDelivered ends what is about to write to a connection's share of the row log: its eof is there, and counts.
var ErrDelivered = errors.New("the connection's eof is in the row log")

// Publisher writes the frames of one attempt behind the newest frame of its connection, each behind the one before. The
// row log takes no other: of two that publish one connection's frames one is refused, however long the other has slept,
// in whichever process. A publisher that is refused asks the connection's record: only that tells whether it was
// replaced, or its frames were all trimmed.
//
// So once an attempt's first frame is in the log nothing of a lower attempt follows it, and the newest frame of a
// connection is the truth about it: an eof at or above the record's floor means that nobody need ask it again.
type Publisher struct {
	Log        pipeline.RowLog
	runs       pipeline.KV
	run        string
	connection string
	attempt    int
	floor      int // attempts below it count for no destination
	owner      string
	begun      bool   // a frame of this attempt is in the log
	last       uint64 // position of the newest frame of the connection, as far as it is known here; 0 is none
}

// NewPublisher is that of the attempt which rec allocates.
func NewPublisher(log pipeline.RowLog, runs pipeline.KV, run, connection string, rec ConnRecord) *Publisher {
	return &Publisher{Log: log, runs: runs, run: run, connection: connection, attempt: rec.Attempt, floor: rec.Floor, owner: rec.Owner}
}

// Look finds the newest frame, for the next one to stand behind. The error is errDelivered if that is an eof that
// counts and this attempt has not begun, and ErrFenced if it is of a higher attempt.
func (p *Publisher) Look(ctx context.Context) error {
	f, err := p.Log.LastFrame(ctx, p.connection)
	switch {
	case err != nil:
		return err
	case f == nil:
		p.last = 0
		return nil
	case f.Attempt > p.attempt:
		return p.fenced()
	case f.Attempt == p.attempt: // what stood behind it is gone, and readers would find a hole
		return pipeline.Transient(fmt.Errorf("the row log has lost frames of %s behind frame %d of attempt %d", p.connection, f.Number, f.Attempt))
	case f.Kind == pipeline.FrameEOF && f.Attempt >= p.floor && !p.begun:
		return ErrDelivered
	}
	p.last = f.Seq
	return nil
}

func (p *Publisher) fenced() error {
	return fmt.Errorf("attempt %d at %s: %w", p.attempt, p.connection, pipeline.ErrFenced)
}

// Append stores the next frame of the attempt. The error is ErrFenced when the attempt is no longer the connection's,
// and errDelivered when a lower one's eof came first.
func (p *Publisher) Append(ctx context.Context, f *pipeline.Frame) error {
	f.Connection, f.Attempt = p.connection, p.attempt
	for {
		seq, err := p.Log.Append(ctx, f, p.last)
		if err == nil {
			p.last, p.begun = seq, true
			return nil
		}
		if !errors.Is(err, pipeline.ErrOvertaken) {
			return err
		}
		// The record first: an attempt that is allocated later than that finds what is appended next, or has it refused.
		if err := p.own(ctx); err != nil {
			return err
		}
		if err := p.Look(ctx); err != nil {
			return err
		}
	}
}

// own reports ErrFenced unless the connection's record still has this attempt as its newest.
func (p *Publisher) own(ctx context.Context) error {
	cell, err := LoadConn(ctx, p.runs, p.run, p.connection)
	if err != nil {
		return err
	}
	if rec := cell.Value(); rec.Attempt != p.attempt || rec.Owner != p.owner || rec.State != ConnRunning && rec.State != ConnGivenUp {
		return p.fenced()
	}
	return nil
}
