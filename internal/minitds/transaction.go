package minitds

import (
	"encoding/binary"
	"strings"
)

// transaction is what a session has begun and not ended, and what it has written in it.
type transaction struct {
	level    int      // @@TRANCOUNT
	implicit bool     // SET IMPLICIT_TRANSACTIONS ON
	abort    bool     // SET XACT_ABORT ON
	writes   []string // undone by a rollback and when the connection ends
	number   uint64   // of the last one begun
}

// Numbers of ENVCHANGE about transactions [MS-TDS] 2.2.7.9.
const (
	changeBegin    = 8
	changeCommit   = 9
	changeRollback = 10
)

// begin is BEGIN TRANSACTION: within another one it only counts.
func (w *Response) begin() {
	t := &w.session.tran
	if t.level++; t.level > 1 {
		return
	}
	t.number++
	w.environment(changeBegin, append([]byte{8}, binary.LittleEndian.AppendUint64(nil, t.number)...), []byte{0})
}

// commit is COMMIT: what was written is kept when the outermost transaction commits.
func (w *Response) commit() error {
	t := &w.session.tran
	if t.level == 0 {
		return &Error{Number: 3902, State: 1, Message: "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION."}
	}
	if t.level--; t.level > 0 {
		return nil
	}
	kept := t.writes
	t.writes = nil
	w.session.server.note(func(r *Record) { r.Committed++; r.Kept = append(r.Kept, kept...) })
	w.environment(changeCommit, []byte{0}, append([]byte{8}, binary.LittleEndian.AppendUint64(nil, t.number)...))
	return nil
}

// rollback is ROLLBACK: it ends all transactions there are.
func (w *Response) rollback() error {
	t := &w.session.tran
	if t.level == 0 {
		return &Error{Number: 3903, State: 1, Message: "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION."}
	}
	t.level, t.writes = 0, nil
	w.environment(changeRollback, []byte{0}, append([]byte{8}, binary.LittleEndian.AppendUint64(nil, t.number)...))
	return nil
}

// does carries out what an answer says that its query does: begin, commit, rollback, a setting, or else a write of that
// name, which is kept at once outside of a transaction, as an INSERT is.
func (w *Response) does(statements []string) error {
	for _, s := range statements {
		if done, err := w.statement(s); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		t := &w.session.tran
		if t.level == 0 && t.implicit {
			w.begin()
		}
		if t.level == 0 {
			w.session.server.note(func(r *Record) { r.Kept = append(r.Kept, s) })
		} else {
			t.writes = append(t.writes, s)
		}
	}
	return nil
}

// statement carries out a statement about the session; false if it is none.
func (w *Response) statement(s string) (done bool, err error) {
	t := &w.session.tran
	switch words := strings.Fields(strings.ToUpper(s)); {
	case len(words) == 0:
	case words[0] == "COMMIT":
		return true, w.commit()
	case words[0] == "ROLLBACK":
		return true, w.rollback()
	case words[0] == "BEGIN":
		w.begin()
		return true, nil
	case words[0] == "SET":
		on := words[len(words)-1] == "ON"
		switch words[min(1, len(words)-1)] {
		case "FMTONLY": // Babelfish takes it and runs the query all the same
			w.session.describing = on && !w.session.server.config.Babelfish
		case "IMPLICIT_TRANSACTIONS":
			t.implicit = on
		case "XACT_ABORT":
			t.abort = on
		case "DEADLOCK_PRIORITY":
			if w.session.server.config.Babelfish {
				return true, &Error{Number: 33557097, Message: "'DEADLOCK PRIORITY' is not currently supported in Babelfish"}
			}
		}
		return true, nil
	}
	return false, nil
}

// transaction answers a transaction manager's request [MS-TDS] 2.2.6.9.
func (w *Response) transaction(body []byte) error {
	b, err := afterHeaders(body)
	if err != nil || len(b) < 2 {
		return errPacket
	}
	const begin, commit, rollback = 5, 7, 8
	s := w.session
	status := uint16(0)
	switch binary.LittleEndian.Uint16(b) {
	case begin:
		if len(b) < 3 {
			return errPacket
		}
		s.server.note(func(r *Record) { r.Begun = append(r.Begun, int(b[2])) })
		w.begin()
	case commit:
		err = w.commit()
	case rollback:
		s.server.note(func(r *Record) { r.RolledBack++ })
		err = w.rollback()
	}
	if failed, ok := err.(*Error); ok {
		w.error(failed)
		status = doneError
	}
	w.done(tokenDone, status, 0)
	return nil
}
