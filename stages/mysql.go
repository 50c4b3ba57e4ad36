package stages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// mysqlStage reads MySQL, MariaDB and what speaks their protocol. Every query is a prepared statement: that describes
// its columns before it runs, binds its parameters, and sends its values in their binary form, which is exact also
// for FLOAT, of which the text protocol has six digits. The packets are read off the wire here: the usual driver
// boxes every value, and a connection that it has encrypted cannot be taken over from it.
type mysqlStage struct{}

// mysqlPatience is how long, in seconds, the server lets the session wait: for a slow destination to take rows, and
// idle between two queries. A week; Windows servers take 24 days at most.
const mysqlPatience = 7 * 24 * 3600

// Open implements pipeline.Driver. The DSN is a URL, mysql://user:password@host:3306/database?tls=true, or the same as
// github.com/go-sql-driver/mysql has it, user:password@tcp(host:3306)/database?tls=true.
func (mysqlStage) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	target, err := mysqlParseDSN(r.DSN)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("open mysql: %w", err))
	}
	w, server, err := mysqlConnect(ctx, target)
	if err != nil {
		return nil, mysqlError("connect to mysql", err, target.secrets())
	}
	s := &mysqlSession{target: target, wire: w, server: server, queries: r.Queries}
	stop := endWith(ctx, w.net)
	op, err := s.setUp(r)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, mysqlError(op, err, target.secrets())
	}
	return s, nil
}

// mysqlSession is one connection inside one transaction.
type mysqlSession struct {
	target   *mysqlTarget
	wire     *mysqlWire
	server   *mysqlServer
	identity string // of the server, to know it again
	quoting  sqlDialect
	queries  []pipeline.Query
	results  []mysqlResult
	running  bool // a statement may still run on the server
	called   bool // which is a CALL whose columns have been read, and whose rows have not
	between  bool // it is a CALL that has sent the rows of a result, and not what follows
}

// mysqlResult is a prepared query.
type mysqlResult struct {
	statement uint32
	fields    []mysqlField
	columns   []columnar.Column
	args      []byte // as they are sent
	notes     []string
}

// setUp makes a new connection ready to stream. op says what an error is about.
func (s *mysqlSession) setUp(r pipeline.Request) (op string, err error) {
	const begin = "begin a read-only transaction"
	if err := s.begin(r.Snapshot || r.Together); err != nil {
		return begin, err
	}
	for q := range s.queries {
		if err := s.prepare(q, r); err != nil {
			return "describe " + queryLabel(s.queries, q), err
		}
	}
	if r.Snapshot {
		return "begin a snapshot", s.checkSnapshot()
	}
	return begin, nil
}

// begin sets the session up and begins the transaction that all queries run in: nothing they call can write. What the
// queries mean is left alone (sql_mode, the isolation level, limits for the time of a statement), but for the time
// zone: TIMESTAMP values come in the session's, and only in one of a fixed offset each is one moment. Versions
// between /*! */ are the oldest that know the setting.
func (s *mysqlSession) begin(snapshot bool) error {
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(s.target.Params)) {
		settings = append(settings, name+" = "+s.target.Params[name])
	}
	names := "NAMES utf8mb4"
	if strings.HasPrefix(s.target.Collation, "utf8mb4_") {
		names += " COLLATE " + s.target.Collation
	}
	settings = append(settings, names, "time_zone = "+s.target.zoneText(), fmt.Sprintf("net_write_timeout = %d, wait_timeout = %[1]d", mysqlPatience))
	set := "SET " + strings.Join(settings, ", ") +
		"/*M!100300 , idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0 */"
	if _, err := s.ask(set); err != nil {
		return err
	}
	row, err := s.ask(mysqlIdentity + ", @@sql_mode") // which the DSN may have set
	if err != nil {
		return err
	}
	if len(row) != 2 {
		return errMySQLShape
	}
	s.identity, s.quoting = row[0], mysqlDialect
	s.quoting.backslash = !strings.Contains(row[1], "NO_BACKSLASH_ESCAPES")
	s.quoting.ansiQuotes = strings.Contains(row[1], "ANSI_QUOTES")
	// Also of the transactions that begin when one ends: by a COMMIT in a procedure, or by what commits first, as
	// OPTIMIZE does.
	var server *mysqlServerError
	if _, err := s.ask("SET SESSION TRANSACTION READ ONLY"); err != nil && !(errors.As(err, &server) && server.number == 1064) { // older than 5.6.5
		return err
	}
	start := "START TRANSACTION /*!50605 READ ONLY */"
	if snapshot {
		if _, err := s.ask("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
			return err
		}
		start = "START TRANSACTION WITH CONSISTENT SNAPSHOT /*!50605 , READ ONLY */"
	}
	_, err = s.ask(start)
	return err
}

// ask runs a statement of our own and returns the one row that it has, if it has any.
func (s *mysqlSession) ask(sql string) ([]string, error) {
	s.running = true
	row, err := s.wire.ask(sql)
	s.running = err != nil && !errors.As(err, new(*mysqlServerError))
	return row, err
}

// prepare describes query q without running it, unless it is a CALL.
func (s *mysqlSession) prepare(q int, request pipeline.Request) error {
	query := &s.queries[q]
	if s.quoting.several(query.SQL) {
		return errSeveral
	}
	sql, bound := bindArgs(query.SQL, query.Args, s.quoting, func(int, string) string { return "?" })
	var r mysqlResult
	var err error
	if r.args, err = appendMySQLArgs(nil, bound); err != nil {
		return err
	}
	s.running = true
	if err := s.wire.command(comStmtPrepare, []byte(sql)); err != nil {
		return err
	}
	body, err := s.answer()
	if err != nil {
		if server := (*mysqlServerError)(nil); errors.As(err, &server) && server.number == 1064 { // the words about a colon explain little
			server.message += strangeParams(query.SQL, query.Args, s.quoting)
		}
		return err
	}
	head := mysqlReader{b: body}
	head.byte()
	r.statement = head.uint32()
	columns, params := int(head.uint16()), int(head.uint16())
	if head.fail || body[0] != packetOK {
		return errMySQLShape
	}
	if _, err := s.wire.columns(params); err != nil {
		return err
	}
	if r.fields, err = s.wire.columns(columns); err != nil {
		return err
	}
	s.running = false
	switch {
	case params != len(bound):
		return pipeline.Permanent(errors.New("it has parameters (?), and there are no values for them; name them, as :from, and give their values in params"))
	case columns == 0 && s.isCall(sql):
		if err := s.call(&r, request); err != nil {
			return err
		}
	case columns == 0:
		return errMySQLNoColumns
	case s.maintains(sql):
		return errMySQLMaintains
	}
	for i := range r.fields {
		c, _ := mysqlColumn(&r.fields[i], s.target.tinyBools)
		c.Name = columnName(c.Name, i)
		if r.fields[i].bitsOfExpression() {
			return pipeline.Permanent(fmt.Errorf("column %q: the server does not tell how it sends a bit(%d) that the query calculates; write CAST(... AS UNSIGNED), which is its number", c.Name, r.fields[i].length))
		}
		r.columns = append(r.columns, c)
	}
	s.results = append(s.results, r)
	return nil
}

var (
	errMySQLNoColumns = pipeline.Permanent(errors.New("it returns no columns; only a query that returns rows can be delivered"))
	errMySQLMaintains = pipeline.Permanent(errors.New("it is no query: it commits, and may write to the table that it looks after"))
	errMySQLChanged   = errors.New("the columns changed between describing the query and running it")
)

// checkSnapshot finds tables whose engine has no transactions, such as MyISAM: for them there is no snapshot. It
// knows the tables of columns that the queries return, not those of expressions.
func (s *mysqlSession) checkSnapshot() error {
	var tables []string
	for _, r := range s.results {
		for _, f := range r.fields {
			if f.table != "" && f.schema != "" {
				tables = append(tables, fmt.Sprintf("(0x%x,0x%x)", f.schema, f.table))
			}
		}
	}
	if len(tables) == 0 {
		return nil
	}
	slices.Sort(tables)
	row, err := s.ask("SELECT GROUP_CONCAT(t.table_schema, '.', t.table_name, ' (', t.engine, ')' SEPARATOR ', ') FROM information_schema.tables t " +
		"JOIN information_schema.engines e ON e.engine = t.engine WHERE e.transactions = 'NO' AND t.table_schema <> 'information_schema' " +
		"AND (CAST(t.table_schema AS BINARY), CAST(t.table_name AS BINARY)) IN (" + strings.Join(slices.Compact(tables), ",") + ")")
	if err == nil && len(row) == 1 && row[0] != "" {
		return pipeline.Permanent(fmt.Errorf("the engine of %s keeps no snapshots; convert it to InnoDB, or turn \"snapshot\" off", row[0]))
	}
	return err
}

// Columns implements pipeline.Session.
func (s *mysqlSession) Columns(q int) []columnar.Column { return s.results[q].columns }

// Server implements pipeline.Session.
func (s *mysqlSession) Server() string { return s.server.product() }

// Stream implements pipeline.Session.
func (s *mysqlSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	label := queryLabel(s.queries, q)
	if s.running && !s.called {
		return fmt.Errorf("%s: the session ended with an earlier error", label)
	}
	// A read that waits for the server ends when ctx does: its deadline is then in the past.
	_ = s.wire.net.SetDeadline(time.Time{})
	defer endWith(ctx, s.wire.net)()
	fields, err := s.result(&s.results[q])
	if err == nil {
		rows := newMySQLRows(fields, s.target, b)
		err = s.rows(rows, b, due, emit)
		s.results[q].notes = rows.notes(s.results[q].columns)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(emitError)):
		return fmt.Errorf("%s: %w", label, errors.Unwrap(err))
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", label, ctx.Err())
	default:
		return mysqlError(label, err, s.target.secrets())
	}
}

// Notes implements pipeline.NotingSession.
func (s *mysqlSession) Notes(q int) []string { return s.results[q].notes }

// result begins the result of a described query.
func (s *mysqlSession) result(r *mysqlResult) ([]mysqlField, error) {
	if s.called {
		s.called = false
		return r.fields, nil
	}
	fields, err := s.execute(r)
	if err == nil && !sameNames(fields, r.fields) {
		err = errMySQLChanged
	}
	return fields, err
}

// execute runs a prepared query and returns its columns as they come.
func (s *mysqlSession) execute(r *mysqlResult) ([]mysqlField, error) {
	s.running = true
	body := binary.LittleEndian.AppendUint32(nil, r.statement)
	body = append(body, 0) // no cursor: rows come as they are found
	body = binary.LittleEndian.AppendUint32(body, 1)
	if err := s.wire.command(comStmtExecute, append(body, r.args...)); err != nil {
		return nil, err
	}
	answer, err := s.answer()
	if err != nil {
		return nil, err
	}
	head := mysqlReader{b: answer}
	n := head.integer()
	if n > 1<<16 || head.fail {
		return nil, errMySQLShape
	}
	return s.wire.columns(int(n))
}

// answer is the next packet of the running statement, or the error that has ended it.
func (s *mysqlSession) answer() ([]byte, error) {
	body, err := s.wire.answer()
	if err != nil && errors.As(err, new(*mysqlServerError)) {
		s.running = false
	}
	return body, err
}

// rows reads the rows of the running statement to their end.
func (s *mysqlSession) rows(r *mysqlRows, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	for {
		body, err := s.answer()
		if err != nil {
			return err
		}
		if body[0] == packetOK {
			if !r.row(body) {
				return fmt.Errorf("a row: %w", errMySQLShape)
			}
			b.EndRow()
			if due(b) {
				if err := emit(b); err != nil {
					return emitError{err}
				}
			}
			continue
		}
		if !isEnd(body) {
			return errMySQLShape
		}
		more, err := s.wire.moreResults(body)
		if err != nil {
			return err
		}
		if s.between = more; more { // the end of a CALL follows its rows
			if err := s.endCall(); err != nil {
				return err
			}
		}
		s.running = false
		if err := emit(b); err != nil {
			return emitError{err}
		}
		return nil
	}
}
