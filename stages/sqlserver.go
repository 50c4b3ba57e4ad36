package stages

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// sqlserver reads SQL Server from 2008 on and what speaks its protocol. go-mssqldb logs in and decodes the rows,
// which are taken from its own driver.Rows: database/sql would scan every cell once more, and would put a connection
// back into its pool on which a cancel was never confirmed, where the next query waits for ever.
//
// SQL Server has no read-only transaction. What there is: the login says ApplicationIntent=ReadOnly, a statement that
// returns no rows is refused before it runs, and all queries run in a transaction that is never committed
// (sqlserver_transaction.go).
type sqlserver struct{}

// Time limits of what no result size or slow destination can stretch.
const (
	sqlserverLoginTimeout = 30 * time.Second // for name, address, TLS and login; "connection timeout" in the DSN overrides it
	sqlserverCancelWait   = time.Second      // for a cancel to be confirmed, before the connection is cut
)

// sqlserverSettings hold for the whole session. A reader that deadlocks with the branch's own programs is the one to
// give way: it is asked again. All else (isolation, lock timeout, language, date format) is the server's: it decides
// what a query means.
const sqlserverSettings = "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; "

const sqlserverVersion = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version, CAST(SERVERPROPERTY('Babelfish') AS nvarchar(128)) AS babelfish"

// Open implements pipeline.Driver. dsn is a sqlserver:// URL, an ADO list (server=...;user id=...) or an ODBC list
// (odbc:server=...).
func (sqlserver) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	target, err := sqlserverParseDSN(r.DSN)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("open sqlserver: %w", err))
	}
	s := &sqlserverSession{target: target, secrets: target.secrets, snapshot: r.Snapshot, noRun: r.NoRun}
	for q := range r.Queries {
		bound, err := sqlserverBind(&r.Queries[q], queryLabel(r.Queries, q))
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		if err := bound.refused(); err != nil {
			return nil, err
		}
		s.queries = append(s.queries, bound)
	}
	if s.conn, s.link, err = target.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// sqlserverSession is one connection, which no query uses any more after one has failed on it.
type sqlserverSession struct {
	target    *sqlserverTarget
	conn      *mssql.Conn
	link      *sqlserverLink
	queries   []sqlserverQuery
	secrets   []string
	server    string
	babelfish bool // the server is PostgreSQL that speaks TDS
	snapshot  bool
	noRun     bool          // describe alone, and run nothing for it
	began     bool          // the transaction
	levels    int64         // @@TRANCOUNT within it; 0 if the server does not say
	run       *sqlserverRun // what may still be running on the server
}

// sqlserverQuery is a query with its parameters, and what it returns.
type sqlserverQuery struct {
	label     string
	sql       string // with @name where the job has :name
	args      []driver.NamedValue
	declared  string // the parameters, as sp_executesql has them declared
	advice    string // what to say of an error, about names that no parameter has
	described bool
	columns   []columnar.Column
	notes     []string
}

// prepare sets up the session, describes every query and begins the transaction.
func (s *sqlserverSession) prepare(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	if s.snapshot {
		if err := s.checkSnapshot(ctx); err != nil {
			return err
		}
	}
	if err := s.describe(ctx); err != nil {
		return err
	}
	return s.begin(ctx)
}

// settle makes the session's settings and asks for the server's version. A compatible server that does not know one
// of them is no worse for it.
func (s *sqlserverSession) settle(ctx context.Context) error {
	s.server = "SQL Server"
	_, rows, err := s.read(ctx, sqlserverSettings+sqlserverVersion, nil)
	if isSQLServerMessage(err) {
		if err := s.reads(ctx, "SET NOCOUNT ON"); err != nil && !isSQLServerMessage(err) {
			return s.fail(ctx, "set up the session", err)
		}
		_, rows, err = s.read(ctx, sqlserverVersion, nil)
	}
	switch {
	case err == nil && len(rows) == 1 && len(rows[0]) == 2:
		version, _ := rows[0][0].(string)
		s.server = sqlserverProduct(version)
		if mark, _ := rows[0][1].(string); mark != "" && mark != "0" { // NULL on a SQL Server, which has no such property
			s.server, s.babelfish = strings.TrimSpace("Babelfish, as SQL Server "+version), true
		}
	case err != nil && !isSQLServerMessage(err):
		return s.fail(ctx, "set up the session", err)
	}
	return nil
}

// sqlserverProduct names a version as people do.
func sqlserverProduct(version string) string {
	major, rest, _ := strings.Cut(version, ".")
	year := map[string]string{"9": "2005", "10": "2008", "11": "2012", "12": "2014", "13": "2016", "14": "2017", "15": "2019", "16": "2022", "17": "2025"}[major]
	if major == "10" && strings.HasPrefix(rest, "50.") {
		year = "2008 R2"
	}
	return strings.TrimSpace(strings.Join([]string{"SQL Server", year, version}, " "))
}

// checkSnapshot finds out whether the database lets a transaction see one state of it. A compatible server that
// cannot say says so when the first query runs (3952).
func (s *sqlserverSession) checkSnapshot(ctx context.Context) error {
	_, rows, err := s.read(ctx, "SELECT CAST(snapshot_isolation_state AS int) AS state, name FROM sys.databases WHERE database_id = DB_ID()", nil)
	switch {
	case err != nil && !isSQLServerMessage(err):
		return s.fail(ctx, "ask for snapshot isolation", err)
	case err != nil || len(rows) != 1 || len(rows[0]) != 2:
		return nil
	}
	const on = 1
	if state, known := rows[0][0].(int64); known && state != on {
		return pipeline.Permanent(fmt.Errorf("a consistent snapshot is asked for, and the database does not allow it; %s", sqlserverSnapshotAdvice(fmt.Sprint(rows[0][1]))))
	}
	return nil
}

func sqlserverSnapshotAdvice(database string) string {
	if database == "" {
		database = "<database>"
	}
	return "its administrator can allow it (ALTER DATABASE [" + database + "] SET ALLOW_SNAPSHOT_ISOLATION ON), or the job does without \"snapshot\""
}

// Columns implements pipeline.Session.
func (s *sqlserverSession) Columns(q int) []columnar.Column { return s.queries[q].columns }

// Server implements pipeline.Session.
func (s *sqlserverSession) Server() string { return s.server }

// Stream implements pipeline.Session.
func (s *sqlserverSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	query := &s.queries[q]
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", query.label, err)
	}
	run := s.run // the only query may be running since it was described
	if run != nil && run.started {
		return fmt.Errorf("%s: the session ended with an earlier error", query.label)
	}
	if run == nil {
		run = s.newRun()
		s.run = run
	}
	run.started = true
	defer run.bind(ctx)()
	if run.rows == nil {
		if err := run.start(query); err != nil {
			return s.fail(ctx, query.label, err)
		}
	}
	err := s.rows(run, query, b, due, emit)
	if err == nil {
		err = s.kept(ctx)
	}
	switch {
	case err == nil:
		s.run = nil
		return nil
	case errors.As(err, new(emitError)):
		return fmt.Errorf("%s: %w", query.label, errors.Unwrap(err))
	default:
		return s.fail(ctx, query.label, err)
	}
}

// rows moves the rows of a running query into the batch.
func (s *sqlserverSession) rows(run *sqlserverRun, query *sqlserverQuery, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	cells, err := sqlserverReaders(run.rows, query.columns, b)
	if err != nil {
		return err
	}
	row := make([]driver.Value, len(cells))
	for {
		if err := run.rows.Next(row); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		for i := range cells {
			if err := cells[i].append(row[i]); err != nil {
				return err
			}
		}
		b.EndRow()
		if due(b) {
			if err := emit(b); err != nil {
				return emitError{err}
			}
		}
	}
	if run.rows.HasNextResultSet() {
		return errSeveralResults
	}
	if err := run.rows.Close(); err != nil {
		return err
	}
	if err := emit(b); err != nil {
		return emitError{err}
	}
	query.notes = sqlserverNotes(cells)
	return nil
}

// Notes implements pipeline.NotingSession.
func (s *sqlserverSession) Notes(q int) []string { return s.queries[q].notes }

// sqlserverNotes names the columns whose texts the driver may have changed, in one line: it stands in commit records.
// Which texts it did change cannot be told.
func sqlserverNotes(cells []sqlserverCells) []string {
	const limit = 4
	var named []string
	more := 0
	for i := range cells {
		switch n := cells[i].marked; {
		case n == 0:
		case len(named) == limit:
			more++
		default:
			named = append(named, fmt.Sprintf("%s (%d)", cells[i].wire.Name, n))
		}
	}
	if len(named) == 0 {
		return nil
	}
	if more > 0 {
		named = append(named, fmt.Sprintf("%d columns more", more))
	}
	return []string{"texts with U+FFFD, which the database has or which stands for a character that the driver cannot read: " + strings.Join(named, ", ")}
}

// fail words and classifies an error, which is the context's if that has ended.
func (s *sqlserverSession) fail(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return sqlserverError(op, err, s.secrets)
}

// Close implements pipeline.Session. It takes little more than twice sqlserverCancelWait at most.
func (s *sqlserverSession) Close() error {
	if s.run != nil {
		_ = s.run.end()
		s.run = nil
	}
	s.undo()
	// The driver's own Close would hand its buffer to the next connection while a reader may still fill it.
	s.link.close()
	return nil
}
