package stages

import (
	"strings"

	"fanmill/pipeline"
)

// sqlDialect says where a database's SQL cannot hold a parameter: its ways to quote and to comment. 'a text', "a name", -- and
// /* comments are common to all.
type sqlDialect struct {
	backslash  bool // \' does not end a '...' or "..." (MySQL, unless its sql_mode says NO_BACKSLASH_ESCAPES)
	escapes    bool // E'...' is a text in which \' does not end it (PostgreSQL)
	dollar     bool // $tag$ ... $tag$ is a text (PostgreSQL)
	backtick   bool // `...` is a name (MySQL)
	ansiQuotes bool // "..." is a name, in which a backslash is like any other character, whatever it is in '...' (MySQL with ANSI_QUOTES)
	bracket    bool // [...] is a name (SQL Server)
	nested     bool // comments nest (PostgreSQL, SQL Server)
	hash       bool // # begins a comment (MySQL)
	dashBlank  bool // -- begins a comment only before a blank or a control character (MySQL)
	reuse      bool // a name that occurs twice is one placeholder, numbered or named; else each occurrence is one of its own
}

// The dialects of databases whose placeholders are not :name themselves, as SQLite's are.
var (
	postgresDialect  = sqlDialect{escapes: true, dollar: true, nested: true, reuse: true}
	mysqlDialect     = sqlDialect{backslash: true, backtick: true, hash: true, dashBlank: true}
	sqlserverDialect = sqlDialect{bracket: true, nested: true, reuse: true}
)

// bindArgs puts placeholders where sql has :name for the name of one of args, and returns the arguments in the order of the
// placeholders. place(n, name) is the text of placeholder n, counted from 1: "$1", "?", "@name". Nothing within quotes or
// comments is touched, nor ::name (a cast) nor a colon that follows a name, a number or a closing quote or bracket (lo:hi in a
// slice, 'key':value in JSON); :name without such an argument stays, for the database to complain about. An argument that sql
// does not have is not returned.
func bindArgs(sql string, args []pipeline.Arg, d sqlDialect, place func(n int, name string) string) (string, []pipeline.Arg) {
	var out strings.Builder
	var bound []pipeline.Arg
	done := 0 // what of sql is in out
	for at, name := range sqlParams(sql, d) {
		arg := argNamed(args, name)
		if arg == nil {
			continue
		}
		n := len(bound) + 1
		if d.reuse {
			for i := range bound {
				if bound[i].Name == name {
					n = i + 1
				}
			}
		}
		if n > len(bound) {
			bound = append(bound, *arg)
		}
		out.WriteString(sql[done:at])
		out.WriteString(place(n, name))
		done = at + 1 + len(name)
	}
	if done == 0 {
		return sql, nil
	}
	out.WriteString(sql[done:])
	return out.String(), bound
}

// argNamed finds an argument; nil if there is none of this name.
func argNamed(args []pipeline.Arg, name string) *pipeline.Arg {
	for i := range args {
		if args[i].Name == name {
			return &args[i]
		}
	}
	return nil
}

// strangeParams says which :name a query has that no argument is called, for an error that the database's own words about a
// colon would not explain; "" if there is none.
func strangeParams(sql string, args []pipeline.Arg, d sqlDialect) string {
	var names []string
	for _, name := range sqlParams(sql, d) {
		if argNamed(args, name) == nil {
			names = append(names, ":"+name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; the query has " + strings.Join(names, ", ") + knownParams(args)
}

// knownParams lists what a query could have meant.
func knownParams(args []pipeline.Arg) string {
	if len(args) == 0 {
		return ", and the job has no params"
	}
	names := make([]string, len(args))
	for i := range args {
		names[i] = args[i].Name
	}
	return ", and the job's params are " + strings.Join(names, ", ")
}

// sqlParams yields every :name of sql that stands where a parameter may, by the index of its colon.
func sqlParams(sql string, d sqlDialect) func(yield func(at int, name string) bool) {
	return func(yield func(int, string) bool) {
		for i := 0; i < len(sql); {
			if end := d.skip(sql, i); end > i {
				i = end
				continue
			}
			if sql[i] != ':' {
				i++
				continue
			}
			colons := 1
			for i+colons < len(sql) && sql[i+colons] == ':' {
				colons++
			}
			name := sqlWord(sql[i+colons:])
			if colons == 1 && name != "" && (name[0] < '0' || name[0] > '9') && !endsOperand(sql[:i]) && !yield(i, name) {
				return
			}
			i += colons + len(name)
		}
	}
}

// pgNumbered reports whether sql has parameters of PostgreSQL's own form, $1, outside of quotes and comments.
func pgNumbered(sql string) bool {
	for i := 0; i+1 < len(sql); {
		if end := postgresDialect.skip(sql, i); end > i {
			i = end
			continue
		}
		if sql[i] == '$' && sql[i+1] >= '0' && sql[i+1] <= '9' && (i == 0 || !wordByte(sql[i-1]) && sql[i-1] != '$') {
			return true
		}
		i++
	}
	return false
}

// endsOperand reports whether sql ends in a way that a value cannot follow: then a colon is an operator.
func endsOperand(sql string) bool {
	if sql == "" {
		return false
	}
	c := sql[len(sql)-1]
	return wordByte(c) || strings.IndexByte("$)]'\"`", c) >= 0
}

// sqlWord is the longest beginning of s that looks like a name.
func sqlWord(s string) string {
	n := 0
	for n < len(s) && wordByte(s[n]) {
		n++
	}
	return s[:n]
}

// wordByte reports whether c may be within a name. Every byte of a letter beyond ASCII may.
func wordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// skip returns where what begins at i ends, if that is a quoted piece or a comment, else i. One that is not closed ends with sql.
func (d sqlDialect) skip(sql string, i int) int {
	rest := sql[i:]
	switch c := rest[0]; {
	case c == '\'':
		if d.escapes && i > 0 && (sql[i-1] == 'e' || sql[i-1] == 'E') && (i < 2 || !wordByte(sql[i-2]) && sql[i-2] != '$') {
			return i + escapeText(rest)
		}
		return i + quoted(rest, '\'', d.backslash)
	case c == '"':
		return i + quoted(rest, '"', d.backslash && !d.ansiQuotes)
	case c == '`' && d.backtick:
		return i + quoted(rest, '`', false)
	case c == '[' && d.bracket:
		return i + quoted(rest, ']', false)
	case c == '$' && d.dollar && (i == 0 || !wordByte(sql[i-1]) && sql[i-1] != '$'):
		return i + dollarText(rest)
	case c == '#' && d.hash:
		return i + line(rest)
	case c == '-' && strings.HasPrefix(rest, "--") && (!d.dashBlank || len(rest) == 2 || rest[2] <= ' '):
		return i + line(rest)
	case c == '/' && strings.HasPrefix(rest, "/*"):
		return i + comment(rest, d.nested)
	}
	return i
}

// firstWord is sql without the white space, comments and brackets before its first word.
func (d sqlDialect) firstWord(sql string) string {
	for i := 0; i < len(sql); {
		switch end := d.skip(sql, i); {
		case end > i && (sql[i] == '#' || sql[i] == '-' || sql[i] == '/'):
			i = end
		case sql[i] <= ' ' || sql[i] == '(':
			i++
		default:
			return sql[i:]
		}
	}
	return ""
}

// quoted is the length of a quoted piece, in which the closing mark is written twice, or behind a backslash.
func quoted(s string, end byte, backslash bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && backslash:
			i++
		case s[i] == end && i+1 < len(s) && s[i+1] == end:
			i++
		case s[i] == end:
			return i + 1
		}
	}
	return len(s)
}

// escapeText is the length of what follows the E of an E'...', including the lines that continue it: 'a text' goes on after
// white space that has a line break in it, with the same rules [PostgreSQL, "Lexical Structure" 4.1.2.2].
func escapeText(s string) int {
	n := quoted(s, '\'', true)
	broken := false // a line since the last '
	for next := n; next < len(s); {
		switch c := s[next]; {
		case c == '\n' || c == '\r':
			broken = true
			next++
		case c == ' ' || c == '\t' || c == '\f' || c == '\v':
			next++
		case strings.HasPrefix(s[next:], "--"):
			broken = true
			next += line(s[next:])
		case c == '\'' && broken:
			n = next + quoted(s[next:], '\'', true)
			next, broken = n, false
		default:
			return n
		}
	}
	return n
}

// dollarText is the length of a $tag$ ... $tag$; 0 if s does not begin with such a mark.
func dollarText(s string) int {
	tag := sqlWord(s[1:])
	if tag != "" && tag[0] >= '0' && tag[0] <= '9' || !strings.HasPrefix(s[1+len(tag):], "$") {
		return 0
	}
	mark := s[:len(tag)+2]
	end := strings.Index(s[len(mark):], mark)
	if end < 0 {
		return len(s)
	}
	return end + 2*len(mark)
}

// line is the length of the rest of a line with its end.
func line(s string) int {
	if end := strings.IndexByte(s, '\n'); end >= 0 {
		return end + 1
	}
	return len(s)
}

// comment is the length of a /* ... */.
func comment(s string, nested bool) int {
	depth := 1
	for i := 2; i+1 < len(s); i++ {
		switch {
		case s[i] == '*' && s[i+1] == '/':
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		case nested && s[i] == '/' && s[i+1] == '*':
			i++
			depth++
		}
	}
	return len(s)
}
