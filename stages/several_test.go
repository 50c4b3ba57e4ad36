package stages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/stages"
)

const (
	severalSaid = "there is more than one statement; give each a query of its own"
	resultsSaid = "it returns more than one result; give each a query of its own"
)

// Several statements are told from one by the text, in every dialect; where it depends on a setting of the server
// nothing is refused.
func TestSeveralStatements(t *testing.T) {
	all := "sqlite postgres mysql sqlserver"
	for _, c := range []struct{ sql, not string }{ // not: who refuses it
		{"select 1", ""},
		{"select 1;", ""},
		{"select 1 ; ;; -- done\n/* ; select 2 */ ;", ""},
		{";select 1", ""},
		{"select ';' as a, ';' || '''; select 2' as b", ""},
		{`select 1 as "a; select 2"`, ""},
		{"/* a; b */ select 1 -- ; select 2", ""},
		{"select 1; select 2", all},
		{"select 1;\nselect 2;", all},
		{"select 1;select 2;select 3", all},
		{"select ';'; select 2", all},
		{"with w as (select 1 as n) select n from w; select 2", all},
		{"-- of the day\nselect 1;(select 2)", all},
		{"set x = 1; select 1", "sqlite postgres mysql"},
		{"begin; select 1; commit", "sqlite postgres mysql"},
		{"select 1; drop table t", "sqlite postgres mysql"},
		{"select 1; 'x'", "sqlite postgres mysql"},
		{"select 1; x", "sqlite postgres mysql"},
		// what only some know
		{"select $$a; select 2$$ as a", "sqlite mysql sqlserver"},
		{"select $q$a; select 2$q$; select 3", "sqlite postgres mysql sqlserver"},
		{"select E'\\'; select 2' as a", "sqlite sqlserver"},
		{"select '\\'; select 2 --' as a", "sqlite sqlserver"}, // MySQL and PostgreSQL: as a setting says
		{"select `a; select 2` from t", "postgres sqlserver"},
		{"select [a; select 2] from t", "postgres mysql"},
		{"select 1 /* a /* b */ ; select 2 */", "sqlite mysql"},
		{"select 1 # ; select 2", "sqlite postgres sqlserver"},
		{"select 1; --select 2", "mysql"}, // there that is - -select
		{"select 1; /*! select 2 */", "mysql"},
		{"begin not atomic select 1; end", "sqlite postgres"},
		// batches of SQL Server
		{"declare @n int = 1; select @n", "sqlite postgres"},
		{"set nocount on; select a into #t from u; select a from #t", "sqlite postgres mysql"},
		{"declare @n int; select @n = count(*) from t; select @n + 1 as n", "sqlite postgres"},
		{"if 1 = 1 select 1; else select 2;", "sqlite postgres"},
		{"begin try select 1; end try begin catch select 2; end catch", "sqlite postgres mysql"},
		{"with w as (select 1 as n) insert into t select n from w; select n from t", "sqlite postgres mysql"},
		{"exec report; select 1", "sqlite postgres mysql"},
		{"update t set a = 1; select a from t", "sqlite postgres mysql"},
	} {
		for driver := range strings.FieldsSeq(all) {
			err := stages.Kinds()[driver].CheckQuery(c.sql)
			want := ""
			if strings.Contains(c.not, driver) {
				if want = severalSaid; driver == "sqlserver" {
					want = resultsSaid
				}
			}
			if got := errText(err); got != want {
				t.Errorf("%s: %q: %q, want %q", driver, c.sql, got, want)
			}
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What the text alone does not tell, the database does, before anything runs and in the same words.
func TestSeveralStatementsOfADatabase(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		if db.driver == "sqlserver" { // which takes batches
			return
		}
		dsn := db.dsn(t)
		for _, sql := range []string{"select 1 as n; select 2 as n", "select 1 as n; nonsense", "select 1 as n;;select 2;"} {
			if err := attempt(t, db.driver, pipeline.Request{DSN: dsn, Queries: asQueries([]string{sql})}); !pipeline.IsPermanent(err) || !strings.HasSuffix(errText(err), severalSaid) {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
}

// A file that is no database says what it is.
func TestSQLiteFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	whole, err := os.ReadFile(createSQLite(t, "create table t (a int)"))
	must(t, err)
	waiting := file("waiting.db", "")
	must(t, os.WriteFile(waiting+"-journal", []byte("x"), 0o600))
	for path, want := range map[string]string{
		file("empty.db", ""): "the file is empty, 0 bytes: a copy that failed, or a file that a program made when it looked for the database here",
		"file:" + filepath.ToSlash(file("e2.db", "")) + "?x=1":    "the file is empty, 0 bytes",
		file("text.db", "not a database, but some lines of text"): "file is not a database: it is another kind of file, or encrypted",
		file("book.db", "PK\x03\x04"+strings.Repeat("x", 4096)):   "file is not a database: it is another kind of file, or encrypted",
		file("half.db", string(whole[:len(whole)/2])):             "the file is damaged, or cut short",
		dir:                           "this is a folder, not a database file",
		filepath.Join(dir, "none.db"): "there is no such file",
	} {
		err := attempt(t, "sqlite", pipeline.Request{DSN: path, Queries: asQueries([]string{"select * from t"})})
		if !pipeline.IsPermanent(err) || !strings.Contains(errText(err), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if err := attempt(t, "sqlite", pipeline.Request{DSN: waiting, Queries: asQueries([]string{"select 1"})}); err != nil && strings.Contains(err.Error(), "0 bytes") {
		t.Errorf("one with a journal: %v", err)
	}
}
