package stages

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

// sqlserverRun is one query on its way. It has a context of its own, so that it may begin while a session is opened
// and go on when its rows are asked for.
type sqlserverRun struct {
	session *sqlserverSession
	ctx     context.Context
	cancel  context.CancelFunc
	rows    *mssql.Rows
	started bool // its rows have been asked for
}

func (s *sqlserverSession) newRun() *sqlserverRun {
	r := &sqlserverRun{session: s}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// bind cancels the query when ctx ends, until the function that it returns is called.
func (r *sqlserverRun) bind(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, r.stop)
	return func() { stop() }
}

// stop has the driver cancel the query on the server. The driver waits ten seconds for servers that never confirm it;
// the connection is cut before that, since it is not used again anyway.
func (r *sqlserverRun) stop() {
	time.AfterFunc(sqlserverCancelWait, r.session.link.close)
	r.cancel()
}

// start sends the query and waits for its columns, or for its end if it has none. One with parameters is a call of
// sp_executesql, as the driver would make it, but for their types: the driver declares a text as long as its value, so
// that ISNULL(@p, N'all branches') cuts what stands for it.
func (r *sqlserverRun) start(q *sqlserverQuery) (err error) {
	text, args := q.sql, q.args
	if q.declared != "" {
		text = "sp_executesql"
		args = append([]driver.NamedValue{{Ordinal: 1, Value: q.sql}, {Ordinal: 2, Value: q.declared}}, q.args...)
	}
	stmt, err := r.session.conn.PrepareContext(r.ctx, text)
	if err != nil {
		return err
	}
	query, ok := stmt.(driver.StmtQueryContext)
	if !ok {
		return errors.New("the driver cannot run it as a query")
	}
	rows, err := query.QueryContext(r.ctx, args)
	if err != nil {
		return err
	}
	if r.rows, ok = rows.(*mssql.Rows); !ok {
		return fmt.Errorf("the driver returns %T", rows)
	}
	return nil
}

// end cancels what still runs and returns when the server has confirmed it. An error means that it has not, in time:
// the connection is cut then.
func (r *sqlserverRun) end() error {
	defer r.cancel()
	if r.rows == nil {
		return nil
	}
	cut := time.AfterFunc(sqlserverCancelWait, r.session.link.close)
	defer cut.Stop()
	err := r.rows.Close()
	// The driver reads ahead in a goroutine of its own, which would wait for ever for someone to take what it has
	// read. Each Close takes some; the one that returns nil has seen the goroutine end.
	for n := 0; n < 16 && err != nil; n++ {
		if r.rows.Close() == nil {
			break
		}
	}
	return err
}

// read runs a small query of our own and returns its columns' names and its rows.
func (s *sqlserverSession) read(ctx context.Context, text string, args []driver.NamedValue) (names []string, all [][]driver.Value, err error) {
	run := s.newRun()
	defer run.bind(ctx)()
	defer func() { err = errors.Join(err, run.end()) }()
	if err := run.start(&sqlserverQuery{sql: text, args: args}); err != nil {
		return nil, nil, err
	}
	names = run.rows.Columns()
	for {
		row := make([]driver.Value, len(names))
		switch err := run.rows.Next(row); err {
		case nil:
			all = append(all, row)
		case io.EOF:
			return names, all, nil
		default:
			return nil, nil, err
		}
	}
}
