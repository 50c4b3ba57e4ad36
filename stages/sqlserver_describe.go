package stages

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"fanmill/pipeline"
)

// errSQLServerNoColumns refuses what is no query.
var errSQLServerNoColumns = pipeline.Permanent(errors.New("it returns no columns; only a query that returns rows can be delivered"))

// describe finds out what query q returns, by the first way that works:
//
//  1. sp_describe_first_result_set, which runs nothing. Servers before 2012 do not have it, and it cannot see through temporary
//     tables and dynamic SQL.
//  2. SET FMTONLY ON, which runs nothing either, and cannot see through them either.
//  3. The query itself, up to its columns.
//
// What is wrong with a query is what the last way says: the first two are not always the server's plain words.
func (s *sqlserverSession) describe(ctx context.Context, q int) error {
	query := &s.queries[q]
	op := "describe " + query.label
	done, err := s.describeByProcedure(ctx, query)
	if done || err != nil {
		return s.described(ctx, op, query, err)
	}
	done, err = s.describeByFormat(ctx, query)
	if done || err != nil {
		return s.described(ctx, op, query, err)
	}
	return s.described(ctx, op, query, s.describeByRunning(ctx, query))
}

// described ends the describing of a query.
func (s *sqlserverSession) described(ctx context.Context, op string, query *sqlserverQuery, err error) error {
	if err == nil && len(query.columns) == 0 {
		err = errSQLServerNoColumns
	}
	if err == nil {
		return nil
	}
	said := isSQLServerMessage(err)
	if err = s.fail(ctx, op, err); said && query.advice != "" {
		err = fmt.Errorf("%w%s", err, query.advice)
	}
	return err
}

// describeByProcedure asks the server's procedure; done is false if that did not answer.
func (s *sqlserverSession) describeByProcedure(ctx context.Context, query *sqlserverQuery) (done bool, err error) {
	args := []driver.NamedValue{{Name: "tsql", Ordinal: 1, Value: query.sql}}
	if query.declared != "" {
		args = append(args, driver.NamedValue{Name: "params", Ordinal: 2, Value: query.declared})
	}
	names, rows, err := s.read(ctx, "sp_describe_first_result_set", args)
	if isSQLServerMessage(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	columns, ok, err := sqlserverDescribed(names, rows)
	if err != nil || !ok {
		return false, err
	}
	query.columns = columns
	return true, nil
}

// describeByFormat has the server answer with columns only. The setting is of the session, and an error does not end it: it is taken back
// whatever happens.
func (s *sqlserverSession) describeByFormat(ctx context.Context, query *sqlserverQuery) (done bool, err error) {
	if _, _, err := s.read(ctx, "SET FMTONLY ON", nil); err != nil {
		if isSQLServerMessage(err) {
			return false, nil
		}
		return false, err
	}
	run := s.newRun()
	release := run.bind(ctx)
	if err = run.start(query); err == nil {
		query.columns, _, err = sqlserverResult(run.rows)
	}
	if stopped := run.end(); err == nil {
		err = stopped
	}
	release()
	if err != nil && !isSQLServerMessage(err) {
		return false, err
	}
	if _, _, err := s.read(ctx, "SET FMTONLY OFF", nil); err != nil {
		return false, err
	}
	return err == nil && len(query.columns) > 0, nil
}

// describeByRunning runs the query up to its columns. The only query of a session is left running, for its rows; else it is cancelled, and
// runs again when its turn comes.
func (s *sqlserverSession) describeByRunning(ctx context.Context, query *sqlserverQuery) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	run := s.newRun()
	s.run = run
	defer run.bind(ctx)()
	if err := run.start(query); err != nil {
		return err
	}
	var err error
	if query.columns, _, err = sqlserverResult(run.rows); err != nil || len(query.columns) == 0 || len(s.queries) == 1 {
		return err
	}
	s.run = nil
	if err := run.end(); err != nil {
		return err
	}
	// Some servers end the transaction with the cancel: the queries shall have one that begins now.
	return s.rollback(ctx)
}
