package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

func init() { register(postgres{}, "postgres", "postgresql") }

// postgres reads PostgreSQL and what speaks its protocol, version 3. pgconn logs in (TLS, SCRAM, Kerberos, passfiles,
// several hosts); the rows are then read straight off the wire in their binary form.
type postgres struct{}

// Time limits of what no result size or slow destination can stretch.
const (
	pgConnectTimeout = 15 * time.Second // for one address; connect_timeout in the DSN overrides it
	pgCloseTimeout   = 2 * time.Second  // to cancel what runs and say goodbye
	pgCancelEvery    = 100 * time.Millisecond
)

// A branch that vanishes without a word (power, a cut line) is noticed after about 70 seconds. A query that merely takes
// its time is not affected: its server's kernel answers.
var pgKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}

// pgBegin opens the transaction that all queries run in: nothing they call can write. Its settings end with it, so that a
// pooler's next client does not inherit them, and fix the text of the types that come as text. The time zone, the order of
// day and month in the DateStyle and lc_monetary are left alone: they decide what a query means and which currency a
// money column is in. A setting that an older server lacks is left out. A session waits, idle in its transaction, while
// destinations are slow; a server's limit for that must not end it.
const pgBegin = `BEGIN READ ONLY;
SELECT set_config(name, value, true) FROM (VALUES
	('client_encoding', 'UTF8'),
	('DateStyle', 'ISO'),
	('IntervalStyle', 'postgres'),
	('extra_float_digits', '3'),
	('bytea_output', 'hex'),
	('xmlbinary', 'base64'),
	('standard_conforming_strings', 'on'),
	('idle_in_transaction_session_timeout', '0')) AS s (name, value)
WHERE lower(name) IN (SELECT lower(p.name) FROM pg_settings p)`

// Open implements pipeline.Driver. dsn is a postgres:// URL or a list of key=value as libpq has them.
func (postgres) Open(ctx context.Context, dsn string, queries []pipeline.Query) (pipeline.Session, error) {
	config, err := pgParseDSN(dsn)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("open postgres: %w", err))
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, pgError("connect to postgres", err, pgSecrets(dsn, config))
	}
	s := &pgSession{conn: conn, queries: queries, secrets: pgSecrets(dsn, config)}
	if err := s.describe(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// pgSession is one connection inside one transaction.
type pgSession struct {
	conn    *pgconn.PgConn
	net     net.Conn
	wire    *wire
	queries []pipeline.Query
	results []pgResult
	secrets []string
	running bool // a query may still run on the server
}

// pgResult is what a query returns.
type pgResult struct {
	fields  []pgconn.FieldDescription
	columns []columnar.Column
	codings []pgCoding
	formats []int16
}

// describe begins the transaction and asks the server for the columns of every query, without running one.
func (s *pgSession) describe(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, pgBegin).ReadAll(); err != nil {
		return pgError("begin a read-only transaction", err, s.secrets)
	}
	for q := range s.queries {
		// The unnamed statement: no name can collide behind a pooler.
		d, err := s.conn.Prepare(ctx, "", s.queries[q].SQL, nil)
		if err != nil {
			return pgError("describe "+queryLabel(s.queries, q), err, s.secrets)
		}
		if len(d.ParamOIDs) > 0 {
			return pipeline.Permanent(fmt.Errorf("describe %s: it has parameters ($1, ...), and there are no values for them", queryLabel(s.queries, q)))
		}
		if len(d.Fields) == 0 {
			return pipeline.Permanent(fmt.Errorf("describe %s: it returns no columns; only a query that returns rows can be delivered", queryLabel(s.queries, q)))
		}
		s.results = append(s.results, newPGResult(d.Fields))
	}
	if err := s.conn.SyncConn(ctx); err != nil {
		return pgError("describe queries", err, s.secrets)
	}
	s.net = s.conn.Conn()
	s.wire = newWire(s.net)
	return nil
}

func newPGResult(fields []pgconn.FieldDescription) pgResult {
	r := pgResult{fields: fields}
	for i := range fields {
		c, coding := pgColumn(&fields[i])
		r.columns = append(r.columns, c)
		r.codings = append(r.codings, coding)
		r.formats = append(r.formats, coding.format())
	}
	return r
}

// Columns implements pipeline.Session.
func (s *pgSession) Columns(q int) []columnar.Column { return s.results[q].columns }

// Stream implements pipeline.Session.
func (s *pgSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	if s.running {
		return fmt.Errorf("%s: the session ended with an earlier error", queryLabel(s.queries, q))
	}
	// A read that waits for the server ends when ctx does: its deadline is then in the past.
	stop := context.AfterFunc(ctx, func() { _ = s.net.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.execute(q)
	if err == nil {
		err = s.rows(q, b, due, emit)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(emitError)):
		return fmt.Errorf("%s: %w", queryLabel(s.queries, q), errors.Unwrap(err))
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", queryLabel(s.queries, q), ctx.Err())
	default:
		return pgError(queryLabel(s.queries, q), err, s.secrets)
	}
}

// emitError carries an error of emit past this database's classification.
type emitError struct{ error }

func (e emitError) Unwrap() error { return e.error }

// execute sends a query for all its rows. It is parsed again, which costs microseconds: the unnamed statement may by now
// be another query's.
func (s *pgSession) execute(q int) error {
	s.running = true
	var buf []byte
	var err error
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Parse{Query: s.queries[q].SQL},
		&pgproto3.Bind{ResultFormatCodes: s.results[q].formats},
		&pgproto3.Describe{ObjectType: 'P'},
		&pgproto3.Execute{},
		&pgproto3.Sync{},
	} {
		if buf, err = m.Encode(buf); err != nil {
			return fmt.Errorf("encode query: %w", err)
		}
	}
	_, err = s.net.Write(buf)
	return err
}

// rows reads the answer to execute, up to and including ReadyForQuery.
func (s *pgSession) rows(q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	r := &s.results[q]
	reader := rowReader{cols: make([]rowColumn, len(r.columns))}
	for i, c := range r.columns {
		reader.cols[i] = rowColumn{coding: r.codings[i], declared: c.Kind, precision: c.Precision, scale: c.Scale, to: b.Column(i)}
	}
	var failed error // the server's, kept until it is ready again
	for {
		kind, body, err := s.wire.next()
		if err != nil {
			return errors.Join(failed, err)
		}
		switch kind {
		case msgDataRow:
			if err := reader.row(body); err != nil {
				return err
			}
			b.EndRow()
			if due(b) {
				if err := emit(b); err != nil {
					return emitError{err}
				}
			}
		case msgRowDescription:
			if err := r.verify(body); err != nil {
				return err
			}
		case msgErrorResponse:
			var m pgproto3.ErrorResponse
			if err := m.Decode(body); err != nil {
				return err
			}
			failed = pgconn.ErrorResponseToPgError(&m)
			if m.SeverityUnlocalized == "FATAL" || m.SeverityUnlocalized == "PANIC" {
				return failed // the server hangs up now
			}
		case msgReadyForQuery:
			s.running = false
			if failed != nil {
				return failed
			}
			if err := emit(b); err != nil {
				return emitError{err}
			}
			return nil
		case msgParseComplete, msgBindComplete, msgCommandComplete, msgEmptyQuery, msgNoData, msgParameterDescription,
			msgNotice, msgParameterStatus, msgNotification, msgNegotiateVersion:
		default:
			return fmt.Errorf("message %q breaks the protocol", kind)
		}
	}
}

// verify compares the columns of the running query with the described ones. The transaction holds locks on its tables since
// then, but a function or a pooler may have changed its mind.
func (r *pgResult) verify(body []byte) error {
	var m pgproto3.RowDescription
	if err := m.Decode(body); err != nil {
		return err
	}
	same := len(m.Fields) == len(r.fields)
	for i := 0; same && i < len(m.Fields); i++ {
		f, was := &m.Fields[i], &r.fields[i]
		same = bytes.Equal(f.Name, []byte(was.Name)) && f.DataTypeOID == was.DataTypeOID && f.TypeModifier == was.TypeModifier
	}
	if !same {
		return errors.New("the columns changed between describing the query and running it")
	}
	return nil
}

// Close implements pipeline.Session. It takes pgCloseTimeout at most.
func (s *pgSession) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), pgCloseTimeout)
	defer cancel()
	if s.running {
		s.cancel(ctx)
	}
	_ = s.conn.Conn().SetDeadline(time.Time{})
	// An error here says only that the other end is gone, which is what was wanted.
	_ = s.conn.Close(ctx)
	return nil
}

// cancel ends the running query and returns when the server says so, or when ctx ends. A server that computes would notice a
// closed socket only once it has rows to send, and one that is just reading a message ignores a cancel request: so it is
// repeated.
func (s *pgSession) cancel(ctx context.Context) {
	for ctx.Err() == nil {
		if s.conn.CancelRequest(ctx) != nil {
			return // the server is gone, or takes no more connections
		}
		_ = s.net.SetDeadline(time.Now().Add(pgCancelEvery))
		if err := s.drain(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// drain throws away what the server still sends until it is ready for another query.
func (s *pgSession) drain() error {
	for {
		kind, _, err := s.wire.next()
		if err != nil {
			return err
		}
		if kind == msgReadyForQuery {
			s.running = false
			return nil
		}
	}
}
