package stages_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb" // the suite's own view of a real server

	"fanmill/internal/minitds"
)

// envSQLServer is the DSN of a real SQL Server that the suite runs against, as
// sqlserver://user:password@host:port?... Its user must be allowed to create databases. Without it the suite runs
// against minitds.
const envSQLServer = "FANMILL_TEST_SQLSERVER"

func init() {
	db := database{
		driver: "sqlserver",
		server: "SQL Server",
		hosts: map[string]string{
			"sqlserver://me:pw@Branch.example?database=sales":                      "branch.example:1433",
			"sqlserver://me:pw@Branch.example:1500?database=sales":                 "branch.example:1500",
			"mssql://me:pw@10.0.0.1?database=sales":                                "10.0.0.1:1433",
			"sqlserver://me:pw@Branch.example/SQLEXPRESS?database=sales":           `branch.example\sqlexpress`,
			"sqlserver://me:pw@[::1]:1500?database=sales":                          "[::1]:1500",
			`server=tcp:Branch.example,1500;user id=me;password=pw;database=sales`: "branch.example:1500",
			`Server=Branch.example\Branch;User Id=me;Password=pw;Database=sales`:   `branch.example\branch`,
			`odbc:server=Branch.example;user id=me;password={p;w};database=sales`:  "branch.example:1433",
			"sqlserver://me:pw@Branch.example:1433/sales":                          "",
			"sqlserver://me:p/w@Branch.example?database=sales":                     "",
			"postgres://me:pw@Branch.example/sales":                                "",
		},
		series:  sqlserverSeries,
		endless: "select count_big(*) as n from sys.all_columns a cross join sys.all_columns b cross join sys.all_columns c cross join sys.all_columns d cross join sys.all_columns e",
		params:  sqlserverParams,
		allocs:  15, // the driver's: a row, and the boxes, texts and numbers in it
		noTable: "Invalid object name 'nowhere'",
		syntax:  "selekt",
	}
	if os.Getenv(envSQLServer) != "" {
		realSQLServer(&db)
	} else {
		scriptedSQLServer(&db)
	}
	databases = append(databases, db)
}

const sqlserverParams = `select :i as i, case when 12.5 = :d then 'equal' end as d, case when :day = cast('2024-02-29' as date) then 'equal' end as day, :txt as txt,
	case when :b = 1 then 'yes' else 'no' end as b, case when :none is null then 'null' end as none, :i as again, ':i' as [:i] -- :i`

// sqlserverSeries is a query that a real server makes rows for as they are read; a scripted one is told the answer.
func sqlserverSeries(n int) string {
	text := fmt.Sprintf("select n, cast(n / 100.0 as decimal(14,2)) as amount, 'row ' + cast(n as varchar(20)) as name from (select top (%d) row_number() over (order by (select null)) as n "+
		"from sys.all_columns a cross join sys.all_columns b cross join sys.all_columns c) s", n)
	const block = 1000
	rows := make([][]any, block)
	for i := range rows {
		rows[i] = []any{i + 1, fmt.Sprintf("%d.%02d", (i+1)/100, (i+1)%100), fmt.Sprint("row ", i+1)}
	}
	script.add(text, minitds.Answer{Rows: rows, Times: n / block, Columns: []minitds.Column{{Name: "n", Type: minitds.BigInt}, {Name: "amount", Type: minitds.Decimal(14, 2)}, {Name: "name", Type: minitds.VarChar(24)}}})
	return text
}

// script is what every scripted server answers, besides what a test gives it.
var script = answers{script: minitds.Script{}}

type answers struct {
	mu     sync.Mutex
	script minitds.Script
}

func (a *answers) add(text string, answer minitds.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.script[strings.TrimSpace(text)] = answer
}

func (a *answers) handle(ctx context.Context, q *minitds.Request, w *minitds.Response) error {
	a.mu.Lock()
	now := maps.Clone(a.script)
	a.mu.Unlock()
	return now.Handler()(ctx, q, w)
}

// servers are the scripted servers by their DSN.
var servers sync.Map

const sqlserverPassword = "s3cr3t/p@ss"

// sqlserverDSN is the DSN of a scripted server.
func sqlserverDSN(addr, password, options string) string {
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("fanmill", password), Host: addr, RawQuery: "database=branch&" + options}
	return u.String()
}

// scripted starts a server that answers by script, and stops it when the test ends.
func scripted(t testing.TB, config minitds.Config) *minitds.Server {
	t.Helper()
	config.User, config.Password = "fanmill", sqlserverPassword
	s, err := minitds.Start(config, script.handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func scriptedSQLServer(db *database) {
	for text, answer := range scriptedAnswers() {
		script.add(text, answer)
	}
	script.add(db.endless, minitds.Answer{Columns: []minitds.Column{{Name: "n", Type: minitds.BigInt}}, Hang: true})
	db.dsn = func(t testing.TB) string {
		s := scripted(t, minitds.Config{Databases: []string{"branch"}})
		dsn := sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable")
		servers.Store(dsn, s)
		return dsn
	}
	await := func(t testing.TB, dsn string, f func(minitds.Record) bool) {
		t.Helper()
		s, _ := servers.Load(dsn)
		if err := s.(*minitds.Server).Await(t.Context(), f); err != nil {
			t.Error(err)
		}
	}
	db.busy = func(t testing.TB, dsn string, n int) {
		await(t, dsn, func(r minitds.Record) bool { return r.Running == n })
	}
	db.sessions = func(t testing.TB, dsn string, n int) {
		await(t, dsn, func(r minitds.Record) bool { return r.Open == n })
	}
	db.kill = func(_ testing.TB, dsn string) {
		s, _ := servers.Load(dsn)
		s.(*minitds.Server).Drop()
	}
	db.wrongPassword = func(t testing.TB) (dsn, password, words string) {
		s := scripted(t, minitds.Config{})
		return sqlserverDSN(s.Addr(), "wr0ng;p@ss/", "encrypt=disable"), "wr0ng", "Login failed for user 'fanmill'. (error 18456)"
	}
	db.typed = func(t testing.TB) func(typ, value string) (dsn, query string) {
		dsn, n := db.dsn(t), 0
		return func(typ, value string) (string, string) {
			n++
			query := fmt.Sprintf("select v from %s_%d", strings.ReplaceAll(t.Name(), "/", "_"), n)
			kind, err := minitds.ParseType(typ)
			if err != nil {
				t.Fatal(err)
			}
			script.add(query, minitds.Answer{Columns: []minitds.Column{{Name: "v", Type: kind}}, Rows: [][]any{{sqlserverLiteral(typ, value)}}})
			return dsn, query
		}
	}
}

// sqlserverLiteral is what a server makes of a value in SQL, as far as the suite's go.
func sqlserverLiteral(typ, value string) any {
	switch {
	case value == "null":
		return nil
	case strings.HasPrefix(value, "nchar("):
		return "\x01\t\r\n\x1f\x7f"
	case strings.HasPrefix(value, "replicate("):
		return strings.Repeat("é", 1<<19)
	}
	value = strings.TrimPrefix(value, "N")
	if strings.HasPrefix(value, "'") {
		value = strings.ReplaceAll(strings.Trim(value, "'"), "''", "'")
	}
	if base, size, _ := strings.Cut(typ, "("); base == "char" || base == "nchar" {
		var n int
		_, _ = fmt.Sscan(strings.TrimSuffix(size, ")"), &n)
		value += strings.Repeat(" ", n-len(value))
	}
	return value
}

func scriptedAnswers() minitds.Script {
	id := minitds.Column{Name: "id", Type: minitds.Int, NotNull: true}
	txt := minitds.Column{Name: "txt", Type: minitds.NVarChar(100)}
	day := minitds.Column{Name: "day", Type: minitds.Date}
	text := func(name string) minitds.Column { return minitds.Column{Name: name, Type: minitds.VarChar(5)} }
	matched := strings.NewReplacer(":amount", "CAST(@amount AS decimal(4,2))", ":day", "CAST(@day AS date)", ":yes", "@yes", ":big", "@big", ":words", "@words", ":id", "@id").Replace(qMatch)
	// The query's own ':i' and the comment stay.
	shown := strings.NewReplacer("':i'", "':i'", "[:i] -- :i", "[:i] -- :i", ":i", "@i", ":day", "CAST(@day AS date)", ":d", "CAST(@d AS decimal(4,2))", ":txt", "@txt", ":b", "@b", ":none", "@none").Replace(sqlserverParams)
	is := func(q *minitds.Request, name string, value any) bool {
		p := q.Param(name)
		return p != nil && p.Value == value
	}
	return minitds.Script{
		qKinds: {
			Columns: []minitds.Column{id, {Name: "b", Type: minitds.Bit}, {Name: "i", Type: minitds.BigInt}, {Name: "f", Type: minitds.Float}, {Name: "d", Type: minitds.Decimal(14, 2)}, day,
				{Name: "clock", Type: minitds.Time(6)}, {Name: "ts", Type: minitds.DateTime2(7)}, {Name: "moment", Type: minitds.DateTimeOffset(7)}, txt, {Name: "bin", Type: minitds.VarBinary(20)}},
			Rows: [][]any{
				{1, true, 9007199254740993, 0.1, "12.3", "2024-02-29", "23:59:59.5", "2024-02-29 12:00:00.123456", "2024-02-29 12:00:00+05:30", `नमस्ते, "x"`, "0x00ff"},
				{2, false, -9223372036854775808, -1e300, "-999999999999.99", "0001-01-01", "00:00", "1900-01-01 00:00:00", "1999-12-31 23:59:59+00:00", "", "0x"},
				{3, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
				{4, true, 9223372036854775807, 1e-7, "0", "9999-12-31", "12:34:56", "9999-12-31 23:59:59.999999", "2024-07-01 00:00:00.5-03:00", "\ta\n", "0xdeadbeef"},
			},
		},
		qIDs:   {Columns: []minitds.Column{id}, Rows: [][]any{{1}, {2}}},
		qNone:  {Columns: []minitds.Column{{Name: "t", Type: minitds.NVarChar(100)}, id}},
		qDay:   {Columns: []minitds.Column{day}, Rows: [][]any{{"2024-02-29"}}},
		qCount: {Columns: []minitds.Column{{Name: "n", Type: minitds.Int}}, Rows: [][]any{{0}}},
		matched: {Columns: []minitds.Column{id}, Rows: [][]any{{1}}, Where: func(q *minitds.Request) bool {
			return is(q, "@amount", "12.30") && is(q, "@day", "2024-02-29") && is(q, "@yes", true) && is(q, "@big", int64(9007199254740993)) && is(q, "@words", `नमस्ते, "x"`) && is(q, "@id", int64(1))
		}},
		shown: {
			Columns: []minitds.Column{{Name: "i", Type: minitds.BigInt}, text("d"), text("day"), {Name: "txt", Type: minitds.NVarChar(100)}, text("b"), text("none"), {Name: "again", Type: minitds.BigInt}, text(":i")},
			Rows:    [][]any{{-5, "equal", "equal", `O'Brien said "\:i"; -- 漢字 🙂`, "no", "null", -5, ":i"}},
			Where: func(q *minitds.Request) bool {
				return is(q, "@i", int64(-5)) && is(q, "@d", "12.50") && is(q, "@day", "2024-02-29") && is(q, "@txt", `O'Brien said "\:i"; -- 漢字 🙂`) && is(q, "@b", false) && is(q, "@none", nil)
			},
		},
		"select 1; select 2": {Columns: []minitds.Column{{Type: minitds.Int, NotNull: true}}, Rows: [][]any{{1}}, Then: &minitds.Answer{Columns: []minitds.Column{{Type: minitds.Int, NotNull: true}}, Rows: [][]any{{2}}}},
		"delete from t":      {},
	}
}

// realSQLServer makes the suite use the server of FANMILL_TEST_SQLSERVER.
func realSQLServer(db *database) {
	base := os.Getenv(envSQLServer)
	at := func(name string) string {
		u, err := url.Parse(base)
		if err != nil {
			panic(envSQLServer + " is not a URL")
		}
		q := u.Query()
		q.Set("database", name)
		u.RawQuery = q.Encode()
		return u.String()
	}
	exec := func(t testing.TB, dsn string, statements ...string) {
		t.Helper()
		c, err := sql.Open("sqlserver", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, s := range statements {
			if _, err := c.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	name := func(dsn string) string { u, _ := url.Parse(dsn); return u.Query().Get("database") }
	db.dsn = func(t testing.TB) string {
		n := fmt.Sprintf("fanmill_%d", time.Now().UnixNano())
		exec(t, at("master"), "create database "+n, "alter database "+n+" set allow_snapshot_isolation on")
		t.Cleanup(func() {
			exec(t, at("master"), "alter database "+n+" set single_user with rollback immediate", "drop database "+n)
		})
		exec(t, at(n), "create table t (a int)", `create table kinds (id int, b bit, i bigint, f float, d decimal(14,2), day date, clock time(6), ts datetime2(7), moment datetimeoffset(7), txt nvarchar(100), bin varbinary(20))`,
			`insert into kinds values
			(1, 1, 9007199254740993, 0.1, 12.3, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00+05:30', N'नमस्ते, "x"', 0x00ff),
			(2, 0, -9223372036854775808, -1e300, -999999999999.99, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1999-12-31 23:59:59+00:00', '', 0x),
			(3, null, null, null, null, null, null, null, null, null, null),
			(4, 1, 9223372036854775807, 1e-7, 0, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 00:00:00.5-03:00', char(9) + 'a' + char(10), 0xdeadbeef)`)
		return at(n)
	}
	db.exec = func(t testing.TB, dsn, statement string) { exec(t, dsn, statement) }
	count := func(t testing.TB, dsn, condition string, n int) {
		t.Helper()
		c, err := sql.Open("sqlserver", at("master"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for got := -1; got != n; {
			if err := c.QueryRowContext(ctx, "select count(*) from sys.dm_exec_sessions s left join sys.dm_exec_requests r on r.session_id = s.session_id where s.database_id = db_id(@p1)"+condition, name(dsn)).Scan(&got); err != nil {
				t.Fatalf("waiting for %d sessions, there are %d: %v", n, got, err)
			}
		}
	}
	db.busy = func(t testing.TB, dsn string, n int) { count(t, dsn, " and r.session_id is not null", n) }
	db.sessions = func(t testing.TB, dsn string, n int) { count(t, dsn, "", n) }
	db.kill = func(t testing.TB, dsn string) {
		exec(t, at("master"), "declare @k nvarchar(max) = N''; select @k = @k + N'kill ' + cast(session_id as nvarchar(10)) + N';' from sys.dm_exec_sessions where database_id = db_id('"+name(dsn)+"'); exec(@k)")
	}
	db.wrongPassword = func(t testing.TB) (dsn, password, words string) {
		u, _ := url.Parse(base)
		u.User = url.UserPassword(u.User.Username(), "wr0ng;p@ss/")
		return u.String(), "wr0ng", "Login failed"
	}
}
