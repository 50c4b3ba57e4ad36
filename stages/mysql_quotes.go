package stages

import (
	"fmt"
	"slices"
	"strings"
)

// Warnings implements pipeline.Warner. Unless sql_mode has ANSI_QUOTES, "status" is the text 'status' here, also where
// a column is called so: a comparison with it is the same for every row, and no name that is missing is ever an error.
func (s *mysqlSession) Warnings(q int) []string {
	if s.quoting.ansiQuotes {
		return nil
	}
	var warnings []string
	for _, text := range mysqlDoubleQuoted(s.queries[q].SQL, s.quoting) {
		warnings = append(warnings, fmt.Sprintf("%s: \"%[2]s\" is a text on this server, not a column: write `%[2]s` for a column, '%[2]s' for a text, or let the DSN say sql_mode='ANSI_QUOTES'", queryLabel(s.queries, q), text))
	}
	return warnings
}

// mysqlDoubleQuoted are the texts in double quotes in sql that could be meant as names, each once: not those that name
// a column of the result, nor those that no column is called like, such as ", " and "%Y-%m".
func mysqlDoubleQuoted(sql string, d sqlDialect) (texts []string) {
	operand := false // what came last is something that a name of it may follow
	for i := 0; i < len(sql); {
		end := d.skip(sql, i)
		switch {
		case end > i && sql[i] == '/' && mysqlVersioned(sql[i:]) > 0:
			end = i + mysqlVersioned(sql[i:]) // what it encloses is carried out
		case end > i && sql[i] == '"':
			text := strings.Trim(sql[i:end], `"`)
			if !operand && mayBeName(text) && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
			operand = false
		case end > i && sql[i] == '`':
			operand = true
		case end > i && sql[i] == '\'':
			operand = false // texts side by side are one
		case end > i: // a comment
		case wordByte(sql[i]):
			word := sqlWord(sql[i:])
			operand, end = !slices.Contains(mysqlBeforeText, strings.ToLower(word)), i+len(word)
		case sql[i] > ' ':
			operand = sql[i] == ')'
		}
		i = max(end, i+1)
	}
	return texts
}

// mysqlBeforeText are the words that a text may follow. What follows another word in double quotes is a name of it, as
// after "as".
var mysqlBeforeText = strings.Fields(`select distinct distinctrow all where and or not xor having by on when then else case like rlike regexp in between is div mod
	escape binary interval separator limit offset any some exists using against values value return union except intersect date time timestamp match
	sounds collate with straight_join sql_no_cache sql_calc_found_rows high_priority`)

// mysqlVersioned is the length of the mark that a comment with statements in it begins with, /*!50605 or MariaDB's
// /*M!100300; 0 if it is another comment.
func mysqlVersioned(s string) int {
	for _, mark := range []string{"/*!", "/*M!"} {
		if rest, ok := strings.CutPrefix(s, mark); ok {
			return len(s) - len(strings.TrimLeft(rest, "0123456789"))
		}
	}
	return 0
}

// mayBeName reports whether a column could be called so.
func mayBeName(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80 }) &&
		!strings.ContainsAny(text, "%\\\r\n\t\x00") && len(text) <= 64*4
}
