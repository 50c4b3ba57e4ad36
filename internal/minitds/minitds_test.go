package minitds_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
	"go.uber.org/goleak"

	"fanmill/internal/minitds"
)

// A server leaves nothing behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, c minitds.Config, h minitds.Handler) (*minitds.Server, *sql.DB) {
	t.Helper()
	s, err := minitds.Start(c, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	db, err := sql.Open("sqlserver", "sqlserver://u:p@"+s.Addr()+"?encrypt=disable&database=d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return s, db
}

// Values of a sql_variant keep the type that they have.
func TestVariant(t *testing.T) {
	of := func(typ minitds.Type, v any) minitds.VariantValue { return minitds.VariantValue{Type: typ, Value: v} }
	rows := [][]any{{of(minitds.Int, -5)}, {of(minitds.Decimal(9, 2), "1.50")}, {of(minitds.NVarChar(10), "é")}, {of(minitds.VarChar(10), "é")}, {of(minitds.Bit, true)},
		{of(minitds.Money, "1.5")}, {of(minitds.Float, 0.5)}, {of(minitds.DateTime2(3), "2024-02-29 12:00:00.5")}, {of(minitds.VarBinary(4), "0x00ff")}, {nil}}
	want := []string{"-5", "1.50", "é", "é", "true", "1.5000", "0.5", "2024-02-29 12:00:00.5 +0000 UTC", "\x00\xff", "<nil>"}
	_, db := start(t, minitds.Config{}, minitds.Script{"select v": {Columns: []minitds.Column{{Name: "v", Type: minitds.Variant}}, Rows: rows}}.Handler())
	r, err := db.Query("select v")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for r.Next() {
		var v any
		if err := r.Scan(&v); err != nil {
			t.Fatal(err)
		}
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		got = append(got, fmt.Sprint(v))
	}
	if r.Err() != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%v: %q, want %q", r.Err(), got, want)
	}
}

// Parameters are recorded with their types and values.
func TestParameters(t *testing.T) {
	s, db := start(t, minitds.Config{}, func(_ context.Context, _ *minitds.Request, w *minitds.Response) error {
		return w.Columns(minitds.Column{Name: "n", Type: minitds.Int})
	})
	r, err := db.Query("select @p1, @p2, @p3, @p4, @p5, @p6, @p7", int64(1<<40), "x世", true, nil, 0.5, []byte{1, 2}, strings.Repeat("y", 5000))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	q := s.Record().Requests[0]
	if q.Procedure != "sp_executesql" || q.SQL != "select @p1, @p2, @p3, @p4, @p5, @p6, @p7" || !strings.HasPrefix(q.Declared, "@p1 bigint,@p2 nvarchar(2),@p3 bit,") {
		t.Errorf("recorded %+v", q)
	}
	want := []minitds.Param{{Name: "@p1", Type: "bigint", Value: int64(1 << 40)}, {Name: "@p2", Type: "nvarchar(2)", Value: "x世"}, {Name: "@p3", Type: "bit", Value: true}, {Name: "@p4", Type: "null", Value: nil},
		{Name: "@p5", Type: "float", Value: 0.5}, {Name: "@p6", Type: "varbinary(2)", Value: []byte{1, 2}}, {Name: "@p7", Type: "nvarchar(max)", Value: strings.Repeat("y", 5000)}}
	if got := fmt.Sprint(q.Params); got != fmt.Sprint(want) {
		t.Errorf("recorded %s, want %v", got, want)
	}
}

// Rows, messages, several results and an error after rows arrive in their order.
func TestResults(t *testing.T) {
	n := []minitds.Column{{Name: "n", Type: minitds.Int}}
	_, db := start(t, minitds.Config{}, minitds.Script{"select n": {Info: "hello", Columns: n, Rows: [][]any{{1}, {2}}, Times: 2, Count: 2, Make: func(i int, row []any) { row[0] = 10 + i },
		Then: &minitds.Answer{Columns: n, Rows: [][]any{{7}}, Err: &minitds.Error{Number: 1205, Message: "victim", Class: 13, State: 51}}}}.Handler())
	r, err := db.Query("select n")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []int
	for more := true; more; more = r.NextResultSet() {
		for r.Next() {
			var v int
			if err := r.Scan(&v); err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
	}
	if fmt.Sprint(got) != "[1 2 1 2 10 11 7]" {
		t.Errorf("rows %v", got)
	}
	var failed mssql.Error
	if !errors.As(r.Err(), &failed) || failed.Number != 1205 || failed.Class != 13 || failed.State != 51 || failed.Message != "victim" {
		t.Errorf("the error is %v", r.Err())
	}
}

// A cancel ends the handler's context and is confirmed; the connection is as good as before.
func TestCancel(t *testing.T) {
	s, db := start(t, minitds.Config{}, minitds.Script{"select n": {Columns: []minitds.Column{{Name: "n", Type: minitds.Int}}, Rows: [][]any{{1}}}, "select wait": {Hang: true}}.Handler())
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(ctx, "select wait")
		result <- err
	}()
	if err := s.Await(t.Context(), func(r minitds.Record) bool { return r.Running == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	var n int
	if err := conn.QueryRowContext(t.Context(), "select n").Scan(&n); err != nil || n != 1 {
		t.Errorf("afterwards %d, %v", n, err)
	}
	if r := s.Record(); r.Attentions != 1 || len(r.Logins) != 1 || r.Running != 0 {
		t.Errorf("recorded %+v", r)
	}
}

// Transactions are told from each other: begun with a level, committed, rolled back.
func TestTransactions(t *testing.T) {
	s, db := start(t, minitds.Config{}, minitds.Script{"select n": {}}.Handler())
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
		if err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	if r := s.Record(); fmt.Sprint(r.Begun) != "[5 5]" || r.Committed != 1 || r.RolledBack != 1 {
		t.Errorf("recorded %+v", r)
	}
}

// Every type is found by the name that SQL has for it.
func TestParseType(t *testing.T) {
	for _, name := range []string{"bit", "decimal(14,2)", "numeric(5,0)", "nvarchar(max)", "varbinary(20)", "datetime2(7)", "time(0)", "money", "uniqueidentifier", "text", "xml", "sql_variant"} {
		if typ, err := minitds.ParseType(name); err != nil || typ.String() != name {
			t.Errorf("%s is %s, %v", name, typ, err)
		}
	}
	for _, name := range []string{"", "decimal(x)", "serial", "char"} {
		if typ, err := minitds.ParseType(name); err == nil {
			t.Errorf("%s is %s", name, typ)
		}
	}
}
