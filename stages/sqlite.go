package stages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// sqlite reads SQLite files through the C library's own interface, translated to Go (modernc.org/sqlite/lib): a step,
// then the values where SQLite has them. That reads five times as many rows a second as the same library behind
// database/sql.
type sqlite struct{}

const (
	// sqliteBusyWait is how long a database that another program has locked is waited for, if its DSN does not say.
	sqliteBusyWait = 10 * time.Second
	// sqliteBusyStep is how long SQLite itself waits; it does not look at a context meanwhile.
	sqliteBusyStep = 100 * time.Millisecond
	// sqliteInterruptEvery repeats an interrupt: SQLite forgets one that comes while no statement is running.
	sqliteInterruptEvery = 10 * time.Millisecond
)

// Open implements pipeline.Driver. dsn is the path of a file, or a file: URI [SQLite, "URI Filenames"]. It is opened
// read-only whatever the URI says.
func (sqlite) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open sqlite database: %w", err)
	}
	target, err := sqliteParseDSN(r.DSN)
	if err != nil {
		return nil, err
	}
	conn, err := sqliteOpen(target, sqlite3.SQLITE_OPEN_READONLY)
	if err != nil {
		return nil, err
	}
	s := &sqliteSession{target: target, conn: conn, queries: r.Queries}
	if r.Snapshot || r.Together {
		err = s.snapshot(ctx)
	}
	for q := 0; q < len(r.Queries) && err == nil; q++ {
		err = s.describe(ctx, q)
	}
	target.shareWAL()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Host implements pipeline.Driver: a file is on no server.
func (sqlite) Host(string) string { return "" }

type sqliteSession struct {
	target  sqliteTarget
	conn    *sqliteConn
	queries []pipeline.Query
	results []sqliteResult
}

// sqliteResult is a prepared query.
type sqliteResult struct {
	stmt    sqliteStmt
	lenient bool // see compile
	names   []string
	types   []string // as declared; "" for an expression
	columns []columnar.Column
	notes   []string
}

// snapshot begins a transaction that lasts until Close. In WAL mode its state is that of the first read, and writers
// go on. In the other modes it holds the lock that readers share, so that a writer waits: there, a snapshot that
// changes is not to be had.
func (s *sqliteSession) snapshot(ctx context.Context) error {
	defer s.conn.interruptWhen(ctx)()
	for _, sql := range []string{"begin", "select count(*) from sqlite_schema"} {
		if err := s.conn.exec(ctx, sql); err != nil {
			return s.wrap(ctx, "begin a transaction", err)
		}
	}
	return nil
}

// describe prepares a query, without running it, and gives it its parameters.
func (s *sqliteSession) describe(ctx context.Context, q int) error {
	defer s.conn.interruptWhen(ctx)()
	label := queryLabel(s.queries, q)
	stmt, more, lenient, err := s.conn.compile(ctx, s.queries[q].SQL)
	if err != nil {
		return s.wrap(ctx, label, err)
	}
	if stmt == 0 {
		return s.wrap(ctx, label, pipeline.Permanent(errors.New("the query is empty")))
	}
	r := sqliteResult{stmt: stmt, lenient: lenient}
	s.results = append(s.results, r) // Close finalizes it from now on
	switch {
	case more:
		err = errSeveral
	case s.conn.columns(stmt) == 0:
		err = pipeline.Permanent(errors.New("it returns no columns; only a query that returns rows can be delivered"))
	case !s.conn.readsOnly(stmt):
		err = pipeline.Permanent(errors.New("it writes: databases are opened to be read only, and nothing can be written to them"))
	default:
		err = s.conn.bind(stmt, s.queries[q].Args)
	}
	if err != nil {
		return s.wrap(ctx, label, err)
	}
	r.names, r.types = s.conn.describe(stmt)
	for i, name := range r.names {
		r.columns = append(r.columns, sqliteColumn(columnName(name, i), r.types[i]))
	}
	s.results[q] = r
	return nil
}

// Columns implements pipeline.Session. An expression has no declared type: it is announced as unknown, and its first
// values say what it is.
func (s *sqliteSession) Columns(q int) []columnar.Column { return s.results[q].columns }

// Server implements pipeline.Session: the library's version, since a file has none.
func (s *sqliteSession) Server() string { return "SQLite " + sqlite3.SQLITE_VERSION }

// Stream implements pipeline.Session.
func (s *sqliteSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	if err := ctx.Err(); err != nil {
		return s.wrap(ctx, queryLabel(s.queries, q), err)
	}
	defer s.conn.interruptWhen(ctx)()
	r := &s.results[q]
	defer s.conn.reset(r.stmt) // gives up the lock on the file
	cols := make([]sqliteCells, len(r.columns))
	for i, c := range r.columns {
		cols[i] = newSQLiteCells(c, b.Column(i))
	}
	send := func() error {
		for i := range cols {
			cols[i].found()
		}
		if err := emit(b); err != nil {
			return fmt.Errorf("%s: %w", queryLabel(s.queries, q), err)
		}
		return nil
	}
	row, err := false, s.conn.strict(!r.lenient) // SQLite prepares it again by itself where the database has changed
	if err == nil {
		row, err = s.conn.firstStep(ctx, r.stmt)
	}
	if err == nil {
		err = s.unchanged(r)
	}
	for row && err == nil {
		for i := range cols {
			s.conn.cell(r.stmt, i, &cols[i])
		}
		b.EndRow()
		if due(b) {
			if err := send(); err != nil {
				return err
			}
		}
		row, err = s.conn.step(r.stmt)
	}
	if err != nil {
		return s.wrap(ctx, queryLabel(s.queries, q), err)
	}
	if err := send(); err != nil {
		return err
	}
	r.notes = sqliteNotes(cols)
	return nil
}

// Notes implements pipeline.NotingSession.
func (s *sqliteSession) Notes(q int) []string { return s.results[q].notes }

// sqliteNotes names the columns of booleans that hold something else, and what the query can say for it, and those of
// dates and times of which only some have a zone.
func sqliteNotes(cols []sqliteCells) []string {
	var odd []oddBool
	for i := range cols {
		odd = append(odd, oddBool{cols[i].declared.Name, cols[i].strays})
	}
	return append(zoneNotes(cols), oddBools(odd, func(name string) string { return "to have numbers, write cast(" + name + " as integer) in the query" })...)
}

// unchanged finds a table that was altered after it was described: SQLite then prepares the query again by itself.
func (s *sqliteSession) unchanged(r *sqliteResult) error {
	names, types := s.conn.describe(r.stmt)
	if strings.Join(names, "\x00") != strings.Join(r.names, "\x00") || strings.Join(types, "\x00") != strings.Join(r.types, "\x00") {
		return pipeline.Transient(errors.New("the columns changed between describing the query and running it"))
	}
	return nil
}

// wrap names what was done and the file of SQLite's error, which is the context's if that has ended.
func (s *sqliteSession) wrap(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%s on %s: %w", what, s.conn.path, err)
}

// Close implements pipeline.Session.
func (s *sqliteSession) Close() error {
	if s.conn == nil {
		return nil
	}
	for _, r := range s.results {
		s.conn.finalize(r.stmt)
	}
	err := s.conn.close()
	s.conn, s.results = nil, nil
	s.target.tidyWAL()
	return err
}
