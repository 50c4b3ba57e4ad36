package stages

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
)

var someArgs = []pipeline.Arg{{Name: "from", Type: pipeline.ArgDate, Text: "2024-01-31"}, {Name: "n", Type: pipeline.ArgInt, Text: "7"}, {Name: "n2"}, {Name: "शाखा"}}

func numbered(n int, _ string) string { return fmt.Sprint("$", n) }
func named(_ int, name string) string { return "@" + name }
func marked(int, string) string       { return "?" }
func argNames(args []pipeline.Arg) (s string) {
	for _, a := range args {
		s += " " + a.Name
	}
	return strings.TrimSpace(s)
}

// A parameter is found where the database would read a value, and nowhere else.
func TestBindArgs(t *testing.T) {
	for _, c := range []struct {
		dialect  sqlDialect
		place    func(int, string) string
		sql      string
		want     string
		wantArgs string
	}{
		{postgresDialect, numbered, "select 1", "select 1", ""},
		{postgresDialect, numbered, "where d>=:from and n=:n or m = :n", "where d>=$1 and n=$2 or m = $2", "from n"},
		{postgresDialect, numbered, ":n", "$1", "n"},
		{postgresDialect, numbered, "where n in(:n,:n2,:n)", "where n in($1,$2,$1)", "n n2"},
		{postgresDialect, numbered, "select a::n, :n::int, a :: n, :::n", "select a::n, $1::int, a :: n, :::n", "n"},
		{postgresDialect, numbered, "select a[lo:n], a[1:n], a[(f)::n], '{\"a\":n}'", "select a[lo:n], a[1:n], a[(f)::n], '{\"a\":n}'", ""},
		{postgresDialect, numbered, "select a[:n]", "select a[$1]", "n"},
		{postgresDialect, numbered, "select :nobody, :n_, :N, :1n, : n, :=n", "select :nobody, :n_, :N, :1n, : n, :=n", ""},
		{postgresDialect, numbered, `select ':n', 'it''s :n', '\', :n`, `select ':n', 'it''s :n', '\', $1`, "n"},
		{postgresDialect, numbered, `select E'it\'s :n', e'\\', :n, tale'\', :n2`, `select E'it\'s :n', e'\\', $1, tale'\', $2`, "n n2"},
		{postgresDialect, numbered, "select E'a' \n -- it's\n '\\' :n ' , :n", "select E'a' \n -- it's\n '\\' :n ' , $1", "n"},
		{postgresDialect, numbered, `select ":n", "a""b :n", :n`, `select ":n", "a""b :n", $1`, "n"},
		{postgresDialect, numbered, "select $$ :n $$, $a$ $$ :n $b$ $a$, :n, a$x$, :n, $1, $2$:n", "select $$ :n $$, $a$ $$ :n $b$ $a$, $1, a$x$, $1, $1, $2$:n", "n"},
		{postgresDialect, numbered, "select 1 -- :n\n, :n /* /* */ :n */, :n2", "select 1 -- :n\n, $1 /* /* */ :n */, $2", "n n2"},
		{postgresDialect, numbered, "select @:n, #:n", "select @$1, #$1", "n"},
		{postgresDialect, numbered, "where a = ':n", "where a = ':n", ""},
		{postgresDialect, numbered, "where a /* :n", "where a /* :n", ""},
		{postgresDialect, numbered, "where b = :शाखा", "where b = $1", "शाखा"},
		{mysqlDialect, marked, "where d>=:from and n=:n or m = :n", "where d>=? and n=? or m = ?", "from n n"},
		{mysqlDialect, marked, "select ':n\\' :n', \"\\\":n\", `a\\`, :n, '\\\\', :n2", "select ':n\\' :n', \"\\\":n\", `a\\`, ?, '\\\\', ?", "n n2"},
		{mysqlDialect, marked, "select 1 # :n\n, 2--:n\n, :n -- :n\n/* /* */, :n2 --", "select 1 # :n\n, 2--?\n, ? -- :n\n/* /* */, ? --", "n n n2"},
		{mysqlDialect, marked, "select @a:=:n, @b := n", "select @a:=?, @b := n", "n"},
		{sqlserverDialect, named, "where [a]]:n] = :n and geometry::n(:n2) = ':n\\'", "where [a]]:n] = @n and geometry::n(@n2) = ':n\\'", "n n2"},
	} {
		got, args := bindArgs(c.sql, someArgs, c.dialect, c.place)
		if got != c.want || argNames(args) != c.wantArgs {
			t.Errorf("%s:\n got %s (%s)\nwant %s (%s)", c.sql, got, argNames(args), c.want, c.wantArgs)
		}
	}
}

var allDialects = map[string]sqlDialect{"postgres": postgresDialect, "mysql": mysqlDialect, "sqlserver": sqlserverDialect,
	"mysql without backslashes": {backtick: true, hash: true, dashBlank: true}, "plain": {}}

// pieces of SQL that hide what they enclose, by dialect.
func hiding(d sqlDialect) []string {
	out := []string{"'%s'", "'a''%s'", `"%s"`, `"a""%s"`, "/*%s*/", "-- %s\n"}
	add := func(on bool, s ...string) {
		if on {
			out = append(out, s...)
		}
	}
	add(d.backslash, `'\'%s'`, `"\"%s"`, `'%s\\'`)
	add(!d.backslash, `'%s\'`)
	add(d.escapes, `E'\'%s'`, `e'%s\\'`, "E'' \n'\\'%s'")
	add(d.dollar, "$$'%s$$", "$x$$$%s$y$x$")
	add(d.backtick, "`%s`", "`a``%s`")
	add(d.bracket, "[%s]", "[a]]%s]")
	add(d.nested, "/*/*%s*/%[1]s*/")
	add(!d.nested, "/*/*%s*/")
	add(d.hash, "#%s\n")
	add(d.dashBlank, "--\t%s\n")
	return out
}

// Whatever quotes and comments a query is made of, exactly the parameters between them are replaced. A comma stands before each piece that hides something:
// after a blank and a line break it could go on with the text before it.
func TestBindArgsAmongQuotes(t *testing.T) {
	for name, d := range allDialects {
		t.Run(name, func(t *testing.T) {
			hidden := hiding(d)
			rapid.Check(t, func(t *rapid.T) {
				var sql, want, names strings.Builder
				n := 0
				for range rapid.IntRange(0, 12).Draw(t, "pieces") {
					switch rapid.IntRange(0, 3).Draw(t, "piece") {
					case 0:
						arg := rapid.SampledFrom(someArgs).Draw(t, "parameter").Name
						n++
						sql.WriteString(" :" + arg)
						want.WriteString(" <" + arg + ">")
						names.WriteString(" " + arg)
					case 1:
						piece := fmt.Sprintf(","+rapid.SampledFrom(hidden).Draw(t, "hiding"), rapid.SampledFrom([]string{":n", " :from ", ":n,:n2"}).Draw(t, "hidden"))
						sql.WriteString(piece)
						want.WriteString(piece)
					default:
						piece := rapid.SampledFrom([]string{" select", " a.b", ",", "(", " ::n", " 1:n", " :unknown", " -", " /", " $1", " :", "\n", " * "}).Draw(t, "plain")
						sql.WriteString(piece)
						want.WriteString(piece)
					}
				}
				d := d
				d.reuse = false
				got, args := bindArgs(sql.String(), someArgs, d, func(_ int, name string) string { return "<" + name + ">" })
				if got != want.String() || argNames(args) != strings.TrimSpace(names.String()) || len(args) != n {
					t.Fatalf("%q:\n got %q (%s)\nwant %q (%s)", sql.String(), got, argNames(args), want.String(), names.String())
				}
			})
		})
	}
}

// Putting each name back where it was found gives the same text, whatever the text is; and what is found is found once.
func FuzzBindArgs(f *testing.F) {
	for _, s := range []string{"a=:n", "'", "E'\\", "$a$:n$a$", "[", "/*/", "--", "::n:n", "-- \n", "e'a'\n--\n'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for name, d := range allDialects {
			d.reuse = false
			calls := 0
			got, args := bindArgs(sql, someArgs, d, func(n int, name string) string {
				if calls++; n != calls {
					t.Errorf("%s: placeholder %d is called %d", name, calls, n)
				}
				return ":" + name
			})
			if got != sql || len(args) != calls || calls > strings.Count(sql, ":") {
				t.Errorf("%s: %q became %q, %d placeholders, %d arguments", name, sql, got, calls, len(args))
			}
		}
	})
}

// A name that is no parameter is named beside the database's complaint about a colon.
func TestStrangeParams(t *testing.T) {
	for _, c := range []struct {
		sql  string
		args []pipeline.Arg
		want string
	}{
		{"select ':x' , a::x", nil, ""},
		{"where d = :from", someArgs, ""},
		{"where d = :form", nil, "; the query has :form, and the job has no params"},
		{"where d = :form", someArgs[:2], "; the query has :form, and the job's params are from, n"},
	} {
		if got := strangeParams(c.sql, c.args, postgresDialect); got != c.want {
			t.Errorf("%s: got %q", c.sql, got)
		}
	}
}
