package stages

import (
	"errors"
	"strings"

	"fanmill/pipeline"
)

// A CALL tells its columns only once it runs. So it runs when it is described, up to its columns, and goes on when
// its rows are asked for.

// isCall reports whether a statement that was prepared calls a procedure.
func (s *mysqlSession) isCall(sql string) bool {
	return strings.EqualFold(sqlWord(s.quoting.firstWord(sql)), "call")
}

// maintains reports whether a statement is one of those that look after tables and tell in rows how that went. They
// commit, and the server does not refuse all of them in a READ ONLY transaction.
func (s *mysqlSession) maintains(sql string) bool {
	rest := s.quoting.firstWord(sql)
	word := sqlWord(rest)
	switch strings.ToLower(word) {
	case "check", "optimize", "repair", "cache", "load":
		return true
	case "analyze": // of a SELECT is MariaDB's EXPLAIN
		switch strings.ToLower(sqlWord(s.quoting.firstWord(rest[len(word):]))) {
		case "table", "tables", "local", "no_write_to_binlog":
			return true
		}
	}
	return false
}

// call runs the only query of the session, a CALL, up to the columns of its result.
func (s *mysqlSession) call(r *mysqlResult, request pipeline.Request) (err error) {
	switch {
	case len(s.queries) > 1:
		return pipeline.Permanent(errors.New("a CALL tells its columns only once it runs, so it cannot be one of several queries; give it a job of its own"))
	case request.NoRun:
		return pipeline.Permanent(pipeline.ErrMustRun)
	case request.Snapshot:
		return pipeline.Permanent(errors.New("which tables a CALL reads cannot be told, and so not whether they keep snapshots; turn \"snapshot\" off"))
	}
	if r.fields, err = s.execute(r); err == nil && len(r.fields) == 0 {
		s.running = false
		return errMySQLNoColumns
	}
	s.called = err == nil
	return err
}

// endCall reads what follows the rows of a CALL: the end of the procedure, or a result too many.
func (s *mysqlSession) endCall() error {
	body, err := s.answer()
	if err != nil {
		return err
	}
	s.between = false
	if body[0] != packetOK {
		return errSeveralResults
	}
	return nil
}
