package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// query handles a query command. It is done with as soon as the connection is claimed; from then on the connection's
// record, and the lease of this process, tell who has it. A command that finds nothing to do is done with, too: who
// coordinates the run publishes it again if that was wrong.
func (w *work) query(_ context.Context, m *pipeline.Message) error {
	var c pipeline.QueryCommand
	if err := json.Unmarshal(m.Payload, &c); err != nil || c.Run == "" || c.Connection == "" {
		w.n.Log.Error("dropped a query command that names no connection of a run", "command", string(m.Payload))
		return nil
	}
	sh, done := w.share(c.Job, c.Run, c.Incarnation)
	if sh == nil {
		return w.notNow()
	}
	defer done()
	ctx, taken := sh.asking.take(c.Connection)
	if !taken {
		return w.notNow()
	}
	w.tell()
	defer w.tell()
	defer sh.asking.put(c.Connection)
	if w.unsure() {
		return errNotNow
	}
	if asks, _, err := sh.goesOn(ctx); err != nil || !asks {
		return err
	}
	sh.remember()
	if err := w.n.Memory.Wait(ctx); err != nil {
		return err
	}
	claimed := false
	err := sh.worker.Query(ctx, c, func(ctx context.Context) error {
		claimed = true
		return m.Done(ctx)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		sh.fail(err)
		return nil
	case errors.Is(err, pipeline.ErrFenced):
		sh.log.Debug("a connection is for another process", "connection", c.Connection, "error", err)
		return nil
	case !claimed && ctx.Err() == nil:
		sh.log.Warn(fmt.Sprintf("the state of connection %s could not be written; its command will be delivered again", c.Connection), "error", err)
		return err
	case ctx.Err() == nil:
		sh.log.Warn(fmt.Sprintf("the state of connection %s could not be written; it is given back", c.Connection), "error", err)
	}
	// Else whoever has found this process dead gives it to others.
	if claimed && !errors.Is(context.Cause(ctx), checkpoint.ErrDead) {
		sh.release(c.Connection)
	}
	return err
}

// notNow is the answer to a command that is not begun. Where the process ends it goes to others.
func (w *work) notNow() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving {
		return errNotNow
	}
	return nil
}

// How a connection is given back to a store that does not take it.
const (
	releaseTry   = 2 * time.Second // of one try
	releasePause = 500 * time.Millisecond
)

// release gives back a connection that this process has claimed and does not ask to the end, so that another one takes
// it at once. As long as that is not written, nobody else asks it: so it is tried until it is, or this process ends, of
// which its lease tells.
func (sh *share) release(connection string) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTry)
		err := checkpoint.ReleaseConn(ctx, sh.w.n.Stores.Runs, sh.run, connection, sh.w.n.Owner.Token, sh.incarnation)
		cancel()
		if err == nil || errors.Is(err, pipeline.ErrForeign) || errors.Is(err, checkpoint.ErrLater) {
			return
		}
		if sh.asking.over() { // the run ends here, or the process does
			sh.log.Debug("a connection could not be given back", "connection", connection, "error", err)
			return
		}
		time.Sleep(releasePause)
	}
}

// sink handles a sink command, as query does.
func (w *work) sink(_ context.Context, m *pipeline.Message) error {
	var c pipeline.SinkCommand
	if err := json.Unmarshal(m.Payload, &c); err != nil || c.Run == "" || c.Destination == "" {
		w.n.Log.Error("dropped a sink command that names no destination of a run", "command", string(m.Payload))
		return nil
	}
	sh, done := w.share(c.Job, c.Run, c.Incarnation)
	if sh == nil {
		return w.notNow()
	}
	defer done()
	ctx, taken := sh.writing.take(c.Destination)
	if !taken {
		return w.notNow()
	}
	w.tell()
	defer w.tell()
	defer sh.writing.put(c.Destination)
	if w.unsure() {
		return errNotNow
	}
	if _, writes, err := sh.goesOn(ctx); err != nil || !writes {
		return err
	}
	claimed := false
	err := sh.deliverer.Deliver(ctx, c, func(ctx context.Context) error {
		claimed = true
		return m.Done(ctx)
	})
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
		sh.fail(err)
		return nil
	case errors.Is(err, pipeline.ErrFenced):
		sh.log.Debug("a destination is for another process", "destination", c.Destination, "error", err)
		return nil
	case errors.Is(err, pipeline.ErrHeld):
		sh.log.Warn("a destination is held by another process, which goes on with it", "destination", c.Destination, "error", err)
		return nil
	case errors.Is(err, pipeline.ErrElsewhere) && !w.own: // who coordinates the run publishes it again, for that one
		sh.log.Debug("a destination is for a process at another place", "destination", c.Destination, "error", err)
		return nil
	case pipeline.IsPermanent(err):
		return sh.detach(ctx, c, err)
	}
	if claimed {
		sh.fail(err)
	}
	return err
}

// clean handles a clean command. What cannot be removed now, as somebody has it open, say, is tried again.
func (w *work) clean(ctx context.Context, m *pipeline.Message) error {
	var c pipeline.CleanCommand
	if err := json.Unmarshal(m.Payload, &c); err != nil || c.Run == "" || c.Destination == "" {
		w.n.Log.Error("dropped a clean command that names no destination of a run", "command", string(m.Payload))
		return nil
	}
	err := w.n.Coordinator().CleanHere(ctx, c)
	if err != nil && ctx.Err() == nil {
		w.n.Log.Warn("it could not be tidied up after a run that is over; that is tried again", "run", c.Run, "destination", c.Destination, "error", err)
	}
	return err
}

// detach gives up a destination that this process cannot even claim, for its run as it was when the command was
// published.
func (sh *share) detach(ctx context.Context, c pipeline.SinkCommand, why error) error {
	rec, err := sh.w.n.Records.Load(ctx, c.Run, c.Destination)
	if err == nil && rec.Opened.Incarnation == c.Incarnation && !rec.Ended() {
		err = sh.w.n.Records.Detach(ctx, c.Run, c.Destination, rec.Opened, pipeline.ShortError(why))
	}
	if errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) {
		return nil
	}
	return err
}
