package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/pipeline"
)

// ErrDelivered ends what is about to write to a connection's share of the row log: its eof is there, and counts.
var ErrDelivered = errors.New("the connection's eof is in the row log")

// Publisher writes the frames of one attempt. Look comes first: it fences the attempts before this one, which store
// nothing more, however long they have slept, in whichever process, and only then looks at what they have stored. So
// the newest frame of a connection's highest attempt is the truth about it: an eof at or above the record's floor means
// that nobody need ask it again.
//
// A fence that was trimmed lets who wakes then store frames again. They are of a lower attempt than others that have
// begun, and count for nobody.
type Publisher struct {
	Log        pipeline.RowLog
	runs       pipeline.KV
	run        string
	connection string
	attempt    int
	floor      int // attempts below it count for no destination
	owner      string
	stored     time.Time // when the last frame was, or the log was looked at
}

// ownAgain is how long a publisher may have stored nothing until it looks whether its attempt is still the
// connection's: it may have slept, and its fence may be trimmed by now.
const ownAgain = 5 * time.Second

// NewPublisher is that of the attempt which rec allocates.
func NewPublisher(log pipeline.RowLog, runs pipeline.KV, run, connection string, rec ConnRecord) *Publisher {
	return &Publisher{Log: log, runs: runs, run: run, connection: connection, attempt: rec.Attempt, floor: rec.Floor, owner: rec.Owner}
}

// Look fences the attempts before this one and finds the newest frame. The error is ErrDelivered if that is an eof that
// counts, and ErrFenced if it is of a higher attempt.
func (p *Publisher) Look(ctx context.Context) error {
	if err := p.Log.Fence(ctx, p.connection, p.attempt); err != nil {
		return err
	}
	p.stored = time.Now()
	f, err := p.Log.LastFrame(ctx, p.connection, p.attempt-1)
	switch {
	case err != nil:
		return err
	case f == nil:
		return nil
	case f.Attempt > p.attempt:
		return p.fenced()
	case f.Kind == pipeline.FrameEOF && f.Attempt >= p.floor:
		return ErrDelivered
	}
	return nil
}

func (p *Publisher) fenced() error {
	return fmt.Errorf("attempt %d at %s: %w", p.attempt, p.connection, pipeline.ErrFenced)
}

// Append stores the next frame of the attempt. The error is ErrFenced when the attempt is no longer the connection's.
func (p *Publisher) Append(ctx context.Context, f *pipeline.Frame) error {
	f.Connection, f.Attempt = p.connection, p.attempt
	if time.Since(p.stored) > ownAgain {
		if err := p.own(ctx); err != nil {
			return err
		}
	}
	_, err := p.Log.Append(ctx, f)
	switch {
	case err == nil:
		p.stored = time.Now()
		return nil
	case !errors.Is(err, pipeline.ErrOvertaken):
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	return pipeline.Transient(err) // somebody else's hand has fenced it: the next attempt has another number
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
