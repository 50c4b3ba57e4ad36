package stages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"fanmill/pipeline"
)

// This file alone talks to the SQLite library. A handle is an address in the library's own memory, outside Go's heap.

func init() { sqlite3.PatchIssue199() } // the library's answer to 64 KB pages on linux/arm64

type sqliteStmt uintptr

// sqliteConn is an open database. It is for one goroutine at a time, so it is opened without SQLite's mutexes.
type sqliteConn struct {
	tls  *libc.TLS
	db   uintptr
	path string        // for messages
	busy time.Duration // how long a lock is waited for
	out  uintptr
	lost bool // a value could not be read for want of memory
}

// sqliteOpen opens the file: access is SQLITE_OPEN_READONLY or SQLITE_OPEN_READWRITE. SQLite reads nothing of it yet.
func sqliteOpen(t sqliteTarget, access int32) (*sqliteConn, error) {
	c := &sqliteConn{tls: libc.NewTLS(), path: t.path, busy: t.busy}
	c.out = c.tls.Alloc(2 * int(unsafe.Sizeof(uintptr(0))))
	name, err := libc.CString(t.name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", t.path, err), c.close())
	}
	defer libc.Xfree(c.tls, name)
	flags := access | sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_EXRESCODE
	if t.uri {
		flags |= sqlite3.SQLITE_OPEN_URI
	}
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, c.out, flags, 0)
	c.db = *word(c.out)
	if rc != sqlite3.SQLITE_OK {
		err := c.error(rc)
		return nil, errors.Join(fmt.Errorf("open %s: %w", t.path, err), c.close())
	}
	if err := c.strict(true); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", t.path, err), c.close())
	}
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, int32(min(sqliteBusyStep, t.busy)/time.Millisecond))
	return c, nil
}

// strict says whether "..." is a name and nothing else in statements that are prepared from now on [SQLite,
// "sqlite3_db_config"].
func (c *sqliteConn) strict(yes bool) error {
	on := int32(1)
	if yes {
		on = 0
	}
	const slot = 8 // bytes of an argument in libc's list
	args := c.tls.Alloc(2 * slot)
	defer c.tls.Free(2 * slot)
	for _, op := range []int32{sqlite3.SQLITE_DBCONFIG_DQS_DML, sqlite3.SQLITE_DBCONFIG_DQS_DDL} {
		if rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, op, libc.VaList(args, on, uintptr(0))); rc != sqlite3.SQLITE_OK {
			return c.error(rc)
		}
	}
	return nil
}

// readOnly reports whether the file can be read only, whatever was asked for.
func (c *sqliteConn) readOnly() bool { return sqlite3.Xsqlite3_db_readonly(c.tls, c.db, 0) == 1 }

func (c *sqliteConn) close() error {
	var err error
	if rc := sqlite3.Xsqlite3_close(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		err = fmt.Errorf("close %s: %w", c.path, c.error(rc))
	}
	c.tls.Free(2 * int(unsafe.Sizeof(uintptr(0))))
	c.tls.Close()
	return err
}

// prepare compiles the first statement of sql; more tells whether another follows. An empty text gives no statement.
func (c *sqliteConn) prepare(ctx context.Context, sql string) (stmt sqliteStmt, more bool, err error) {
	if strings.ContainsRune(sql, 0) {
		return 0, false, pipeline.Permanent(errors.New("the query contains a zero byte"))
	}
	text, err := libc.CString(sql)
	if err != nil {
		return 0, false, err
	}
	defer libc.Xfree(c.tls, text)
	compile := func(at uintptr) int32 {
		return c.patiently(ctx, func() int32 {
			return sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, at, -1, c.out, c.out+unsafe.Sizeof(uintptr(0)))
		})
	}
	if rc := compile(text); rc != sqlite3.SQLITE_OK {
		return 0, false, c.error(rc)
	}
	stmt = sqliteStmt(*word(c.out))
	// What follows may be a comment, which compiles to nothing. What does not compile is a statement too, a broken one.
	rc := compile(*word(c.out + unsafe.Sizeof(uintptr(0))))
	second := sqliteStmt(*word(c.out))
	more = rc != sqlite3.SQLITE_OK || second != 0
	c.finalize(second)
	return stmt, more, nil
}

// patiently repeats f while another program holds the database's lock, for c.busy.
func (c *sqliteConn) patiently(ctx context.Context, f func() int32) int32 {
	deadline := time.Now().Add(c.busy)
	for {
		rc := f()
		if rc&0xff != sqlite3.SQLITE_BUSY || ctx.Err() != nil || time.Now().After(deadline) {
			return rc
		}
	}
}

// exec runs a statement to its end and does not look at its rows.
func (c *sqliteConn) exec(ctx context.Context, sql string) error {
	stmt, _, err := c.prepare(ctx, sql)
	if err != nil {
		return err
	}
	defer c.finalize(stmt)
	row, err := c.firstStep(ctx, stmt)
	for row && err == nil {
		row, err = c.step(stmt)
	}
	return err
}

// readsOnly reports whether a statement changes no database [SQLite, "sqlite3_stmt_readonly"]: some pragmas that do
// would wait for locks first.
func (c *sqliteConn) readsOnly(s sqliteStmt) bool {
	return sqlite3.Xsqlite3_stmt_readonly(c.tls, uintptr(s)) != 0
}

func (c *sqliteConn) columns(s sqliteStmt) int {
	return int(sqlite3.Xsqlite3_column_count(c.tls, uintptr(s)))
}

// describe returns the columns' names and declared types.
func (c *sqliteConn) describe(s sqliteStmt) (names, types []string) {
	for i := range int32(c.columns(s)) {
		names = append(names, libc.GoString(sqlite3.Xsqlite3_column_name(c.tls, uintptr(s), i)))
		types = append(types, libc.GoString(sqlite3.Xsqlite3_column_decltype(c.tls, uintptr(s), i)))
	}
	return names, types
}

// firstStep begins a statement, which takes the lock.
func (c *sqliteConn) firstStep(ctx context.Context, s sqliteStmt) (row bool, err error) {
	rc := c.patiently(ctx, func() int32 {
		rc := sqlite3.Xsqlite3_step(c.tls, uintptr(s))
		if rc&0xff == sqlite3.SQLITE_BUSY {
			sqlite3.Xsqlite3_reset(c.tls, uintptr(s))
		}
		return rc
	})
	return c.stepped(rc)
}

// step goes to the next row; false after the last.
func (c *sqliteConn) step(s sqliteStmt) (row bool, err error) {
	if c.lost {
		return false, c.error(sqlite3.SQLITE_NOMEM)
	}
	return c.stepped(sqlite3.Xsqlite3_step(c.tls, uintptr(s)))
}

func (c *sqliteConn) stepped(rc int32) (row bool, err error) {
	switch rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, c.error(rc)
	}
}

// cell appends the value of a column of the present row. The value is looked at in place; that SQLite calls it
// unprotected matters only where several threads share a connection [SQLite, "sqlite3_value"].
func (c *sqliteConn) cell(s sqliteStmt, i int, to *sqliteCells) {
	v := sqlite3.Xsqlite3_column_value(c.tls, uintptr(s), int32(i))
	switch sqlite3.Xsqlite3_value_type(c.tls, v) {
	case sqlite3.SQLITE_INTEGER:
		to.integer(sqlite3.Xsqlite3_value_int64(c.tls, v))
	case sqlite3.SQLITE_FLOAT:
		to.real(sqlite3.Xsqlite3_value_double(c.tls, v))
	case sqlite3.SQLITE_TEXT:
		p := sqlite3.Xsqlite3_value_text(c.tls, v) // before its length: it may convert from UTF-16
		c.lost = c.lost || p == 0
		to.text(memory(p, sqlite3.Xsqlite3_value_bytes(c.tls, v)))
	case sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_value_blob(c.tls, v)
		to.blob(memory(p, sqlite3.Xsqlite3_value_bytes(c.tls, v)))
	default:
		to.to.Null()
	}
}

func (c *sqliteConn) reset(s sqliteStmt)    { sqlite3.Xsqlite3_reset(c.tls, uintptr(s)) }
func (c *sqliteConn) finalize(s sqliteStmt) { sqlite3.Xsqlite3_finalize(c.tls, uintptr(s)) }

// interruptWhen makes running statements fail once ctx ends. The function that it returns ends that; no interrupt comes
// after it has returned.
func (c *sqliteConn) interruptWhen(ctx context.Context) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		tls := libc.NewTLS() // c.tls is in use
		defer tls.Close()
		again := time.NewTicker(sqliteInterruptEvery)
		defer again.Stop()
		for {
			sqlite3.Xsqlite3_interrupt(tls, c.db)
			select {
			case <-done:
				return
			case <-again.C:
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// error is what SQLite says about the last call, classified by its result code [SQLite, "Result and Error Codes"].
func (c *sqliteConn) error(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	transient, advice := sqliteCode(rc)
	text, noName := sqliteAdvice(text)
	err := fmt.Errorf("%s%s (SQLite %d)", text, advice, rc)
	if noName {
		err = sqliteNoName{err}
	}
	if transient {
		return pipeline.Transient(err)
	}
	return pipeline.Permanent(err)
}

// sqliteCode tells whether an error may pass, and what to do about it.
func sqliteCode(rc int32) (transient bool, advice string) {
	const walFolder = "in WAL mode its folder must be writable, or a program have it open, or the DSN say file:...?immutable=1 if nothing writes to it"
	if rc == sqlite3.SQLITE_READONLY_DIRECTORY {
		return false, ": " + walFolder
	}
	switch rc & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true, ": another program has it locked; file:...?busy_timeout=60000 in the DSN waits longer for it, in milliseconds"
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ABORT:
		return true, ""
	case sqlite3.SQLITE_NOTADB:
		return false, ": it is another kind of file, or encrypted"
	case sqlite3.SQLITE_CORRUPT:
		return false, ": the file is damaged, or cut short, as by a copy that was made while a program wrote to it; copy it anew, and look at it with pragma integrity_check"
	case sqlite3.SQLITE_CANTOPEN:
		return false, ": the file must be readable; " + walFolder
	case sqlite3.SQLITE_READONLY:
		if rc == sqlite3.SQLITE_READONLY {
			return false, ": databases are opened to be read only, and nothing can be written to them"
		}
		return false, ": a program that was writing to it ended without finishing; open it once with that program"
	default:
		return false, ""
	}
}

// word is a pointer-sized variable in the library's memory.
func word(p uintptr) *uintptr { return *(**uintptr)(unsafe.Pointer(&p)) }

// memory is n bytes of the library's memory. They are valid until the next step.
func memory(p uintptr, n int32) []byte {
	if p == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n)
}
