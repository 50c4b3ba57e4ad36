package stages_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // makes the databases that the tests read

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// database is one kind of database under the suite. Every stage has an entry and passes all of it.
type database struct {
	driver string
	// create makes a database by these statements and returns its DSN.
	create func(t testing.TB, statements ...string) string
	// kinds makes the table kinds with one column of each kind, and fills it with the rows of kindRows.
	kinds []string
	// series is a query of n rows of an int, a decimal(14,2) and a text, which are made as they are read.
	series func(n int) string
	// endless computes without ever returning a row.
	endless string
	// noTable is a piece of the database's message about a missing table, syntax about a query that is none.
	noTable, syntax string
}

var databases = []database{
	{
		driver: "sqlite",
		create: createSQLite,
		kinds: []string{
			`create table kinds (id int, b boolean, i bigint, f double, d decimal(14,2), n numeric, day date, clock time, ts timestamp, moment timestamptz, txt text, bin blob)`,
			`insert into kinds values
			(1, 1, 9007199254740993, 0.1, 12.3, 12345.125, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29T12:00:00+05:30', 'नमस्ते, "x"', x'00ff'),
			(2, 0, -9223372036854775808, -1e300, -999999999999.99, 0, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1969-12-31 23:59:59Z', '', x''),
			(3, null, null, null, null, null, null, null, null, null, null, null),
			(4, 1, 9223372036854775807, 1e-7, 0, -5, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 00:00:00.5-03:00', char(9) || 'a' || char(10), x'deadbeef')`,
		},
		series:  func(n int) string { return fmt.Sprintf(sqliteSeries, n) },
		endless: `with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t`,
		noTable: "no such table: nowhere",
		syntax:  "syntax error",
	},
	{
		driver: "postgres",
		create: createPostgres,
		kinds: []string{
			`create table kinds (id int, b boolean, i bigint, f float8, d numeric(14,2), n numeric, day date, clock time, ts timestamp, moment timestamptz, txt text, bin bytea)`,
			`insert into kinds values
			(1, true, 9007199254740993, 0.1, 12.3, 12345.125, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29T12:00:00+05:30', 'नमस्ते, "x"', '\x00ff'),
			(2, false, -9223372036854775808, -1e300, -999999999999.99, 0, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1969-12-31 23:59:59Z', '', ''),
			(3, null, null, null, null, null, null, null, null, null, null, null),
			(4, true, 9223372036854775807, 1e-7, 0, -5, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 00:00:00.5-03:00', E'\ta\n', '\xdeadbeef')`,
		},
		series: func(n int) string {
			return fmt.Sprintf("select n, (n / 100.0)::numeric(14,2) as amount, 'row ' || n as name from (select generate_series(1, %d) as n) as s", n)
		},
		endless: `select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b`,
		noTable: `relation "nowhere" does not exist`,
		syntax:  "syntax error",
	},
}

const sqliteSeries = `with recursive t(n) as (select 1 union all select n + 1 from t where n < %d) select n, n / 100.0 as amount, 'row ' || n as name from t`

// The rows of the table kinds: the text of every value is the same from every database.
var (
	kindTypes = []string{"int", "bool", "int", "float", "decimal(14,2)", "numeric", "date", "time", "timestamp", "timestamptz", "text", "binary"}
	kindRows  = []string{
		`1|true|9007199254740993|0.1|12.30|12345.125|2024-02-29|23:59:59.5|2024-02-29 12:00:00.123456|2024-02-29 06:30:00+00:00|नमस्ते, "x"|0x00ff`,
		`2|false|-9223372036854775808|-1e+300|-999999999999.99|0|0001-01-01|00:00:00|1900-01-01 00:00:00|1969-12-31 23:59:59+00:00||0x`,
		`3|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL`,
		"4|true|9223372036854775807|1e-07|0.00|-5|9999-12-31|12:34:56|9999-12-31 23:59:59.999999|2024-07-01 03:00:00.5+00:00|\ta\n|0xdeadbeef",
	}
)

func createSQLite(t testing.TB, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "branch.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]string{"create table made(x)"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func createPostgres(t testing.TB, statements ...string) string {
	t.Helper()
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	for _, s := range statements {
		pg.MustExec(t, dsn, s)
	}
	return dsn
}

// each runs a test on every database.
func each(t *testing.T, f func(t *testing.T, db database)) {
	for _, db := range databases {
		t.Run(db.driver, func(t *testing.T) { f(t, db) })
	}
}

func open(t testing.TB, driver, dsn string, queries ...string) pipeline.Session {
	t.Helper()
	s, err := stages.Drivers()[driver].Open(t.Context(), dsn, asQueries(queries))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func asQueries(sql []string) []pipeline.Query {
	out := make([]pipeline.Query, len(sql))
	for i := range sql {
		out[i] = pipeline.Query{SQL: sql[i]}
		if len(sql) > 1 {
			out[i].Name = fmt.Sprint("q", i)
		}
	}
	return out
}

// texts is every row of a query, its values as CSV text, through the encoding that the pipeline uses. types are those of
// the last batch; every batch has perBatch rows.
func texts(t testing.TB, s pipeline.Session, q, perBatch int) (rows, types []string) {
	t.Helper()
	err := s.Stream(t.Context(), q, columnar.NewBuilder(s.Columns(q)),
		func(b *columnar.Builder) bool { return b.Rows() >= perBatch },
		func(b *columnar.Builder) error {
			body, err := b.Encode()
			if err != nil {
				return err
			}
			batch, err := columnar.Decode(slices.Clone(body))
			if err != nil {
				return err
			}
			types = types[:0]
			for i := range batch.Cols {
				types = append(types, batch.Cols[i].Type())
			}
			for r := range batch.Rows {
				var line []string
				for i := range batch.Cols {
					v := &batch.Cols[i]
					var clock columnar.Clock
					if v.Null(r) {
						line = append(line, "NULL")
					} else {
						line = append(line, string(v.AppendText(nil, r, &clock)))
					}
				}
				rows = append(rows, strings.Join(line, "|"))
			}
			b.Reset()
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return rows, types
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// Every kind keeps its value, exactly, and has the same text whatever the database; NULL is not "".
func TestKinds(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t, db.kinds...), "select * from kinds order by id")
		var declared, names []string
		for _, c := range s.Columns(0) {
			declared, names = append(declared, c.Type()), append(names, c.Name)
		}
		same(t, "declared types", declared, kindTypes)
		same(t, "names", names, []string{"id", "b", "i", "f", "d", "n", "day", "clock", "ts", "moment", "txt", "bin"})
		rows, types := texts(t, s, 0, 3)
		same(t, "types of a batch", types, kindTypes)
		same(t, "rows", rows, kindRows)
	})
}

// The queries of a session are described together and run one after another, in any order, also twice.
func TestSeveralQueries(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t, db.kinds...), "select id from kinds where id < 3 order by id", "select txt as t, id from kinds where id > 5",
			"select day from kinds where id = 1")
		if n := len(s.Columns(1)); n != 2 {
			t.Errorf("%d columns described for the second query", n)
		}
		for range 2 {
			for q, want := range [][]string{{"1", "2"}, nil, {"2024-02-29"}} {
				rows, _ := texts(t, s, q, 100)
				same(t, fmt.Sprint("query ", q), rows, want)
			}
		}
	})
}

// A result without rows still calls emit, once.
func TestEmptyResult(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t, db.kinds...), "select * from kinds where id > 5")
		calls := 0
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			calls++
			return b.Check()
		})
		if err != nil || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}

// Invariant 4: a result of any size takes the memory of a batch, and nothing is allocated per row.
func TestMillionRowsInFlatMemory(t *testing.T) {
	const rows = 1_000_000
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t), db.series(rows))
		b := columnar.NewBuilder(s.Columns(0))
		var before, after runtime.MemStats
		n, batches, largest := 0, 0, 0
		err := s.Stream(t.Context(), 0, b, full, func(b *columnar.Builder) error {
			n += b.Rows()
			largest = max(largest, b.Bytes())
			b.Reset()
			if batches++; batches == 2 {
				runtime.ReadMemStats(&before) // the buffers have grown to their size
			}
			return nil
		})
		runtime.ReadMemStats(&after)
		if err != nil || n != rows {
			t.Fatalf("%d rows: %v", n, err)
		}
		if largest > batchBytes+1000 {
			t.Errorf("a batch of %d bytes", largest)
		}
		if got := after.Mallocs - before.Mallocs; got > rows/1000 {
			t.Errorf("%d allocations for %d rows in %d batches", got, rows, batches)
		}
		// Widening a column allocates the offsets of its batch.
		if got := after.TotalAlloc - before.TotalAlloc; got > 24*rows {
			t.Errorf("%d bytes allocated for %d rows in %d batches", got, rows, batches)
		}
	})
}

// cancelLimit is how long a cancelled query may take to come back.
const cancelLimit = 2 * time.Second

// A stream ends soon after its context, between two rows.
func TestCancelMidStream(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t), db.series(1_000_000_000))
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Time
		err := s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			if at.IsZero() {
				at = time.Now()
				cancel()
			}
			b.Reset()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(at); d > cancelLimit {
			t.Errorf("cancelled after %v", d)
		}
	})
}

// A stream ends soon after its context, also while the database computes and no row comes.
func TestCancelWhileComputing(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.create(t)
		s := open(t, db.driver, dsn, db.endless)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			result <- s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
		}()
		if db.driver == "postgres" {
			waitForQueries(t, dsn, 1)
		}
		at := time.Now()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(at); d > cancelLimit {
			t.Errorf("cancelled after %v", d)
		}
		if db.driver == "postgres" {
			waitForQueries(t, dsn, 0) // nothing is left computing on the server
		}
	})
}

// An error of emit ends the stream and comes back as it is.
func TestEmitError(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.create(t), db.series(1_000_000_000))
		stop := errors.New("the log is gone")
		calls := 0
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error {
			calls++
			return stop
		})
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
		if pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrTransient) {
			t.Errorf("the stage has classified an error that is not its own: %v", err)
		}
	})
}

// A query that can never run is a permanent error with the database's own words, and names the query.
func TestBadQueries(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.create(t, "create table t(a int)")
		for _, c := range []struct{ sql, want string }{
			{"select * from nowhere", db.noTable},
			{"selekt 1", db.syntax},
			{"select 1; select 2", ""},
			{"select a from t where a = $1", "parameters"},
			{"delete from t", ""},
			{"", ""},
		} {
			_, err := stages.Drivers()[db.driver].Open(t.Context(), dsn, []pipeline.Query{{Name: "good", SQL: "select 1"}, {Name: "bad", SQL: c.sql}})
			switch {
			case err == nil:
				t.Errorf("%q was accepted", c.sql)
			case !pipeline.IsPermanent(err), !strings.Contains(err.Error(), c.want), !strings.Contains(err.Error(), `"bad"`):
				t.Errorf("%q: permanent %v: %v", c.sql, pipeline.IsPermanent(err), err)
			}
		}
	})
}

// No statement can change a branch's database.
func TestReadOnly(t *testing.T) {
	for driver, write := range map[string]string{
		"sqlite":   "insert into t values (1) returning a",
		"postgres": "with w as (insert into t values (1) returning a) select * from w",
	} {
		t.Run(driver, func(t *testing.T) {
			i := slices.IndexFunc(databases, func(db database) bool { return db.driver == driver })
			dsn := databases[i].create(t, "create table t(a int)")
			s, err := stages.Drivers()[driver].Open(t.Context(), dsn, []pipeline.Query{{SQL: write}})
			if err == nil {
				err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
				_ = s.Close()
			}
			if !pipeline.IsPermanent(err) {
				t.Errorf("a write gave %v", err)
			}
			rows, _ := texts(t, open(t, driver, dsn, "select count(*) from t"), 0, 10)
			same(t, "rows written", rows, []string{"0"})
		})
	}
}
