package stages_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // makes the databases that the tests read

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

func init() {
	databases = append(databases, database{
		driver:  "sqlite",
		server:  "SQLite 3.",
		dsn:     func(t testing.TB) string { return createSQLite(t, sqliteKinds...) },
		hosts:   map[string]string{"branch.db": "", "file:branch.db?immutable=1": "", `C:\branches\12.db`: ""},
		series:  func(n int) string { return fmt.Sprintf(sqliteSeries, n) },
		endless: `with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t`,
		write:   "insert into t values (1) returning a",
		params: `select :i, case when 12.5 = :d then 'equal' end, case when :day = date('2024-02-29') then 'equal' end, :txt, case when :b then 'yes' else 'no' end,
			case when :none is null then 'null' end, :i, ':i'`,
		noTable: "no such table: nowhere",
		syntax:  `near "selekt": syntax error`,
		exec: func(t testing.TB, dsn, statement string) {
			db, err := sql.Open("sqlite", dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		},
	})
}

const sqliteSeries = `with recursive t(n) as (select 1 union all select n + 1 from t where n < %d) select n, n / 100.0 as amount, 'row ' || n as name from t`

// A database in WAL mode, as most programs leave theirs: its owner can write while it is read.
var sqliteKinds = []string{
	`pragma journal_mode = wal`,
	`create table t (a int)`,
	`create table kinds (id int, b boolean, i bigint, f double, d decimal(14,2), day date, clock time, ts timestamp, moment timestamptz, txt text, bin blob)`,
	`insert into kinds values
		(1, 1, 9007199254740993, 0.1, 12.3, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29T12:00:00+05:30', 'नमस्ते, "x"', x'00ff'),
		(2, 0, -9223372036854775808, -1e300, -999999999999.99, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1999-12-31 23:59:59Z', '', x''),
		(3, null, null, null, null, null, null, null, null, null, null),
		(4, 1, 9223372036854775807, 1e-7, 0, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 00:00:00.5-03:00', char(9) || 'a' || char(10), x'deadbeef')`,
}

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

// A declared type decides a column's kind by its words.
func TestSQLiteDeclaredTypes(t *testing.T) {
	types := [][2]string{
		{"INTEGER", "int"}, {"int", "int"}, {"BIGINT", "int"}, {"UNSIGNED BIG INT", "int"}, {"TINYINT(1)", "int"},
		{"BOOL", "bool"}, {"Boolean", "bool"}, {"DECIMAL(14,2)", "decimal(14,2)"}, {"NUMERIC( 38 , 10 )", "decimal(38,10)"}, {"decimal(9)", "decimal(9,0)"},
		{"DECIMAL(50,2)", "numeric"}, {"NUMERIC", "numeric"}, {"MONEY", "numeric"}, {"REAL", "float"}, {"DOUBLE PRECISION", "float"}, {"FLOAT", "float"},
		{"DATE", "date"}, {"TIME", "time"}, {"DATETIME", "timestamp"}, {"TIMESTAMP", "timestamp"}, {"TIMESTAMP WITHOUT TIME ZONE", "timestamp"},
		{"TIMESTAMPTZ", "timestamptz"}, {"TIMESTAMP WITH TIME ZONE", "timestamptz"}, {"VARCHAR(20)", "text"}, {"TEXT", "text"}, {"NCLOB", "text"},
		{"JSON", "text"}, {"BLOB", "binary"}, {"VARBINARY(16)", "binary"}, {"", "unknown"}, {"SOMETHING", "unknown"}, {"BIGINT", "int"},
	}
	var cols []string
	for i, c := range types {
		cols = append(cols, fmt.Sprintf("c%d %s", i, c[0]))
	}
	s := open(t, "sqlite", createSQLite(t, "create table t ("+strings.Join(cols, ", ")+")"), "select * from t")
	for i, c := range s.Columns(0) {
		if c.Type() != types[i][1] {
			t.Errorf("%q is %s, want %s", types[i][0], c.Type(), types[i][1])
		}
	}
}

// A name that is not UTF-8, as programs of the last century wrote them, is the same by every way it travels: with
// U+FFFD for each byte.
func TestSQLiteNameNotUTF8(t *testing.T) {
	path := createSQLite(t, "create table t (grXYe text)", "insert into t values ('ok')")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte("grXYe"), []byte("gr\xf6\xdfe"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, "sqlite", path, "select * from t")
	rows, _ := texts(t, s, 0, 10)
	same(t, "rows", append(rows, s.Columns(0)[0].Name), []string{"ok", "gr\uFFFD\uFFFDe"})
}

// SQLite stores anything anywhere. What does not fit its column's kind mixes that batch and nothing is rounded; the
// text of the values around it does not change.
func TestSQLiteWidening(t *testing.T) {
	for _, c := range []struct {
		declared string
		values   string // of one batch, as SQL
		typ      string // of that batch
		want     string
	}{
		{"int", "1, 2.5, 3", "mixed", "1 2.5 3"},
		{"int", "1, 9007199254740993, 2.5", "mixed", "1 9007199254740993 2.5"},
		{"int", "1, 2.5, 9007199254740993", "mixed", "1 2.5 9007199254740993"},
		{"int", "1, 'n/a', 3", "mixed", "1 n/a 3"},
		{"int", "1, x'00ff', 3.5", "mixed", "1 0x00ff 3.5"},
		{"int", "null, 1e300", "mixed", "NULL 1e+300"},
		{"boolean", "1, 0, null", "bool", "true false NULL"},
		{"boolean", "1, 2, 0", "mixed", "true 2 false"},
		{"boolean", "'yes', 1, 0.5", "mixed", "yes true 0.5"},
		{"decimal(14,2)", "1, 2.5, 0.01", "decimal(14,2)", "1.00 2.50 0.01"},
		{"decimal(14,2)", "1, 2.505, 3.1, 4", "mixed", "1.00 2.505 3.10 4.00"},
		{"decimal(14,2)", "1, 1e12, 2", "mixed", "1.00 1000000000000 2.00"},
		{"decimal(14,2)", "1, 'n/a', 3.1, 4", "mixed", "1.00 n/a 3.10 4.00"},
		{"decimal(14,2)", "-0.1, 70.35, 999999999999.99", "decimal(14,2)", "-0.10 70.35 999999999999.99"},
		{"decimal(38,0)", "9223372036854775807, -9223372036854775808", "decimal(38,0)", "9223372036854775807 -9223372036854775808"},
		{"decimal(38,30)", "5, 0.5", "decimal(38,30)", "5.000000000000000000000000000000 0.500000000000000000000000000000"},
		{"numeric", "1, 2.5, 'n/a'", "mixed", "1 2.5 n/a"},
		{"real", "0.5, 3", "float", "0.5 3"},
		{"real", "0.5, 'n/a', 3", "mixed", "0.5 n/a 3"},
		{"date", "'2024-02-29', '2024-1-1', '2023-02-29', 20240101, '2024-03-01'", "mixed", "2024-02-29 2024-1-1 2023-02-29 20240101 2024-03-01"},
		{"datetime", "'2024-01-01T10:00', '2024-01-02 00:00:00.100000000'", "timestamp", "2024-01-01_10:00:00 2024-01-02_00:00:00.1"},
		{"datetime", "'2024-01-01', '2024-01-01 10:00Z', '2024-01-02T03:04:05'", "mixed", "2024-01-01_00:00:00 2024-01-01_10:00:00+00:00 2024-01-02_03:04:05"},
		{"datetime", "'2024-01-01T10:00:00Z', null, '2024-01-01 10:00:00 +0530 IST'", "timestamptz", "2024-01-01_10:00:00+00:00 NULL 2024-01-01_04:30:00+00:00"},
		{"datetime", "null, '2024-01-01 10:00:00.1234567+05:30'", "timestamptz_ns", "NULL 2024-01-01_04:30:00.1234567+00:00"},
		{"datetime", "null, '2024-01-01 10:00:00', '2024-01-01 10:00:00.0000001Z'", "mixed", "NULL 2024-01-01_10:00:00 2024-01-01_10:00:00.0000001+00:00"},
		{"datetime", "'2024-01-01 10:00:00Z', '2024-01-01 10:00:00', 'n/a'", "mixed", "2024-01-01_10:00:00+00:00 2024-01-01_10:00:00 n/a"},
		{"datetime", "'0000-01-01 00:00:00+05:30', '2024-01-01 00:00:00Z'", "timestamptz", "-0001-12-31_18:30:00+00:00 2024-01-01_00:00:00+00:00"},
		{"date", "'2024-02-29 00:00:00', '2024-02-29T00:00:00.000Z', '2024-02-29'", "date", "2024-02-29 2024-02-29 2024-02-29"},
		{"date", "'2024-02-29 00:00:00', '2024-02-29 12:00:00'", "mixed", "2024-02-29 2024-02-29_12:00:00"},
		{"datetime", "'2024-01-01 10:00', '2024-01-01 00:00:00.1234567'", "timestamp_ns", "2024-01-01_10:00:00 2024-01-01_00:00:00.1234567"},
		{"datetime", "'2024-01-01 10:00:00.5', '9999-12-31 23:59:59.9999999'", "mixed", "2024-01-01_10:00:00.5 9999-12-31_23:59:59.9999999"},
		{"datetime", "'2024-01-01 00:00:00.0000000001'", "mixed", "2024-01-01_00:00:00.0000000001"},
		{"timestamptz", "'2024-01-01 00:00:00+05:30', '2024-01-01 00:00:00'", "mixed", "2023-12-31_18:30:00+00:00 2024-01-01_00:00:00"},
		{"timestamptz", "'2024-01-01 00:00:00.0000001+05:30', 'n/a'", "mixed", "2023-12-31_18:30:00.0000001+00:00 n/a"},
		{"time", "'10:00', '23:59:59.9999999'", "time_ns", "10:00:00 23:59:59.9999999"},
		{"time", "'10:00', '25:00'", "mixed", "10:00:00 25:00"},
		{"text", "'a', 7, 0.5", "text", "a 7 0.5"},
		{"text", "cast(x'ff41' as text), ''", "mixed", "0xff41 "},
		{"text", "'a' || char(0) || 'b', cast(x'c328' as text)", "mixed", "a\x00b 0xc328"},
		{"blob", "x'00', 'plain', 7", "mixed", "0x00 plain 7"},
		{"", "null, 'a', 1", "text", "NULL a 1"},
		{"", "null, null", "int", "NULL NULL"},
		{"", "0.5, 1", "float", "0.5 1"},
		{"", "1, 2.5, 'a', x'00ff'", "mixed", "1 2.5 a 0x00ff"},
		{"", "x'00ff', null, x''", "binary", "0x00ff NULL 0x"},
		{"", "x'00ff', 'a', 5", "text", "0x00ff a 5"},
		{"", "1000000000000000, 0.5, 'a'", "text", "1000000000000000 0.5 a"},
		{"", "1000000000000000, 0.5, x'00', 'a', 5", "mixed", "1000000000000000 0.5 0x00 a 5"},
		{"", "999999999999999, 0.5, 1000000000000000", "mixed", "999999999999999 0.5 1000000000000000"},
		{"decimal(14,2)", "0.1, 0.30000000000000004, 1e-320, 9e999, -0.0", "mixed", "0.10 0.30000000000000004 1e-320 Infinity 0.00"},
		{"decimal(38,20)", "0.1, 0.30000000000000004", "mixed", "0.10000000000000000000 0.30000000000000004"},
		{"money", "1, 0.1, 2.505", "numeric", "1 0.1 2.505"},
		{"money", "1, 0.1, 0.30000000000000004", "mixed", "1 0.1 0.30000000000000004"},
		{"phone", "null, '+91 471 123', 42", "text", "NULL +91_471_123 42"},
	} {
		t.Run(c.declared+" "+c.values, func(t *testing.T) {
			table := "create table t (n integer primary key, v " + c.declared + ")"
			var inserts []string
			for v := range strings.SplitSeq(c.values, ", ") {
				inserts = append(inserts, "insert into t (v) values ("+v+")")
			}
			rows, types := texts(t, open(t, "sqlite", createSQLite(t, append([]string{table}, inserts...)...), "select v from t order by n"), 0, 100)
			want := strings.Split(c.want, " ")
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], "_", " ")
			}
			same(t, "values", rows, want)
			same(t, "type", types, []string{c.typ})
		})
	}
}

// A column of booleans with something else says what makes numbers of it.
func TestSQLiteOddBooleans(t *testing.T) {
	s := open(t, "sqlite", createSQLite(t, "create table t (paid boolean, ok boolean)", "insert into t values (2, 1), (1, 0), ('yes', null)"), "select * from t")
	rows, _ := texts(t, s, 0, 10)
	same(t, "rows", rows, []string{"2|true", "true|false", "yes|NULL"})
	same(t, "notes", s.(pipeline.NotingSession).Notes(0), []string{
		"paid is declared as a boolean, and 2 of its values are neither 0 nor 1: to have numbers, write cast(paid as integer) in the query"})
}

// The first batch that is not all NULL says what a column is that nobody declared, whatever comes later.
func TestSQLiteKindIsFound(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{"null, null | 1, 2 | 'a', 2.5", "int int mixed"},
		{"null, null | 1, 'b' | 7, null | x'00', 8", "int text text mixed"},
		{"x'00', null | 'a', x'01'", "binary mixed"},
		{"0.5, 1 | 2, 3 | null, null", "float int int"},
		{"null, null | null, null", "int int"},
	} {
		var inserts []string
		for v := range strings.SplitSeq(strings.ReplaceAll(c.values, " |", ","), ", ") {
			inserts = append(inserts, "insert into t values ("+v+")")
		}
		s := open(t, "sqlite", createSQLite(t, append([]string{"create table t (v)"}, inserts...)...), "select v from t order by rowid")
		var got []string
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(b *columnar.Builder) bool { return b.Rows() == 2 }, func(b *columnar.Builder) error {
			if b.Rows() > 0 {
				got = append(got, b.Column(0).Kind.String())
			}
			b.Reset()
			return nil
		})
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: batches are %q, want %s (%v)", c.values, got, c.want, err)
		}
	}
}

// A column that holds text in row 900,000 after integers costs one batch its type, not the run.
func TestSQLiteLateText(t *testing.T) {
	s := open(t, "sqlite", createSQLite(t, "create table t (v int)", fmt.Sprintf("insert into t select n from ("+sqliteSeries+")", 900_000), "insert into t values ('n/a')",
		"insert into t values (-1)"), "select v from t order by rowid")
	kinds := map[columnar.Kind]int{}
	rows, last := 0, ""
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(b *columnar.Builder) bool { return b.Rows() == 10_000 }, func(b *columnar.Builder) error {
		if b.Rows() > 0 {
			kinds[b.Column(0).Kind]++
		}
		rows += b.Rows()
		if b.Rows() == 2 { // the last batch
			body, err := b.Encode()
			if err != nil {
				return err
			}
			batch, err := columnar.Decode(body)
			if err != nil {
				return err
			}
			for i := range batch.Rows {
				last += " " + string(batch.Cols[0].AppendText(nil, i, nil))
			}
		}
		b.Reset()
		return nil
	})
	if err != nil || rows != 900_002 || kinds[columnar.Int] != 90 || kinds[columnar.Mixed] != 1 || last != " n/a -1" {
		t.Errorf("%d rows, batches %v, the last%s: %v", rows, kinds, last, err)
	}
}
