package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/internal/soak"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// The tests run the program itself: the test binary, started with FANMILL_TEST_CHILD set, is fanmill. Only its
// databases are watched.
func TestMain(m *testing.M) {
	if conf := os.Getenv("FANMILL_TEST_NATS"); conf != "" {
		serveNATS(conf)
	}
	if os.Getenv("FANMILL_TEST_CHILD") != "" {
		databaseKinds = watched
		if slow := os.Getenv("FANMILL_TEST_SLOW"); slow != "" {
			sinkKinds = withSlowed(slow)
		}
		if full := os.Getenv("FANMILL_TEST_FULL"); full != "" {
			sinkKinds = withFull(full)
		}
		if relief := os.Getenv("FANMILL_TEST_RELIEF"); relief != "" {
			scarce(30, relief)
		}
		if os.Getenv("FANMILL_TEST_UNREAD") != "" {
			resultPatience, linesPatience = 100*time.Millisecond, 100*time.Millisecond
		}
		if os.Getenv("FANMILL_TEST_UNANSWERED") != "" {
			answerPatience = 2 * time.Second
		}
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	soak.Parallel(4) // children work, and wait for each other, for leases and for the disk
	code := m.Run()
	if dir := branchesDir; dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// watched are the real databases, each telling the file FANMILL_TEST_ASKED of every query that is run.
func watched() map[string]*pipeline.DatabaseKind {
	return withDriver(func(d pipeline.Driver) pipeline.Driver { return watchedDriver{d} })
}

// withDriver are the real databases, each with its driver within another.
func withDriver(wrap func(pipeline.Driver) pipeline.Driver) map[string]*pipeline.DatabaseKind {
	all := stages.Kinds()
	for name, kind := range all {
		other := *kind
		other.Driver = wrap(kind.Driver)
		all[name] = &other
	}
	return all
}

type watchedDriver struct{ pipeline.Driver }

func (d watchedDriver) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	s, err := d.Driver.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	return &watchedSession{Session: s, dsn: r.DSN}, nil
}

type watchedSession struct {
	pipeline.Session
	dsn   string
	asked bool
}

// streamed counts the sessions of this process that ran a query and are closed again.
var streamed atomic.Int64

func (s *watchedSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	f, err := os.OpenFile(os.Getenv("FANMILL_TEST_ASKED"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, s.dsn)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.asked = true
	if os.Getenv("FANMILL_TEST_HELD") != "" {
		if err := s.held(ctx); err != nil {
			return err
		}
	}
	return s.Session.Stream(ctx, q, b, due, emit)
}

// heldSuffix is behind the name of a database that does not answer as long as there is a file of that name.
const heldSuffix = ".held"

// held waits until the database answers.
func (s *watchedSession) held(ctx context.Context) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(s.dsn + heldSuffix); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Notes implements pipeline.NotingSession for a session that does.
func (s *watchedSession) Notes(q int) []string {
	if n, ok := s.Session.(pipeline.NotingSession); ok {
		return n.Notes(q)
	}
	return nil
}

func (s *watchedSession) Close() error {
	err := s.Session.Close()
	if s.asked {
		streamed.Add(1)
	}
	return err
}

// scarce makes this process read more memory than it may have once so many connections were read, until the file
// relief is there.
func scarce(after int64, relief string) {
	memoryEvery, memoryPatience = 5*time.Millisecond, 20
	resident = func() (int64, error) {
		if _, err := os.Stat(relief); err == nil || streamed.Load() < after {
			return 250 << 20, nil
		}
		return 600 << 20, nil
	}
}
