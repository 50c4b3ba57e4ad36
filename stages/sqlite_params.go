package stages

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"fanmill/pipeline"
)

// sqliteExactDigits is up to how many significant digits SQLite compares a number with a fraction exactly: it has no decimals,
// only float64.
const sqliteExactDigits = 15

// bind gives a statement its parameters. SQLite knows :name itself, and where it is quoted.
func (c *sqliteConn) bind(s sqliteStmt, args []pipeline.Arg) error {
	for i := int32(1); i <= sqlite3.Xsqlite3_bind_parameter_count(c.tls, uintptr(s)); i++ {
		// "" for ?, and for a number that ?NNN leaves out.
		spelled := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(c.tls, uintptr(s), i))
		name, colon := strings.CutPrefix(spelled, ":")
		if !colon {
			return pipeline.Permanent(errors.New("it has parameters by number (?) or with other marks than a colon (@name, $name): write them as :name and give the job params of these names"))
		}
		arg := argNamed(args, name)
		if arg == nil {
			return pipeline.Permanent(fmt.Errorf("it has the parameter %s%s", spelled, knownParams(args)))
		}
		rc, err := c.bindOne(s, i, arg)
		if err == nil && rc != sqlite3.SQLITE_OK {
			err = c.error(rc)
		}
		if err != nil {
			return fmt.Errorf("param %s: %w", arg.Name, err)
		}
	}
	return nil
}

// bindOne binds a value the way SQLite would read it in the text of a statement.
func (c *sqliteConn) bindOne(s sqliteStmt, i int32, arg *pipeline.Arg) (rc int32, err error) {
	stmt := uintptr(s)
	switch arg.Type {
	case pipeline.ArgNull:
		return sqlite3.Xsqlite3_bind_null(c.tls, stmt, i), nil
	case pipeline.ArgBool:
		v, err := strconv.ParseBool(arg.Text)
		if err != nil {
			return 0, pipeline.Permanent(fmt.Errorf("%q is neither true nor false", arg.Text))
		}
		var n int64
		if v {
			n = 1
		}
		return sqlite3.Xsqlite3_bind_int64(c.tls, stmt, i, n), nil
	case pipeline.ArgInt:
		n, err := strconv.ParseInt(arg.Text, 10, 64)
		if err != nil {
			return 0, pipeline.Permanent(fmt.Errorf("%q is not an integer of 64 bits", arg.Text))
		}
		return sqlite3.Xsqlite3_bind_int64(c.tls, stmt, i, n), nil
	case pipeline.ArgDecimal:
		if n, err := strconv.ParseInt(arg.Text, 10, 64); err == nil {
			return sqlite3.Xsqlite3_bind_int64(c.tls, stmt, i, n), nil
		}
		if !plainNumber([]byte(arg.Text)) {
			return 0, pipeline.Permanent(fmt.Errorf("%q is not a decimal number", arg.Text))
		}
		if significantDigits(arg.Text) > sqliteExactDigits {
			return 0, pipeline.Permanent(fmt.Errorf("SQLite has no number that is exactly %s, only some of %d digits: make it a text, or shorter", arg.Text, sqliteExactDigits))
		}
		v, err := strconv.ParseFloat(arg.Text, 64)
		if err != nil {
			return 0, pipeline.Permanent(fmt.Errorf("%q: %w", arg.Text, err))
		}
		return sqlite3.Xsqlite3_bind_double(c.tls, stmt, i, v), nil
	default: // a date is a text in SQLite, too
		text, err := libc.CString(arg.Text)
		if err != nil {
			return 0, err
		}
		defer libc.Xfree(c.tls, text)
		return sqlite3.Xsqlite3_bind_text(c.tls, stmt, i, text, int32(len(arg.Text)), sqlite3.SQLITE_TRANSIENT), nil
	}
}

// significantDigits counts the digits of a plain number between its first and its last that is not zero.
func significantDigits(number string) int {
	digits := strings.Replace(strings.TrimLeft(number, "+-"), ".", "", 1)
	return len(strings.Trim(digits, "0"))
}
