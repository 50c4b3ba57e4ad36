package stages_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fanmill/internal/testdb"
)

func init() {
	databases = append(databases, database{
		driver: "mysql",
		server: "M", // MariaDB or MySQL
		dsn:    func(t testing.TB) string { return createMySQL(t, mysqlKinds...) },
		hosts: map[string]string{
			"me:pw@tcp(Branch.example)/db":                        "branch.example:3306",
			"me:p:w@d@tcp([::1]:3307)/db?tls=true":                "[::1]:3307",
			"mysql://me:pw@Branch.example/db":                     "branch.example:3306",
			"mariadb://me:p%40w@10.0.0.1:3307/db?tls=skip-verify": "10.0.0.1:3307",
			"me:pw@unix(/run/mysqld/mysqld.sock)/db":              "",
			"mysql://me:pw@/db?socket=/run/mysqld/mysqld.sock":    "",
			"mysql://me:p/w@127.0.0.1/db@":                        "",
		},
		series: mysqlSeries,
		endless: func() string {
			number, from := mysqlNumbers(18)
			return "select count(*) from " + from + " where (" + number + ") % 7 = 8"
		}(),
		write: "insert into t values (1) returning a",
		params: `select :i, case when 12.5 = :d then 'equal' end, case when :day = date '2024-02-29' then 'equal' end, :txt, case when :b then 'yes' else 'no' end,
			case when :none is null then 'null' end, :i, ':i' # :i`,
		noTable: `nowhere' doesn't exist (error 1146`,
		syntax:  "You have an error in your SQL syntax",
		wrongPassword: func(t testing.TB) (dsn, password, words string) {
			c := testdb.MariaDB(t).Config()
			c.Passwd = "s3cr3t/p@ss"
			return c.FormatDSN(), "s3cr3t", "Access denied for user '" + c.User
		},
		busy:     func(t testing.TB, dsn string, n int) { mysqlActivity(t, dsn, "command <> 'Sleep'", n) },
		sessions: func(t testing.TB, dsn string, n int) { mysqlActivity(t, dsn, "true", n) },
		kill: func(t testing.TB, dsn string) {
			if err := testdb.MariaDB(t).TerminateSessions(t.Context(), dsn); err != nil {
				t.Error(err)
			}
		},
		exec: func(t testing.TB, dsn, statement string) { testdb.MariaDB(t).MustExec(t, dsn, statement) },
	})
}

var mysqlKinds = []string{
	`create table t (a int)`,
	`create table kinds (id int, b bit(1), i bigint, f double, d decimal(14,2), day date, clock time(6), ts datetime(6), moment timestamp(6) null, txt text, bin varbinary(20))`,
	`insert into kinds values
		(1, true, 9007199254740993, 0.1, 12.3, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29 06:30:00', 'नमस्ते, "x"', x'00ff'),
		(2, false, -9223372036854775808, -1e300, -999999999999.99, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1999-12-31 23:59:59', '', ''),
		(3, null, null, null, null, null, null, null, null, null, null),
		(4, true, 9223372036854775807, 1e-7, 0, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 03:00:00.5', '\ta\n', x'deadbeef')`,
}

// mysqlNumbers is an expression for the numbers 1 to 10^digits and the joins that make them. It streams on every
// version, where a recursive query or a subquery with a limit is made in full first.
func mysqlNumbers(digits int) (number, from string) {
	var sum, joins []string
	for i := range digits {
		sum = append(sum, fmt.Sprintf("d%d.d * 1%s", i, strings.Repeat("0", i)))
		joins = append(joins, fmt.Sprintf("(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 "+
			"union all select 6 union all select 7 union all select 8 union all select 9) as d%d", i))
	}
	return "1 + " + strings.Join(sum, " + "), strings.Join(joins, " cross join ")
}

func mysqlSeries(n int) string {
	number, from := mysqlNumbers(9)
	return fmt.Sprintf("select %[1]s as n, cast((%[1]s) / 100 as decimal(14,2)) as amount, concat('row ', %[1]s) as name from %[2]s limit %[3]d", number, from, n)
}

func createMySQL(t testing.TB, statements ...string) string {
	t.Helper()
	m := testdb.MariaDB(t)
	dsn := m.NewDatabase(t)
	if len(statements) > 0 {
		m.MustExec(t, dsn, strings.Join(statements, ";"))
	}
	return dsn
}

// mysqlActivity waits until n sessions of a database that match a condition are there. It asks from none.
func mysqlActivity(t testing.TB, dsn, condition string, n int) {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	name := c.DBName
	c.DBName = ""
	db, err := sql.Open("mysql", c.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for got := -1; got != n; {
		if err := db.QueryRowContext(ctx, "select count(*) from information_schema.processlist where db = ? and "+condition, name).Scan(&got); err != nil {
			t.Fatalf("waiting for %d sessions, there are %d: %v", n, got, err)
		}
	}
}
