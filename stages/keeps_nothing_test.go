package stages_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/stages"
)

// sqliteWrites are queries that write, or would, and what is said of them.
var sqliteWrites = map[string]string{
	"insert into t values (3, 'x') returning id": "opened to be read only",
	"delete from t returning id":                 "opened to be read only",
	"attach database 'made.db' as m":             "it returns no columns",
	"vacuum into 'made.db'":                      "it returns no columns",
	"vacuum":                                     "it returns no columns",
	"commit":                                     "it returns no columns",
	"select load_extension('x') as n":            "not authorized",
	"select 1 as n; delete from t":               "more than one statement",
	"pragma journal_mode=wal":                    "opened to be read only",
	"pragma journal_mode=delete":                 "opened to be read only",
	"pragma wal_checkpoint(truncate)":            "opened to be read only",
	"pragma user_version=7":                      "it returns no columns",
	"pragma application_id=7":                    "it returns no columns",
	"pragma auto_vacuum=1":                       "it returns no columns",
	"pragma incremental_vacuum":                  "it returns no columns",
	"pragma optimize":                            "",
	"pragma schema_version=99":                   "it returns no columns",
	"pragma locking_mode=exclusive":              "",
	"pragma page_size=8192":                      "it returns no columns",
	"pragma writable_schema=1":                   "it returns no columns",
	"pragma query_only=0":                        "it returns no columns",
	"pragma journal_mode":                        "", "pragma table_info(t)": "", "pragma wal_checkpoint": "opened to be read only",
	"pragma integrity_check":                "",
	"explain insert into t values (9, 'x')": "",
}

// Nothing that a query does is kept, by describing it as check does or by running it: the database is as it was, or
// the query is refused in clear words. An error of "" is a query that delivers. SQL Server's are
// TestSQLServerKeepsNothing's.
func TestNothingIsKept(t *testing.T) {
	for name, d := range map[string]struct {
		dsn     func(t *testing.T) string
		state   []string // queries whose rows are the database's state
		files   bool     // it is a folder of files
		queries map[string]string
	}{
		"postgres": {
			dsn: func(t *testing.T) string {
				pg := testdb.Postgres(t)
				dsn := pg.NewDatabase(t)
				pg.MustExec(t, dsn, `create table t (id int primary key, name text); insert into t values (1, 'one'), (2, 'two'); create sequence s;
					create function writes() returns int language plpgsql as 'begin insert into t values (9, ''nine''); return 9; end';
					create function creates() returns int language plpgsql as 'begin create table made (a int); return 1; end';
					create procedure commits(inout n int) language plpgsql as 'begin insert into t values (n, ''c''); commit; end';
					create procedure ends(inout n int) language plpgsql as 'begin commit; insert into t values (n, ''c''); end';
					create view v as select writes() as n`)
				return dsn
			},
			state: []string{"select * from t order by id", "select last_value, is_called from s", "select count(*) from pg_class", "select count(*) from pg_largeobject_metadata"},
			queries: map[string]string{
				"insert into t values (3, 'x') returning id":                   "cannot execute INSERT in a read-only transaction",
				"with w as (delete from t returning id) select * from w":       "in a read-only transaction",
				"update t set name = 'x' returning name":                       "cannot execute UPDATE in a read-only transaction",
				"select writes() as n":                                         "cannot execute INSERT in a read-only transaction",
				"select * from v":                                              "cannot execute INSERT in a read-only transaction",
				"select creates() as n":                                        "cannot execute CREATE TABLE in a read-only transaction",
				"select nextval('s') as n":                                     "cannot execute nextval() in a read-only transaction",
				"select setval('s', 5) as n":                                   "cannot execute setval() in a read-only transaction",
				"call commits(7)":                                              "cannot execute INSERT in a read-only transaction",
				"call ends(7)":                                                 "invalid transaction termination",
				"explain analyze insert into t values (4, 'x')":                "cannot execute INSERT in a read-only transaction",
				"select id from t for update":                                  "cannot execute SELECT FOR UPDATE in a read-only transaction",
				"select set_config('transaction_read_only', 'off', true) as n": "transaction read-write mode must be set before any query",
				"select lo_create(0) as n":                                     "", // of 16 and later refused; else rolled back
				"select pg_advisory_lock(1) is null as n":                      "",
				"select set_config('work_mem', '1MB', false) as n":             "",
				"commit": "it returns no columns",
				"do 'begin insert into t values (5, ''x''); end'":                "it returns no columns",
				"select id into made from t":                                     "it returns no columns",
				"create table made as select 1 as n":                             "it returns no columns",
				"copy t to program 'cat > /dev/null'":                            "it returns no columns",
				"select 1 as n; insert into t values (6, 'x')":                   "more than one statement",
				"select set_config('default_transaction_read_only','off',false)": "",
			},
		},
		"mysql": {
			dsn: func(t *testing.T) string {
				return createMySQL(t, "create table t (id int primary key, name varchar(20))", "insert into t values (1, 'one'), (2, 'two')", "create sequence s", "create table m (id int) engine=MyISAM",
					"create function writes() returns int begin insert into t values (9, 'nine'); return 9; end",
					"create procedure commits() begin commit; insert into t values (7, 'c'); commit; select 1 as n; end",
					"create procedure begins() begin start transaction; insert into t values (7, 'c'); commit; select 1 as n; end",
					"create procedure creates() begin create table made (a int); select 1 as n; end",
					"create procedure truncates() begin truncate table t; select 1 as n; end",
					"create procedure late() begin select 1 as n; insert into t values (8, 'l'); end",
					"create procedure readwrite() begin commit; start transaction read write; insert into t values (7, 'c'); select 1 as n; end",
					"create procedure memory() begin insert into m values (1); select 1 as n; end")
			},
			state: []string{"select * from t order by id", "select count(*) from m", "select next_not_cached_value from s", "select count(*) from information_schema.tables where table_schema = database()"},
			queries: map[string]string{
				"insert into t values (3, 'x') returning id":        "READ ONLY transaction",
				"delete from t returning id":                        "READ ONLY transaction",
				"select writes() as n":                              "READ ONLY transaction",
				"select nextval(s) as n":                            "READ ONLY transaction",
				"call commits()":                                    "READ ONLY transaction",
				"call begins()":                                     "READ ONLY transaction",
				"call creates()":                                    "READ ONLY transaction",
				"call truncates()":                                  "READ ONLY transaction",
				"call late()":                                       "READ ONLY transaction",
				"call readwrite()":                                  "",
				"call memory()":                                     "READ ONLY transaction",
				"optimize table t":                                  "it is no query",
				"analyze table t":                                   "it is no query",
				"Analyze /* */ local Table t":                       "it is no query",
				"repair table m":                                    "it is no query",
				"analyze select * from t":                           "",
				"check table t":                                     "it is no query",
				"select get_lock('x', 1) as n":                      "",
				"select @a := 1 as n":                               "",
				"select id into @a from t limit 1":                  "it returns no columns",
				"select id from t into outfile '/tmp/fanmill.out'":  "it returns no columns",
				"select id from t into dumpfile '/tmp/fanmill.out'": "it returns no columns",
				"commit":                                       "it returns no columns",
				"set session transaction read write":           "it returns no columns",
				"create table made as select 1 as n":           "READ ONLY transaction",
				"handler t open":                               "it returns no columns",
				"select 1 as n; insert into t values (6, 'x')": "more than one statement",
			},
		},
		"sqlite": {
			dsn: func(t *testing.T) string {
				return createSQLite(t, "create table t (id integer primary key, name text)", "insert into t values (1, 'one'), (2, 'two')", "create view v as select * from t", "pragma auto_vacuum=2")
			},
			files:   true,
			queries: sqliteWrites,
		},
		"sqlite in WAL mode": {
			dsn: func(t *testing.T) string {
				dsn := createSQLite(t, "pragma journal_mode=wal", "create table t (id integer primary key, name text)")
				db, err := sql.Open("sqlite", dsn) // keeps the -wal
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				if _, err := db.Exec("insert into t values (1, 'one'), (2, 'two')"); err != nil {
					t.Fatal(err)
				}
				return dsn
			},
			files:   true,
			queries: sqliteWrites,
		},
	} {
		t.Run(name, func(t *testing.T) {
			driver, _, _ := strings.Cut(name, " ")
			dsn := d.dsn(t)
			state := func() string {
				var all []string
				for _, query := range d.state {
					rows, _ := texts(t, open(t, driver, dsn, query), 0, 100)
					all = append(all, rows...)
				}
				if d.files {
					all = append(all, folder(t, filepath.Dir(dsn)))
				}
				return strings.Join(all, "\n")
			}
			before := state()
			for query, want := range d.queries {
				for _, queries := range [][]string{{query}, {"select 1 as n", query}} {
					if len(queries) > 1 && strings.HasPrefix(query, "call") && driver == "mysql" {
						continue // is alone
					}
					described, err := stages.Kinds()[driver].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: asQueries(queries)})
					if err == nil {
						closes(t, described)
					}
					err = attempt(t, driver, pipeline.Request{DSN: dsn, Queries: asQueries(queries)})
					if want != "" && (!pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want)) {
						t.Errorf("%s: %v, want %q", query, err, want)
					}
					if err != nil && !pipeline.IsPermanent(err) {
						t.Errorf("%s would be tried again: %v", query, err)
					}
					if after := state(); after != before {
						t.Fatalf("%s changed\n%s\nto\n%s", query, before, after)
					}
				}
			}
		})
	}
}

// folder is what a folder holds, byte for byte.
func folder(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-shm") { // readers leave their marks there
			continue
		}
		body, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(e.Name() + "\n")
		all.Write(body)
	}
	return all.String()
}
