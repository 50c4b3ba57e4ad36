package stages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fanmill/internal/soak"
	"fanmill/pipeline"
	"fanmill/stages"
)

// relay stands between a stage and a server, and does to what the server says what a network can do.
type relay struct {
	to    string
	chunk int   // the most bytes that arrive at a time; 0: as they come
	limit int64 // after so many bytes in all something happens; negative: never
	stall bool  // what happens is that nothing comes any more; else all connections are cut, and new ones at once

	addr    string
	said    atomic.Int64  // bytes that the server has said
	reached chan struct{} // closed when limit is
	once    sync.Once
	done    chan struct{} // closed when the test ends
	all     sync.WaitGroup
}

// start listens until the test ends.
func (r *relay) start(t testing.TB) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr, r.reached, r.done = l.Addr().String(), make(chan struct{}), make(chan struct{})
	r.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.all.Go(func() { r.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(r.done)
		r.all.Wait()
	})
	return r
}

// carry joins a client's connection with one to the server, until one of them ends.
func (r *relay) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	both.Go(func() {
		select { // what ends the other half
		case <-r.done:
		case <-r.say(server, client):
		}
		_ = client.Close()
	})
	both.Wait()
}

// say passes on what the server says. The channel that it returns is closed when the server has ended, or is to seem so.
func (r *relay) say(server, client net.Conn) <-chan struct{} {
	end := make(chan struct{})
	r.all.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			for part := buf[:n]; len(part) > 0; {
				piece := part
				if r.chunk > 0 {
					piece = part[:min(len(part), r.chunk)]
				}
				part = part[len(piece):]
				if over := r.said.Add(int64(len(piece))) - r.limit; r.limit >= 0 && over >= 0 {
					_, _ = client.Write(piece[:max(0, len(piece)-int(over))])
					r.once.Do(func() { close(r.reached) })
					if !r.stall {
						close(end)
					}
					return
				}
				_, _ = client.Write(piece)
			}
			if err != nil {
				close(end)
				return
			}
		}
	})
	return end
}

// through is dsn, leading through the relay.
func (r *relay) through(t testing.TB, driver, dsn string) string {
	t.Helper()
	r.to = stages.Kinds()[driver].Driver.Host(dsn)
	if r.to == "" || !strings.Contains(dsn, r.to) {
		t.Fatalf("%s does not say where it leads", dsn)
	}
	return strings.Replace(dsn, r.to, r.start(t).addr, 1)
}

// allRows is what the queries of a request return, all that came before an error.
func allRows(ctx context.Context, driver string, r pipeline.Request) (rows []string, err error) {
	s, err := stages.Kinds()[driver].Driver.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	for q := range r.Queries {
		more, _, err := textsOf(ctx, s, q, 3)
		if rows = append(rows, more...); err != nil {
			return rows, errors.Join(err, s.Close())
		}
	}
	return rows, s.Close()
}

// faulty are the queries that are asked while things go wrong.
var faulty = asQueries([]string{qKinds, qIDs})

var faultyRows = append(slices.Clone(kindRows), "1", "2")

// wholeTalk is how many bytes a server says in an undisturbed attempt.
func wholeTalk(t *testing.T, db database, dsn string) int64 {
	t.Helper()
	r := &relay{limit: -1}
	rows, err := allRows(t.Context(), db.driver, pipeline.Request{DSN: r.through(t, db.driver, dsn), Queries: faulty})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rows", rows, faultyRows)
	return r.said.Load()
}

// points calls f for up to n places in a conversation of this length, several at a time.
func points(t *testing.T, length int64, n int64, f func(at int64)) {
	t.Helper()
	var g sync.WaitGroup
	places := make(chan struct{}, 16)
	for at := int64(0); at < length; at += max(1, length/n) {
		places <- struct{}{}
		g.Go(func() {
			defer func() { <-places }()
			f(at)
		})
	}
	g.Wait()
}

// A message may arrive in pieces of any size.
func TestBytesOneByOne(t *testing.T) {
	eachThat(t, func(db database) bool { return db.kill != nil }, func(t *testing.T, db database) {
		for _, chunk := range []int{1, 7} {
			r := &relay{limit: -1, chunk: chunk}
			rows, err := allRows(t.Context(), db.driver, pipeline.Request{DSN: r.through(t, db.driver, db.dsn(t)), Queries: faulty})
			if err != nil {
				t.Error(err)
			}
			same(t, fmt.Sprintf("rows in pieces of %d", chunk), rows, faultyRows)
		}
	})
}

// Wherever a server goes away, in the login, while a query is described, or within a row, the attempt is worth another one, and no row is
// one that the database does not have.
func TestServerGoneAnywhere(t *testing.T) {
	eachThat(t, func(db database) bool { return db.kill != nil }, func(t *testing.T, db database) {
		n := int64(soak.Rounds(150, 700))
		if testing.Short() {
			n = 60
		}
		plain := db.dsn(t)
		for name, dsn := range map[string]string{"plain": plain, "encrypted": encrypted(plain)} {
			var failed atomic.Int64
			points(t, wholeTalk(t, db, dsn), n, func(at int64) {
				r := &relay{limit: at}
				d := r.through(t, db.driver, dsn)
				rows, err := allRows(t.Context(), db.driver, pipeline.Request{DSN: d, Queries: faulty})
				discreet(t, err)
				if err != nil {
					failed.Add(1)
				}
				switch {
				case err == nil && slices.Equal(rows, faultyRows): // all had been said
				case !errors.Is(err, pipeline.ErrTransient), pipeline.IsPermanent(err):
					t.Errorf("%s, gone after %d bytes: %v", name, at, err)
				case len(rows) > len(faultyRows), !slices.Equal(rows, faultyRows[:len(rows)]):
					t.Errorf("%s, gone after %d bytes: rows %q", name, at, rows)
				}
			})
			if failed.Load() < n/2 {
				t.Errorf("%s: only %d of %d attempts failed", name, failed.Load(), n)
			}
		}
	})
}

// encrypted is a DSN of one of the suite's databases with TLS, whoever's certificate it is.
func encrypted(dsn string) string {
	switch {
	case strings.HasPrefix(dsn, "sqlserver:"):
		return strings.Replace(dsn, "encrypt=disable", "encrypt=true&trustServerCertificate=true", 1)
	case strings.HasPrefix(dsn, "postgres"):
		return strings.Replace(dsn, "sslmode=disable", "sslmode=require", 1)
	default:
		return dsn + "?tls=skip-verify"
	}
}

// Wherever a server falls silent, an attempt ends with its context.
func TestCancelAnywhere(t *testing.T) {
	eachThat(t, func(db database) bool { return db.kill != nil }, func(t *testing.T, db database) {
		n := int64(32)
		if testing.Short() {
			n = 8
		}
		dsn := db.dsn(t)
		points(t, wholeTalk(t, db, dsn), n, func(at int64) {
			r := &relay{limit: at, stall: true}
			d := r.through(t, db.driver, dsn)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() {
				rows, err := allRows(ctx, db.driver, pipeline.Request{DSN: d, Queries: faulty})
				if err == nil && !slices.Equal(rows, faultyRows) {
					err = fmt.Errorf("rows %q", rows)
				}
				result <- err
			}()
			select {
			case err := <-result: // all had been said
				result <- err
				if err != nil {
					t.Errorf("silent after %d bytes, not cancelled: %v", at, err)
					return
				}
			case <-r.reached:
				cancel()
			}
			if err := soon(t, fmt.Sprintf("an attempt that is silent after %d bytes", at), func() error { return <-result }); err != nil && (!errors.Is(err, context.Canceled) || pipeline.IsPermanent(err)) {
				t.Errorf("silent after %d bytes: %v", at, err)
			}
		})
	})
}

// A server that takes a connection and says nothing is worth another try, after the time that the DSN gives it; the error is one line, has the
// address, or the time, and no password.
func TestSilentServer(t *testing.T) {
	for driver, dsns := range map[string][]string{
		"postgres":  {"postgres://me:s3cr3t@ADDR/db?connect_timeout=1", "postgres://me:s3cr3t@ADDR/db?connect_timeout=1&sslmode=disable", "host=HOST port=PORT user=me password='s3cr3t it\\'s' connect_timeout=1"},
		"mysql":     {"me:s3cr3t@tcp(ADDR)/db?timeout=1s", "mysql://me:s3cr3t@ADDR/db?timeout=1s&tls=skip-verify"},
		"sqlserver": {"sqlserver://me:s3cr3t@ADDR?database=d&connection+timeout=1", "server=HOST,PORT;user id=me;password=s3cr3t;database=d;connection timeout=1"},
	} {
		for _, dsn := range dsns {
			t.Run(driver, func(t *testing.T) {
				t.Parallel()
				addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
				host, port, _ := net.SplitHostPort(addr)
				dsn = strings.NewReplacer("ADDR", addr, "HOST", host, "PORT", port).Replace(dsn)
				err := soon(t, "an attempt", func() error {
					return attempt(t, driver, pipeline.Request{DSN: dsn, Queries: faulty})
				})
				if !errors.Is(err, pipeline.ErrTransient) || pipeline.IsPermanent(err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("the error is %v", err)
				}
				if !strings.Contains(err.Error(), addr) && !strings.Contains(err.Error(), "no answer within 1s") {
					t.Errorf("the error says neither who nor how long: %v", err)
				}
			})
		}
	}
}
