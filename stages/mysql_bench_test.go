package stages_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// mysqlSale is the table of the benchmarks, with the columns and kinds of values of the one in PostgreSQL.
var mysqlSale = []string{`create table sale (id bigint primary key, invoice text, gstin text, hsn text, customer text, quantity int, unit_price decimal(14,2),
	taxable decimal(14,2), cgst decimal(14,2), sgst decimal(14,2), igst decimal(14,2), invoice_date date, created timestamp(6) null, paid boolean, note text)`,
	func() string {
		number, from := mysqlNumbers(6)
		return fmt.Sprintf(`insert into sale select n, concat('INV-', lpad(n, 8, '0')), '27AAPFU0939F1ZV', '8471', concat('Customer ', n %% 1000), n %% 50, n %% 10000 / 100.0,
	n * 3 %% 1000000 / 100.0, n %% 999 / 100.0, n %% 999 / 100.0, 0, date '2024-01-01' + interval n %% 365 day, timestamp '2024-01-01 00:00:00' + interval n * 61500 * 1000 microsecond,
	n %% 2 = 0, case when n %% 3 = 0 then 'a note' end from (select %s as n from %s) as s where n <= %d`, number, from, benchRows)
	}(),
	`analyze table sale`}

func BenchmarkMySQLRead(b *testing.B) {
	dsn := createMySQL(b, mysqlSale...)
	b.ResetTimer()
	benchStage(b, "mysql", dsn, false)
}

func BenchmarkMySQLReadAndEncode(b *testing.B) {
	dsn := createMySQL(b, mysqlSale...)
	b.ResetTimer()
	benchStage(b, "mysql", dsn, true)
}

// BenchmarkMySQLDriverText is the peer: github.com/go-sql-driver/mysql without database/sql, its text protocol, rows read and not
// looked at.
func BenchmarkMySQLDriverText(b *testing.B) {
	benchMySQLDriver(b, func(c driver.Conn) (driver.Rows, error) {
		return c.(driver.QueryerContext).QueryContext(context.Background(), benchQuery, nil)
	})
}

// BenchmarkMySQLDriverBinary is the same with a prepared statement, which has the binary protocol.
func BenchmarkMySQLDriverBinary(b *testing.B) {
	benchMySQLDriver(b, func(c driver.Conn) (driver.Rows, error) {
		stmt, err := c.Prepare(benchQuery)
		if err != nil {
			return nil, err
		}
		return stmt.(driver.StmtQueryContext).QueryContext(context.Background(), nil)
	})
}

func benchMySQLDriver(b *testing.B, query func(driver.Conn) (driver.Rows, error)) {
	c, err := mysql.ParseDSN(createMySQL(b, mysqlSale...))
	if err != nil {
		b.Fatal(err)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := connector.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		rows, err := query(conn)
		if err != nil {
			b.Fatal(err)
		}
		values := make([]driver.Value, len(rows.Columns()))
		n := 0
		for err = rows.Next(values); err == nil; err = rows.Next(values) {
			n++
		}
		if err != io.EOF || n != benchRows {
			b.Fatal(n, err)
		}
	}
	reportRows(b)
}
