package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// supervisor watches a run from its commands to its end. Its state is what the store says.
type supervisor struct {
	*run
	records    map[string]CommitRecord // by destination id
	asked      bool                    // the query commands are published
	trimmed    uint64
	published  time.Time // the public checkpoint
	stale      bool      // records changed since
	moved      map[string]progress
	failing    sync.WaitGroup
	delivering sync.Map        // ids of the destinations that this process works on
	asking     sync.Map        // ids of the connections that it asks
	given      map[string]bool // connections whose failure is being told
	fatal      chan error
}

// progress is when a destination's position last changed.
type progress struct {
	seq uint64
	at  time.Time
}

// execute carries the run out: commands, supervision, end.
func (r *run) execute(ctx context.Context) (*Outcome, error) {
	r.Log.Info(fmt.Sprintf("run %s of job %s: %d of %d connections to ask, %d destinations", r.m.Run, r.m.JobID, len(r.wanted), len(r.m.Connections), len(r.m.Destinations)))
	r.event(r.stamp(Event{Kind: EventStarted}))
	r.fixed = r.cell.Value()
	s := &supervisor{run: r, records: map[string]CommitRecord{}, moved: map[string]progress{}, given: map[string]bool{}, fatal: make(chan error, 1)}
	worker := &Worker{Runs: r.Stores.Runs, RowLogs: r.RowLogs, Drivers: r.Drivers, Expand: r.Expand, Owner: r.Owner, Notify: r.event, Log: r.Log}
	deliverer := NewDeliverer(Deliverer{Records: r.Records, RowLogs: r.RowLogs, Sinks: r.Sinks, Owner: r.Owner, StoreID: r.StoreID,
		Timeout: r.Timeout, Notify: r.event, Log: r.Log})

	working, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		err := r.serve(working, func(router *message.Router, _ func()) {
			router.AddConsumerHandler("sink", TopicSink(r.m.Run), r.Bus.Subscriber(r.durable("sink"), max(1, len(r.m.Destinations))), s.sinkHandler(working, deliverer))
			router.AddConsumerHandler("query", TopicQuery(r.m.Run), r.Bus.Subscriber(r.durable("query"), r.Parallel), s.queryHandler(working, worker))
		})
		if err != nil { // without its workers the run would wait for ever
			s.fail(working, err)
		}
		served <- err
	}()
	err := s.supervise(ctx)
	stop()
	if serr := <-served; err == nil {
		err = serr
	}
	s.failing.Wait()
	if err != nil {
		return nil, s.interrupt(ctx, err)
	}
	return r.end(ctx, s.records)
}

// durable names a consumer of this run's commands. Each resume has its own: a frozen predecessor, waking, finds its consumer gone and
// takes no command of the run that went on without it.
func (r *run) durable(kind string) string {
	return fmt.Sprintf("%s-%s-%d", kind, r.m.Run, r.fixed.Resumes)
}

func (r *run) stamp(e Event) Event {
	e.Job, e.Run, e.Time = r.m.JobID, r.m.Run, time.Now().UTC()
	return e
}

func (s *supervisor) sinkHandler(ctx context.Context, d *Deliverer) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		var c SinkCommand
		if err := json.Unmarshal(msg.Payload, &c); err != nil || s.m.Destination(c.Destination) == nil {
			s.Log.Error("dropped a sink command that names no destination of its run", "command", string(msg.Payload))
			return nil
		}
		if _, busy := s.delivering.LoadOrStore(c.Destination, true); busy {
			return nil // the command was delivered twice
		}
		defer s.delivering.Delete(c.Destination)
		err := d.Deliver(ctx, s.m, s.m.Destination(c.Destination), s.fixed.Generation)
		if err != nil && !errors.Is(err, ErrHeld) { // held: another worker is at it
			s.fail(ctx, err)
		}
		return nil
	}
}

func (s *supervisor) queryHandler(ctx context.Context, w *Worker) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		var c QueryCommand
		if err := json.Unmarshal(msg.Payload, &c); err != nil || s.m.Index(c.Connection) < 0 {
			s.Log.Error("dropped a query command that names no connection of its run", "command", string(msg.Payload))
			return nil
		}
		if _, busy := s.asking.LoadOrStore(c.Connection, true); busy {
			return nil // the command was delivered twice
		}
		defer s.asking.Delete(c.Connection)
		err := w.Query(ctx, s.m, s.job, c.Connection, s.fixed.Generation)
		if errors.Is(err, ErrFenced) {
			s.fail(ctx, err)
			return err // the command is the successor's
		}
		// A conflict, too: whoever changed the record may be gone again. The next delivery finds out what is to be done.
		if err != nil && ctx.Err() == nil {
			s.Log.Warn(fmt.Sprintf("the state of connection %s could not be written; its command will be delivered again", c.Connection), "error", err)
			return err
		}
		return nil
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

// supervise returns nil once every destination is finished or detached.
func (s *supervisor) supervise(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	records, err := s.Records.Watch(ctx, s.m.Run)
	if err != nil {
		return fmt.Errorf("watch commit records: %w", err)
	}
	conns, err := s.Stores.Runs.Watch(ctx, Token(s.m.Run)+".conn.*")
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	for _, d := range s.m.Destinations {
		if err := s.command(TopicSink(s.m.Run), SinkCommand{Job: s.m.JobID, Run: s.m.Run, Destination: d.ID}); err != nil {
			return err
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case u, ok := <-records:
			if !ok {
				return watchEnded(ctx, "commit records")
			}
			if err := s.recordChanged(ctx, u); err != nil {
				return err
			}
			if s.allEnded() {
				return nil
			}
		case e, ok := <-conns:
			if !ok {
				return watchEnded(ctx, "connections")
			}
			if err := s.connChanged(ctx, e); err != nil {
				return err
			}
		case err := <-s.fatal:
			return err
		case <-tick.C:
			if time.Since(renewed) > time.Duration(s.Owner.LeaseMS)*time.Millisecond/3 {
				renewed = time.Now()
				if err := s.renew(ctx); err != nil {
					return err
				}
			}
			if err := errors.Join(s.trim(ctx), s.detachStalled(ctx)); err != nil {
				return err
			}
			s.publishCheckpoint(ctx, false)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func watchEnded(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return Transient(fmt.Errorf("the watch of %s ended", what))
}

func (r *run) command(topic string, c any) error {
	payload, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := r.Bus.Publisher().Publish(topic, message.NewMessage(watermill.NewUUID(), payload)); err != nil {
		return fmt.Errorf("publish command: %w", err)
	}
	return nil
}

func (s *supervisor) renew(ctx context.Context) error {
	rec := s.cell.Value()
	err := s.cell.Write(ctx, rec)
	switch {
	case errors.Is(err, ErrConflict):
		return Permanent(fmt.Errorf("run %s: %w; this process stops", s.m.Run, ErrFenced))
	case err != nil && ctx.Err() == nil:
		s.Log.Warn("the lease of the run could not be renewed; trying again", "error", err)
	}
	return nil
}

// recordChanged trims, and asks the connections once every destination has claimed its record: before that nobody would
// hold the row log for it.
func (s *supervisor) recordChanged(ctx context.Context, u RecordUpdate) error {
	i := slices.IndexFunc(s.m.Destinations, func(d ManifestDestination) bool { return Token(d.ID) == u.Destination })
	if i < 0 {
		return nil
	}
	id := s.m.Destinations[i].ID
	s.records[id] = u.Record
	s.stale = true
	if p := s.moved[id]; p.at.IsZero() || p.seq != u.Record.Seq {
		s.moved[id] = progress{u.Record.Seq, time.Now()}
	}
	if !s.asked && s.allClaimed() {
		s.asked = true
		for _, c := range s.wanted {
			if err := s.command(TopicQuery(s.m.Run), QueryCommand{Job: s.m.JobID, Run: s.m.Run, Connection: c}); err != nil {
				return err
			}
		}
		for _, c := range s.leftOut {
			s.giveUp(ctx, c.id, c.cell, "left out of this resume by the choice of connections")
		}
	}
	return s.trim(ctx)
}

func (s *supervisor) allClaimed() bool {
	for _, d := range s.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || rec.State == RecordOpen && (rec.Token == "" || rec.Log.Stream == "") {
			return false
		}
	}
	return true
}

func (s *supervisor) allEnded() bool {
	for _, d := range s.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || rec.State != RecordFinished && rec.State != RecordDetached {
			return false
		}
	}
	return true
}

// trim drops what every destination has committed. A destination without a record, or with one of another log, holds all of it.
func (s *supervisor) trim(ctx context.Context) error {
	upTo := ^uint64(0)
	for _, d := range s.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return nil
		}
		if rec.State == RecordDetached || rec.State == RecordFinished {
			continue
		}
		if rec.Log.Generation != s.fixed.Generation {
			return nil
		}
		upTo = min(upTo, rec.Seq)
	}
	if upTo == ^uint64(0) || upTo <= s.trimmed {
		return nil
	}
	if err := s.log.Trim(ctx, upTo); err != nil {
		if IsPermanent(err) {
			return fmt.Errorf("trim row log: %w", err)
		}
		s.Log.Warn("the row log could not be trimmed; trying again", "error", err)
		return nil // the next tick does
	}
	s.trimmed = upTo
	return nil
}

// connChanged tells the destinations of a connection that its worker gave up.
func (s *supervisor) connChanged(ctx context.Context, e KVEntry) error {
	if e.Key == "" || e.Deleted {
		return nil
	}
	var rec ConnRecord
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		return Permanent(fmt.Errorf("read %s: %w", e.Key, err))
	}
	if rec.State != ConnGivenUp {
		return nil
	}
	for _, c := range s.m.Connections {
		if ConnKey(s.m.Run, c.ID) == e.Key {
			cell := &Cell[ConnRecord]{kv: s.Stores.Runs, key: e.Key}
			if err := cell.adopt(e); err != nil {
				return Permanent(fmt.Errorf("read %s: %w", e.Key, err))
			}
			s.giveUp(ctx, c.ID, cell, rec.Error)
		}
	}
	return nil
}

// giveUp publishes a connection's failed frame, under an attempt number of its own: that fences a worker that still publishes. The
// row log may be full, so nobody waits for it here.
func (s *supervisor) giveUp(ctx context.Context, connection string, cell *Cell[ConnRecord], reason string) {
	if s.given[connection] {
		return
	}
	s.given[connection] = true
	s.failing.Add(1)
	go func() {
		defer s.failing.Done()
		err := s.publishFailure(ctx, connection, cell, reason)
		if err != nil && !errors.Is(err, ErrConflict) { // conflict: somebody has begun to ask it again
			s.fail(ctx, fmt.Errorf("give up connection %s: %w", connection, err))
		}
	}()
}

// publishFailure goes on from the record as it was seen: a successor that asks the connection again meanwhile changes it, and is
// not disturbed.
func (s *supervisor) publishFailure(ctx context.Context, connection string, cell *Cell[ConnRecord], reason string) error {
	next := cell.Value()
	next.Attempt, next.Owner, next.State, next.Error = next.Attempt+1, s.Owner.Token, ConnGivenUp, reason
	if err := cell.Write(ctx, next); err != nil {
		return err
	}
	why := Failure{Error: reason, Attempts: next.Attempts, Millis: next.Millis}
	if err := s.log.Publish(ctx, &Frame{Kind: FrameFailed, Connection: connection, Attempt: next.Attempt, Body: jsonBody(why)}); err != nil {
		return err
	}
	next.State = ConnFailed
	if err := cell.Write(ctx, next); err != nil {
		return err
	}
	s.event(s.stamp(Event{Kind: EventFailed, Connection: connection, Attempt: next.Attempts, Error: reason, Millis: next.Millis}))
	return nil
}

// detachStalled takes the record of the destination that holds a full row log, and has not moved for the timeout: the others must not
// wait for it for ever. Those that merely have nothing more to read are further on, and are left alone.
func (s *supervisor) detachStalled(ctx context.Context) error {
	lowest := ^uint64(0)
	for _, d := range s.m.Destinations {
		if rec := s.records[d.ID]; rec.State == RecordOpen {
			lowest = min(lowest, rec.Seq)
		}
	}
	var stalled []string
	for _, d := range s.m.Destinations {
		rec, p := s.records[d.ID], s.moved[d.ID]
		if rec.State == RecordOpen && rec.Seq == lowest && !p.at.IsZero() && time.Since(p.at) > s.Timeout {
			stalled = append(stalled, d.ID)
		}
	}
	if len(stalled) == 0 {
		return nil
	}
	state, err := s.log.State(ctx)
	if err != nil {
		if IsPermanent(err) {
			return fmt.Errorf("look at row log: %w", err)
		}
		return nil // a store that does not answer says nothing of destinations
	}
	if state.Bytes < state.MaxBytes/2 { // large frames do not fit long before it is full
		return nil
	}
	for _, id := range stalled {
		s.Log.Error(fmt.Sprintf("destination %s made no progress for %s while the row log is full; it is given up for this run, a resume brings it what it lacks", id, s.Timeout))
		err := s.Records.Reset(ctx, s.m.Run, id, func(c *CommitRecord) {
			c.State, c.Error = RecordDetached, fmt.Sprintf("no progress for %s while the row log was full", s.Timeout)
		})
		if err != nil {
			return err
		}
		s.event(s.stamp(Event{Kind: EventDetached, Destination: id}))
	}
	for id, p := range s.moved { // who waited for room only begins to be measured now
		s.moved[id] = progress{p.seq, time.Now()}
	}
	return nil
}
