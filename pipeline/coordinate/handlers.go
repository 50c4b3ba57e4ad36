package coordinate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
)

// staff carries commands out until ctx ends; the channel closes when all of them are. Without that the run would wait
// for ever.
func (s *supervisor) staff(ctx context.Context, commands pipeline.Handler) <-chan struct{} {
	left := make(chan struct{})
	go func() {
		defer close(left)
		if err := s.c.Bus.Serve(ctx, s.c.Log, commands); err != nil {
			s.fail(ctx, err)
		}
	}()
	return left
}

func (s *supervisor) sinkHandler(ctx context.Context, d Deliveries) func(context.Context, *pipeline.Message) error {
	return func(_ context.Context, msg *pipeline.Message) error {
		var c pipeline.SinkCommand
		if err := json.Unmarshal(msg.Payload, &c); err != nil || s.m.Destination(c.Destination) == nil {
			s.c.Log.Error("dropped a sink command that names no destination of its run", "command", string(msg.Payload))
			return nil
		}
		return s.delivering.carryOut(c.Destination, func() error {
			err := d.Deliver(ctx, c, nil)
			// By one that wakes up, it may be, and is about to learn that the run is no longer its own.
			if errors.Is(err, pipeline.ErrHeld) {
				s.c.Log.Warn("a destination is held by another process; its command will be delivered again", "destination", c.Destination, "error", err)
				return err
			}
			if pipeline.IsPermanent(err) && !othersRecord(err) {
				err = s.detach(ctx, c.Destination, pipeline.ShortError(err))
			}
			if err != nil {
				s.fail(ctx, err)
			}
			return nil
		}, func() { s.again(ctx, pipeline.TopicSink, c) })
	}
}

func (s *supervisor) queryHandler(ctx context.Context, w Asker) func(context.Context, *pipeline.Message) error {
	return func(_ context.Context, msg *pipeline.Message) error {
		var c pipeline.QueryCommand
		if err := json.Unmarshal(msg.Payload, &c); err != nil || s.m.Index(c.Connection) < 0 {
			s.c.Log.Error("dropped a query command that names no connection of its run", "command", string(msg.Payload))
			return nil
		}
		return s.asking.carryOut(c.Connection, func() error {
			s.remember()
			if err := s.c.Memory.Wait(ctx); err != nil {
				return err // the command stays for a resume to drop
			}
			err := w.Query(ctx, c, nil)
			if othersRecord(err) {
				s.fail(ctx, err)
				return err // the command is the successor's
			}
			// A conflict, too: whoever changed the record may be gone again. The next delivery finds out what is to
			// be done.
			if err != nil && ctx.Err() == nil {
				s.c.Log.Warn(fmt.Sprintf("the state of connection %s could not be written; its command will be delivered again", c.Connection), "error", err)
				return err
			}
			return nil
		}, func() { s.again(ctx, pipeline.TopicQuery, c) })
	}
}

// othersRecord reports whether an error says that a record is not this process's any more.
func othersRecord(err error) bool {
	return errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) || errors.Is(err, checkpoint.ErrLater)
}

// again publishes a command anew, as soon as the store takes it: what keeps it from that may be what made the command
// fail.
func (s *supervisor) again(ctx context.Context, of func(run string) string, command any) {
	for ctx.Err() == nil {
		err := s.run.command(s.run.topic(of), command)
		switch {
		case err == nil:
			return
		case pipeline.IsPermanent(err):
			s.fail(ctx, err)
			return
		}
		s.c.Log.Warn("a command could not be stored; trying again", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// fail ends the run in this process.
func (s *supervisor) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	select {
	case s.fatal <- err:
	default:
	}
}

// remember logs the resident memory before the 1st, 11th, 21st ... connection, and acts on it.
func (s *supervisor) remember() {
	if s.c.Memory == nil || (s.starts.Add(1)-1)%10 != 0 {
		return
	}
	if resident := s.c.Memory.Look(); resident > 0 {
		s.c.Log.Info(memory.Line(resident, s.c.Memory.Threshold))
	}
}
