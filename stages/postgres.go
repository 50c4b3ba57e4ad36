package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// postgres reads PostgreSQL and what speaks its protocol, version 3. pgconn logs in (TLS, SCRAM, Kerberos, passfiles,
// several hosts); the rows are then read straight off the wire in their binary form.
type postgres struct{}

// Time limits of what no result size or slow destination can stretch.
const (
	pgConnectTimeout = 15 * time.Second // for one address; connect_timeout in the DSN overrides it
	pgCloseTimeout   = 2 * time.Second  // to cancel what runs and say goodbye
	pgCancelEvery    = 100 * time.Millisecond
)

// The transaction that all queries of a session run in: nothing they call can write. Behind a pooler that lends its
// server connections by the transaction (PgBouncer's pool_mode=transaction) it keeps one server for all that follows,
// so that the unnamed statement that a query is described with is there when it is run.
const (
	pgBegin         = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY`
	pgBeginSnapshot = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY` // all queries see what was committed when pgSettings ran
)

// pgSettings are those of the transaction. They end with it, so that a pooler's next client does not inherit them,
// and fix the text of the types that come as text. The time zone, the order of day and month in the DateStyle and
// lc_monetary are left alone: they decide what a query means and which currency a money column is in. A setting that
// an older server lacks is left out. A session waits, idle in its transaction, while destinations are slow; a
// server's limit for that must not end it.
const pgSettings = `SELECT set_config(name, value, true) FROM (VALUES
	('client_encoding', 'UTF8'),
	('DateStyle', 'ISO'),
	('IntervalStyle', 'postgres'),
	('extra_float_digits', '3'),
	('bytea_output', 'hex'),
	('xmlbinary', 'base64'),
	('standard_conforming_strings', 'on'),
	('idle_in_transaction_session_timeout', '0')) AS s (name, value)
WHERE lower(name) IN (SELECT lower(p.name) FROM pg_settings p)`

// Encodings of texts. A database whose encoding is SQL_ASCII holds whatever bytes its programs have written.
const (
	pgUTF8       = "UTF8"
	pgNoEncoding = "SQL_ASCII"
)

// Open implements pipeline.Driver. dsn is a postgres:// URL or a list of key=value as libpq has them.
func (postgres) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	config, err := pgParseDSN(r.DSN)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("open postgres: %w", err))
	}
	secrets := pgSecrets(r.DSN, config)
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, pgError(ctx, "connect to postgres", err, secrets)
	}
	s := &pgSession{conn: conn, queries: r.Queries, secrets: secrets}
	err = s.begin(ctx, r.Snapshot || r.Together)
	if err == nil {
		err = s.describe(ctx, r.Snapshot)
	}
	if err == nil {
		err = s.takeOver(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// pgSession is one connection inside one transaction.
type pgSession struct {
	conn     *pgconn.PgConn
	net      net.Conn
	wire     *wire
	queries  []pipeline.Query
	results  []pgResult
	secrets  []string
	encoding string // of texts: pgUTF8 or pgNoEncoding
	running  bool   // a query may still run on the server
}

// pgResult is a query as it is sent, and what it returns.
type pgResult struct {
	sql     string
	args    [][]byte // in their text form; nil is NULL
	types   []uint32 // of the args; 0 is inferred
	fields  []pgconn.FieldDescription
	columns []columnar.Column
	codings []pgCoding
	formats []int16
}

// begin opens the transaction.
func (s *pgSession) begin(ctx context.Context, snapshot bool) error {
	how := pgBegin
	if snapshot {
		how = pgBeginSnapshot
	}
	settings := pgSettings
	if s.encoding = pgUTF8; s.conn.ParameterStatus("server_encoding") == pgNoEncoding {
		// Its texts are bytes, which the server would refuse to send where they are not UTF-8.
		s.encoding = pgNoEncoding
		settings += "; SET LOCAL client_encoding = " + pgNoEncoding
	}
	if _, err := s.conn.Exec(ctx, how+";"+settings).ReadAll(); err != nil {
		return pgError(ctx, "begin a read-only transaction", err, s.secrets)
	}
	return nil
}

// takeOver takes the socket out of pgconn's hands once both sides agree that nothing is on the way.
func (s *pgSession) takeOver(ctx context.Context) error {
	if err := s.conn.SyncConn(ctx); err != nil {
		return pgError(ctx, "describe queries", err, s.secrets)
	}
	s.net = s.conn.Conn()
	s.wire = newWire(s.net)
	return nil
}

func newPGResult(fields []pgconn.FieldDescription, encoding string) pgResult {
	r := pgResult{fields: fields}
	for i := range fields {
		c, coding := pgColumn(&fields[i])
		c.Name = columnName(c.Name, i)
		if coding == pgText && encoding == pgNoEncoding {
			coding = pgRaw
		}
		r.columns = append(r.columns, c)
		r.codings = append(r.codings, coding)
		r.formats = append(r.formats, coding.format())
	}
	return r
}

// Columns implements pipeline.Session.
func (s *pgSession) Columns(q int) []columnar.Column { return s.results[q].columns }

// Server implements pipeline.Session.
func (s *pgSession) Server() string { return "PostgreSQL " + s.conn.ParameterStatus("server_version") }

// Stream implements pipeline.Session.
func (s *pgSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	if s.running {
		return fmt.Errorf("%s: the session ended with an earlier error", queryLabel(s.queries, q))
	}
	// A read that waits for the server ends when ctx does: its deadline is then in the past.
	stop := context.AfterFunc(ctx, func() { _ = s.net.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.send(q, &pgproto3.Execute{})
	if err == nil {
		err = s.rows(q, b, due, emit)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(emitError)):
		return fmt.Errorf("%s: %w", queryLabel(s.queries, q), errors.Unwrap(err))
	default:
		return pgError(ctx, queryLabel(s.queries, q), err, s.secrets)
	}
}

// emitError carries an error of emit past this database's classification.
type emitError struct{ error }

func (e emitError) Unwrap() error { return e.error }

// Rehearse implements pipeline.Rehearser. The server looks at rights, and at the params as values, when it binds a
// query [PostgreSQL, PortalStart]; one that writes, which it refuses too, it leaves for when it runs.
func (s *pgSession) Rehearse(ctx context.Context, q int) error {
	stop := context.AfterFunc(ctx, func() { _ = s.net.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.send(q)
	if err == nil {
		err = s.rows(q, columnar.NewBuilder(s.results[q].columns), func(*columnar.Builder) bool { return false }, func(*columnar.Builder) error { return nil })
	}
	if err != nil {
		return pgError(ctx, queryLabel(s.queries, q), err, s.secrets)
	}
	return nil
}

// send sends a query, with what is to be done with it. It is parsed again, which costs microseconds: the unnamed
// statement may by now be another query's.
func (s *pgSession) send(q int, then ...pgproto3.FrontendMessage) error {
	s.running = true
	var buf []byte
	var err error
	for _, m := range slices.Concat([]pgproto3.FrontendMessage{
		&pgproto3.Parse{Query: s.results[q].sql, ParameterOIDs: s.results[q].types},
		&pgproto3.Bind{Parameters: s.results[q].args, ResultFormatCodes: s.results[q].formats},
		&pgproto3.Describe{ObjectType: 'P'},
	}, then, []pgproto3.FrontendMessage{&pgproto3.Sync{}}) {
		if buf, err = m.Encode(buf); err != nil {
			return fmt.Errorf("encode query: %w", err)
		}
	}
	_, err = s.net.Write(buf)
	return err
}

// rows reads the answer to send, up to and including ReadyForQuery.
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
		case msgParameterStatus:
			var m pgproto3.ParameterStatus
			if err := m.Decode(body); err != nil {
				return err
			}
			if m.Name == "client_encoding" && m.Value != s.encoding {
				return pipeline.Permanent(fmt.Errorf("it sets client_encoding to %s, and texts are read as %s: leave that out", m.Value, s.encoding))
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
			msgNotice, msgNotification, msgNegotiateVersion:
		default:
			return fmt.Errorf("message %q breaks the protocol", kind)
		}
	}
}

// verify compares the columns of the running query with the described ones. The transaction holds locks on its tables
// since then, but a function or a pooler may have changed its mind.
//
// An expression that was described as a numeric of any size may now have a precision: the server knows the params and
// makes amount of coalesce(NULL, amount), and of case when true then amount else 0 end. It is read as it was
// described.
func (r *pgResult) verify(body []byte) error {
	var m pgproto3.RowDescription
	if err := m.Decode(body); err != nil {
		return err
	}
	same := len(m.Fields) == len(r.fields)
	for i := 0; same && i < len(m.Fields); i++ {
		f, was := &m.Fields[i], &r.fields[i]
		same = bytes.Equal(f.Name, []byte(was.Name)) && f.DataTypeOID == was.DataTypeOID && (f.TypeModifier == was.TypeModifier || r.codings[i] != pgDecimal)
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

// cancel ends the running query and returns when the server says so, or when ctx ends. A server that computes would
// notice a closed socket only once it has rows to send, and one that is just reading a message ignores a cancel
// request: so it is repeated.
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
