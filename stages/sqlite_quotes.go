package stages

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"fanmill/pipeline"
)

// SQLite takes "status" for the text 'status' where there is no such column [SQLite, "Double-quoted String Literals Are
// Accepted"]. A branch without that column would then deliver no rows, or all of them, as if nothing were wrong. So in
// a job's query "..." is a name and nothing else.
//
// A view is the database's own, and means what it means to the programs of the branch: there such texts stay texts.
// SQLite has one switch for both, so a query that fails for such a text is prepared once more with the switch the other
// way, and with its own "..." written as `...`, which SQLite never takes for a text.

// sqliteDialect is for finding names; parameters are SQLite's own.
var sqliteDialect = sqlDialect{backtick: true, bracket: true}

// How SQLite's message about a column that is not there begins, and how it ends where the name could have been taken
// for a text.
const (
	sqliteMissing       = "no such column: "
	sqliteAsksForQuotes = " - should this be a string literal in single-quotes?"
)

// sqliteNoName is the error of a name in double quotes that no column has.
type sqliteNoName struct{ error }

// sqliteAdvice finds the name in SQLite's message about such a name, and says what to do. ok is false for any other
// message.
func sqliteAdvice(message string) (_ string, ok bool) {
	name, begins := strings.CutPrefix(message, sqliteMissing+`"`)
	name, ends := strings.CutSuffix(name, `"`+sqliteAsksForQuotes)
	if !begins || !ends {
		return message, false
	}
	return fmt.Sprintf(`%s"%s": there is no column of this name; if it is meant as a text, write it in single quotes: '%s'`, sqliteMissing, name, strings.ReplaceAll(name, "'", "''")), true
}

// compile prepares a query in which "..." is a name. lenient tells that the database's own views are read with texts in
// double quotes.
func (c *sqliteConn) compile(ctx context.Context, sql string) (stmt sqliteStmt, more, lenient bool, err error) {
	if err := c.strict(true); err != nil {
		return 0, false, false, err
	}
	stmt, more, err = c.prepare(ctx, sql)
	if !errors.As(err, &sqliteNoName{}) {
		return stmt, more, false, err
	}
	if err := c.strict(false); err != nil {
		return 0, false, false, err
	}
	stmt, more, again := c.prepare(ctx, withBackticks(sql))
	if again == nil {
		return stmt, more, true, nil
	}
	// The first error may be about a view. This one never is, but the name has lost its quotes.
	for _, name := range quotedNames(sql, sqliteDialect) {
		if strings.HasPrefix(again.Error(), sqliteMissing+name+" (") {
			text, _ := sqliteAdvice(sqliteMissing + `"` + name + `"` + sqliteAsksForQuotes)
			again = pipeline.Permanent(fmt.Errorf("%s (SQLite %d)", text, sqlite3.SQLITE_ERROR))
		}
	}
	return 0, false, false, again
}

// withBackticks writes the names that stand in double quotes in backticks.
func withBackticks(sql string) string {
	var out strings.Builder
	for i := 0; i < len(sql); {
		end := max(sqliteDialect.skip(sql, i), i+1)
		if sql[i] == '"' && end-i > 1 && sql[end-1] == '"' {
			out.WriteString("`" + strings.ReplaceAll(unquoted(sql[i:end]), "`", "``") + "`")
		} else {
			out.WriteString(sql[i:end])
		}
		i = end
	}
	return out.String()
}

// quotedNames are what stands in double quotes in sql, outside of texts and comments.
func quotedNames(sql string, d sqlDialect) (names []string) {
	for i := 0; i < len(sql); {
		end := max(d.skip(sql, i), i+1)
		if sql[i] == '"' && end-i > 1 && sql[end-1] == '"' {
			names = append(names, unquoted(sql[i:end]))
		}
		i = end
	}
	return names
}

// unquoted is what stands between double quotes.
func unquoted(s string) string { return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`) }
