package stages_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// A declared type decides a column's kind by its words.
func TestSQLiteDeclaredTypes(t *testing.T) {
	types := [][2]string{
		{"INTEGER", "int"}, {"int", "int"}, {"BIGINT", "int"}, {"UNSIGNED BIG INT", "int"}, {"TINYINT(1)", "int"},
		{"BOOL", "bool"}, {"Boolean", "bool"}, {"DECIMAL(14,2)", "decimal(14,2)"}, {"NUMERIC( 38 , 10 )", "decimal(38,10)"}, {"decimal(9)", "decimal(9,0)"},
		{"DECIMAL(50,2)", "numeric"}, {"NUMERIC", "numeric"}, {"MONEY", "numeric"}, {"REAL", "float"}, {"DOUBLE PRECISION", "float"}, {"FLOAT", "float"},
		{"DATE", "date"}, {"TIME", "time"}, {"DATETIME", "timestamp"}, {"TIMESTAMP", "timestamp"}, {"TIMESTAMP WITHOUT TIME ZONE", "timestamp"},
		{"TIMESTAMPTZ", "timestamptz"}, {"TIMESTAMP WITH TIME ZONE", "timestamptz"}, {"VARCHAR(20)", "text"}, {"TEXT", "text"}, {"NCLOB", "text"},
		{"JSON", "text"}, {"BLOB", "binary"}, {"VARBINARY(16)", "binary"}, {"", "int"}, {"SOMETHING", "int"},
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

// SQLite stores anything anywhere. What does not fit its column's type widens that batch and nothing is rounded; the text of
// the values around it does not change.
func TestSQLiteWidening(t *testing.T) {
	for _, c := range []struct {
		declared string
		values   string // of one batch, as SQL
		typ      string // of that batch
		want     string
	}{
		{"int", "1, 2.5, 3", "float", "1 2.5 3"},
		{"int", "1, 9007199254740993, 2.5", "numeric", "1 9007199254740993 2.5"},
		{"int", "1, 2.5, 9007199254740993", "numeric", "1 2.5 9007199254740993"},
		{"int", "1, 'n/a', 3", "numeric", "1 n/a 3"},
		{"int", "1, x'00ff', 3.5", "text", "1 0x00ff 3.5"},
		{"int", "null, 1e300", "float", "NULL 1e+300"},
		{"boolean", "1, 0, null", "bool", "true false NULL"},
		{"boolean", "1, 2, 0", "text", "true 2 false"},
		{"boolean", "'yes', 1, 0.5", "text", "yes true 0.5"},
		{"decimal(14,2)", "1, 2.5, 0.01", "decimal(14,2)", "1.00 2.50 0.01"},
		{"decimal(14,2)", "1, 2.505, 3.1, 4", "numeric", "1.00 2.505 3.10 4.00"},
		{"decimal(14,2)", "1, 1e12, 2", "numeric", "1.00 1000000000000 2.00"},
		{"decimal(14,2)", "1, 'n/a', 3.1, 4", "numeric", "1.00 n/a 3.10 4.00"},
		{"decimal(14,2)", "-0.1, 70.35, 999999999999.99", "decimal(14,2)", "-0.10 70.35 999999999999.99"},
		{"decimal(38,0)", "9223372036854775807, -9223372036854775808", "decimal(38,0)", "9223372036854775807 -9223372036854775808"},
		{"decimal(38,30)", "5, 0.5", "decimal(38,30)", "5.000000000000000000000000000000 0.500000000000000000000000000000"},
		{"numeric", "1, 2.5, 'n/a'", "numeric", "1 2.5 n/a"},
		{"real", "0.5, 3", "float", "0.5 3"},
		{"real", "0.5, 'n/a', 3", "numeric", "0.5 n/a 3"},
		{"date", "'2024-02-29', '2024-1-1', '2023-02-29', 20240101, '2024-03-01'", "text", "2024-02-29 2024-1-1 2023-02-29 20240101 2024-03-01"},
		{"datetime", "'2024-01-01T10:00', '2024-01-02 00:00:00.100000000'", "timestamp", "2024-01-01_10:00:00 2024-01-02_00:00:00.1"},
		{"datetime", "'2024-01-01', '2024-01-01 10:00Z', '2024-01-02T03:04:05'", "text", "2024-01-01_00:00:00 2024-01-01_10:00Z 2024-01-02_03:04:05"},
		{"datetime", "'2024-01-01 00:00:00.1234567'", "text", "2024-01-01_00:00:00.1234567"},
		{"timestamptz", "'2024-01-01 00:00:00+05:30', '2024-01-01 00:00:00'", "text", "2023-12-31_18:30:00+00:00 2024-01-01_00:00:00"},
		{"time", "'10:00', '25:00'", "text", "10:00:00 25:00"},
		{"text", "'a', 7, 0.5", "text", "a 7 0.5"},
		{"text", "cast(x'ff41' as text), ''", "text", "0xff41 "},
		{"blob", "x'00', 'plain', 7", "text", "0x00 plain 7"},
		{"", "null, 'a', 1", "text", "NULL a 1"},
		{"", "null, null", "int", "NULL NULL"},
		{"", "0.5, 1", "float", "0.5 1"},
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
	if err != nil || rows != 900_002 || kinds[columnar.Int] != 90 || kinds[columnar.Numeric] != 1 || last != " n/a -1" {
		t.Errorf("%d rows, batches %v, the last%s: %v", rows, kinds, last, err)
	}
}

// What cannot be opened is a permanent error that names the path.
func TestSQLiteOpenErrors(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(note, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "branch 12.db")
	for dsn, want := range map[string]string{
		gone:                         gone,
		"file:" + gone + "?mode=rwc": gone,
		dir:                          "folder",
		note:                         "not a database",
		"":                           "empty",
		":memory:":                   "no such file",
	} {
		_, err := stages.Drivers()["sqlite"].Open(t.Context(), dsn, asQueries([]string{"select 1 from sqlite_master"}))
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) || dsn == note && !strings.Contains(err.Error(), note) {
			t.Errorf("%q: %v", dsn, err)
		}
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("a missing database was created")
	}
}

// A database in WAL mode is read while its owner writes, including what is only in the WAL; so are paths with odd characters,
// and a URI cannot ask for more than reading.
func TestSQLiteWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "शाखा 100%.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"pragma journal_mode = wal", "create table t (a int)", "insert into t values (1)", "insert into t values (2)"} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	uri := "file:" + strings.ReplaceAll(filepath.ToSlash(path), "%", "%25") + "?mode=rwc&cache=private"
	for _, dsn := range []string{path, uri} {
		s := open(t, "sqlite", dsn, "select a from t order by a")
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(b *columnar.Builder) bool { return b.Rows() == 1 }, func(b *columnar.Builder) error {
			b.Reset()
			_, err := db.Exec("update t set a = a + 10") // the reader does not stand in the writer's way
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	rows, _ := texts(t, open(t, "sqlite", path, "select count(*), max(a) > 2 from t"), 0, 10)
	same(t, "rows", rows, []string{"2|1"})
}

// A lock that another program holds is waited for, and given back; while it lasts the context can end the wait.
func TestSQLiteLocked(t *testing.T) {
	path := createSQLite(t, "create table t (a int)", "insert into t values (7)")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	owner, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	lock := func(statement string) {
		t.Helper()
		if _, err := owner.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	s := open(t, "sqlite", path, "select a from t")
	lock("begin exclusive")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a lock ended with %v", err)
	}

	go func() {
		result <- s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			if b.Rows() != 1 {
				return fmt.Errorf("%d rows", b.Rows())
			}
			return nil
		})
	}()
	lock("rollback")
	if err := <-result; err != nil {
		t.Error(err)
	}
	lock("begin exclusive") // would fail if the reader had kept its lock
	lock("rollback")
}

// A table that changes its columns between describing and streaming is noticed; the next attempt describes it anew.
func TestSQLiteChangedTable(t *testing.T) {
	path := createSQLite(t, "create table t (a int)", "insert into t values (7)")
	s := open(t, "sqlite", path, "select * from t")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("alter table t add column b int"); err != nil {
		t.Fatal(err)
	}
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
	if err == nil || pipeline.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
}

func createSQLiteBench(b *testing.B) string {
	return createSQLite(b, `create table sale(id integer primary key, invoice text, gstin text, hsn text, customer text, quantity int, unit_price decimal(14,2), taxable decimal(14,2),
	cgst decimal(14,2), sgst decimal(14,2), igst decimal(14,2), invoice_date date, created timestamp, paid boolean, note text)`,
		fmt.Sprintf(`with recursive t(n) as (select 1 union all select n + 1 from t where n < %d) insert into sale select n, 'INV-' || printf('%%08d', n), '27AAPFU0939F1ZV', '8471',
	'Customer ' || (n %% 1000), n %% 50, n %% 10000 / 100.0, n * 3 %% 1000000 / 100.0, n %% 999 / 100.0, n %% 999 / 100.0, 0, date('2024-01-01', '+' || (n %% 365) || ' days'),
	datetime('2024-01-01', '+' || n || ' minutes'), n %% 2, case when n %% 3 = 0 then 'a note' end from t`, benchRows))
}

func BenchmarkSQLiteRead(b *testing.B) {
	path := createSQLiteBench(b)
	b.ResetTimer()
	benchStage(b, "sqlite", path, false)
}

func BenchmarkSQLiteReadAndEncode(b *testing.B) {
	path := createSQLiteBench(b)
	b.ResetTimer()
	benchStage(b, "sqlite", path, true)
}

// BenchmarkSQLiteDatabaseSQL is the peer: the same library behind database/sql, rows scanned and not looked at.
func BenchmarkSQLiteDatabaseSQL(b *testing.B) {
	db, err := sql.Open("sqlite", createSQLiteBench(b))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	values, targets := make([]any, 15), make([]any, 15)
	for i := range values {
		targets[i] = &values[i]
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		rows, err := db.Query(benchQuery)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for ; rows.Next(); n++ {
			if err := rows.Scan(targets...); err != nil {
				b.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil || n != benchRows {
			b.Fatal(n, err)
		}
	}
	reportRows(b)
}
