package stages

import (
	"errors"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// A query is one statement: of a second one nobody could say where its rows belong. SQL Server alone takes a batch,
// such as a declare with what uses it, of which one statement returns rows.

var (
	errSeveral        = pipeline.Permanent(errors.New("there is more than one statement; give each a query of its own"))
	errSeveralResults = pipeline.Permanent(errors.New("it returns more than one result; give each a query of its own"))
)

// compound are the words that begin a statement of MySQL's which may have others in it.
var compound = []string{"create", "alter", "declare", "if", "loop", "while", "repeat", "for", "case"}

// several reports whether sql has more than one statement. Empty ones, comments and a semicolon at the end do not
// count.
func (d sqlDialect) several(sql string) bool {
	n := 0
	for _, s := range d.statements(sql) {
		word, rest := s.word, ""
		if len(s.words) > 1 {
			rest = s.words[1]
		}
		if n == 0 && d.hash && (slices.Contains(compound, word) || word == "begin" && rest == "not") { // MariaDB's begin not atomic
			return false
		}
		n++
	}
	return n > 1
}

// statement is a piece of a query between semicolons.
type statement struct {
	word  string   // the first, in lower case; "" of one that begins with another sign
	words []string // all outside of quotes and comments; @names are none
	sets  bool     // a value is given to a variable: @x =
}

// statements are those that are not empty.
func (d sqlDialect) statements(sql string) (all []statement) {
	var s statement
	empty, first := true, true
	end := func() {
		if !empty {
			all = append(all, s)
		}
		s, empty, first = statement{}, true, true
	}
	for i := 0; i < len(sql); {
		c := sql[i]
		if to := d.skip(sql, i); to > i {
			// MySQL carries out what is in a comment that begins with an exclamation mark.
			runs := d.hash && (strings.HasPrefix(sql[i:], "/*!") || strings.HasPrefix(sql[i:], "/*M!"))
			if runs || c != '#' && c != '-' && c != '/' {
				empty, first = false, false
			}
			i = to
			continue
		}
		word := sqlWord(sql[i:])
		switch {
		case c == ';':
			end()
			i++
		case word != "":
			variable := i > 0 && sql[i-1] == '@'
			after := strings.TrimLeft(sql[i+len(word):], " \t\r\n+-*/%&|^")
			s.sets = s.sets || variable && strings.HasPrefix(after, "=")
			if word = strings.ToLower(word); !variable {
				s.words = append(s.words, word)
				if first {
					s.word = word
				}
			}
			empty, first = false, false
			i += len(word)
		default:
			if c > ' ' {
				empty = false
				first = first && c == '('
			}
			i++
		}
	}
	end()
	return all
}

// steering are the words that make it uncertain which statements of a batch run.
var steering = []string{"if", "else", "begin", "while", "return", "goto", "try", "catch", "throw", "noexec", "parseonly", "fmtonly", "create", "alter"}

// sqlserverResults counts the statements of a batch that are certain to return rows: of one that another may skip
// nothing is certain.
func sqlserverResults(sql string) (n int) {
	for _, s := range sqlserverDialect.statements(sql) {
		for _, word := range s.words {
			if slices.Contains(steering, word) {
				return 0
			}
		}
		changes := slices.ContainsFunc(s.words, func(w string) bool {
			return slices.Contains([]string{"into", "insert", "update", "delete", "merge"}, w)
		})
		if (s.word == "select" || s.word == "with") && !s.sets && !changes {
			n++
		}
	}
	return n
}
