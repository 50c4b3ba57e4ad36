package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Time limits of what no result size or slow destination can stretch.
const (
	mysqlCloseTimeout = 2 * time.Second // to cancel what runs and say goodbye
	mysqlKillEvery    = 100 * time.Millisecond
)

// mysqlIdentity asks which server it is.
const mysqlIdentity = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@version)"

// Close implements pipeline.Session. It takes mysqlCloseTimeout at most.
func (s *mysqlSession) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), mysqlCloseTimeout)
	defer cancel()
	if s.running {
		s.cancel(ctx)
	}
	deadline, _ := ctx.Deadline()
	_ = s.wire.net.SetDeadline(deadline)
	_ = s.wire.command(comQuit, nil)
	// An error here says only that the other end is gone, which is what was wanted.
	_ = s.wire.net.Close()
	return nil
}

// cancel ends the running statement, from a second connection, and returns when the server says so, or when ctx ends. A server that
// computes would notice a closed socket only once it has rows to send, and one that has not yet begun ignores the request: so it is
// repeated.
func (s *mysqlSession) cancel(ctx context.Context) {
	_ = s.wire.net.SetDeadline(time.Now())
	if err := s.drain(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return // the statement has ended by now, or the connection has
	}
	again := *s.target
	again.Config = s.target.Clone()
	again.Net, again.Addr = s.wire.net.RemoteAddr().Network(), s.wire.net.RemoteAddr().String() // the name may lead to another server by now
	w, _, err := mysqlConnect(ctx, &again)
	if err != nil {
		return // the server is gone, or takes no more connections
	}
	defer w.net.Close()
	defer endWith(ctx, w.net)()
	// A balancer may lead to another server, too, where the number is somebody else's.
	row, err := w.ask(mysqlIdentity)
	if err != nil || !slices.Equal(row, []string{s.identity}) {
		return
	}
	for ctx.Err() == nil {
		if _, err := w.ask(fmt.Sprintf("KILL QUERY %d", s.server.id)); err != nil {
			return
		}
		_ = s.wire.net.SetDeadline(time.Now().Add(mysqlKillEvery))
		if err := s.drain(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// drain throws away what the server still sends until the statement's end.
func (s *mysqlSession) drain() error {
	for {
		body, err := s.wire.next()
		if err != nil {
			return err
		}
		if len(body) == 0 {
			continue
		}
		more := false
		switch {
		case s.between:
			s.between = false
			more = body[0] != packetOK && body[0] != packetError
		case isEnd(body):
			more, err = s.wire.moreResults(body)
			s.between = more
		default:
			more = body[0] != packetError
		}
		if !more || err != nil {
			s.running = false
			return nil
		}
	}
}
