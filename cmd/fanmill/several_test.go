package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Several statements in one query are refused by validate where the text tells it, at their line, once for all
// connections that share them; and so by run, before anything is opened.
func TestSeveralStatementsAreRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "job.yaml")
	text := `query: |
  select 1 as n;
  select 2 as n
connections:
  - {id: a, driver: sqlite, dsn: a.db}
  - {id: b, driver: sqlite, dsn: b.db}
  - {id: c, driver: postgres, dsn: "postgres://u@h/d", query: "select 1; -- one"}
  - {id: d, driver: mysql, dsn: "u@tcp(h)/d", queries: [{name: x, sql: "select 1"}, {name: y, sql: "select 1; select 2"}]}
  - {id: e, driver: sqlserver, dsn: "sqlserver://u@h", query: "declare @n int = 1; select @n as n"}
  - {id: f, driver: sqlserver, dsn: "sqlserver://u@h", query: "select 1 as n; select 2 as n"}
destinations: [{type: excel, filePath: out.xlsx}]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"validate", path}, {"run", path, "--data", filepath.Join(dir, "data")}, {"check", path}} {
		code, _, problems := call(args...)
		var got []string
		for line := range strings.Lines(problems) {
			if _, at, ok := strings.Cut(line, "job.yaml:"); ok {
				got = append(got, strings.TrimSpace(at))
			}
		}
		want := []string{
			"1:8: query: there is more than one statement; give each a query of its own",
			"8:100: connections[3].queries[1].sql: there is more than one statement; give each a query of its own",
			"10:63: connections[5].query: it returns more than one result; give each a query of its own",
		}
		if code != exitBadJob || !slices.Equal(got, want) {
			t.Errorf("%s: exit code %d:\n%s\nwant\n%s", args[0], code, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
