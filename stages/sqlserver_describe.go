package stages

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"fanmill/pipeline"
)

// errSQLServerNoColumns refuses what is no query.
var errSQLServerNoColumns = pipeline.Permanent(errors.New("it returns no columns; only a query that returns rows can be delivered"))

// describe finds out what the queries return, each by the first way that works:
//
//  1. sp_describe_first_result_set, which runs nothing. Servers before 2012 do not have it, and it cannot see through temporary
//     tables and dynamic SQL.
//  2. SET FMTONLY ON, which runs nothing either, unless a procedure switches it off, and cannot see through them either.
//  3. The query itself, up to its columns. Babelfish knows no other way: its SET FMTONLY does nothing.
//
// The last two are within a transaction that is rolled back. What is wrong with a query is what the last way says:
// the first two are not always the server's plain words.
func (s *sqlserverSession) describe(ctx context.Context) error {
	ways := []func(context.Context, *sqlserverQuery) (done bool, err error){s.describeByProcedure, s.describeByFormat, s.describeByRunning}
	if s.babelfish {
		ways = ways[2:]
	}
	// The first query comes last: it may be left running, since its rows are asked for first.
	var left []*sqlserverQuery
	for q := len(s.queries) - 1; q >= 0; q-- {
		left = append(left, &s.queries[q])
	}
	for _, way := range ways {
		for _, query := range left {
			done, err := way(ctx, query)
			if query.described = done; !done && err == nil {
				continue
			}
			if err := s.described(ctx, query, err); err != nil {
				return err
			}
		}
		left = slices.DeleteFunc(left, func(q *sqlserverQuery) bool { return q.described })
	}
	return nil
}

// described ends the describing of a query.
func (s *sqlserverSession) described(ctx context.Context, query *sqlserverQuery, err error) error {
	if err == nil && len(query.columns) == 0 {
		err = errSQLServerNoColumns
	}
	if err == nil {
		return nil
	}
	said := isSQLServerMessage(err)
	if err = s.fail(ctx, "describe "+query.label, err); said && query.advice != "" {
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

// Settings while the server answers with columns only. They are the session's, and an error does not end them. What
// fails there rolls back at once (XACT_ABORT), whatever the rest of the procedure would do.
const (
	sqlserverAborts     = "SELECT @@OPTIONS & 16384 AS xact_abort"
	sqlserverFormat     = "SET XACT_ABORT ON; SET FMTONLY ON"
	sqlserverFormatEnds = "SET FMTONLY OFF"
	sqlserverAbortsEnds = "SET XACT_ABORT OFF"
)

// describeByFormat has the server answer with columns only.
func (s *sqlserverSession) describeByFormat(ctx context.Context, query *sqlserverQuery) (done bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	aborts, err := s.level(ctx, sqlserverAborts)
	if err == nil {
		_, _, err = s.read(ctx, sqlserverFormat, nil)
	}
	if err != nil {
		if isSQLServerMessage(err) {
			return false, s.rollback(ctx)
		}
		return false, err
	}
	run := s.newRun()
	release := run.bind(ctx)
	if err = run.start(query); err == nil {
		query.columns, _, err = sqlserverResult(run.rows)
	}
	stopped := run.end()
	release()
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case stopped != nil && err == nil && !isSQLServerMessage(stopped):
		return false, s.redial(ctx)
	case err == nil:
		err = stopped
	}
	if err != nil && !isSQLServerMessage(err) {
		return false, err
	}
	return err == nil && len(query.columns) > 0, s.formatEnds(ctx, err == nil, aborts != 0)
}

// formatEnds takes the settings back and rolls back. An error of the query has rolled back already.
func (s *sqlserverSession) formatEnds(ctx context.Context, whole, aborts bool) (err error) {
	ends := sqlserverFormatEnds
	if !aborts {
		ends += "; " + sqlserverAbortsEnds
	}
	var kept error
	if whole {
		if kept = s.reads(ctx, ends); kept == nil {
			kept = s.kept(ctx)
		}
		if kept != nil && !isSQLServerMessage(kept) && !errors.Is(kept, errSQLServerEnds) {
			return kept
		}
	}
	if err := s.rollback(ctx); err != nil {
		return err
	}
	if !whole || sqlserverNoTransaction(kept) {
		if err := s.reads(ctx, ends); err != nil {
			return err
		}
	}
	if sqlserverNoTransaction(kept) {
		return errSQLServerEnds
	}
	return kept
}

// reads is read for a text that returns nothing.
func (s *sqlserverSession) reads(ctx context.Context, text string) error {
	_, _, err := s.read(ctx, text, nil)
	return err
}

// describeByRunning runs the query up to its columns. The first query of a session is left running, for its rows;
// another is cancelled, and runs again when its turn comes.
func (s *sqlserverSession) describeByRunning(ctx context.Context, query *sqlserverQuery) (done bool, err error) {
	if s.noRun {
		return true, pipeline.Permanent(pipeline.ErrMustRun)
	}
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	run := s.newRun()
	s.run = run
	defer run.bind(ctx)()
	if err := run.start(query); err != nil {
		return true, err
	}
	if query.columns, _, err = sqlserverResult(run.rows); err != nil || len(query.columns) == 0 || query == &s.queries[0] {
		return true, err
	}
	s.run = nil
	// Some servers end the transaction with the cancel: the queries shall have one that begins now.
	if run.end() != nil || s.rollback(ctx) != nil {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		return true, s.redial(ctx)
	}
	return true, nil
}
