package stages_test

import (
	"database/sql/driver"
	"fmt"
	"io"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/internal/minitds"
)

// sqlserverSale is the table of the benchmarks as SQL Server has it; the script answers with the same thousand rows again and again, so
// that making them costs next to nothing.
func sqlserverSale(b *testing.B) (dsn string) {
	const block = 1000
	rows := make([][]any, block)
	for n := range rows {
		var note any
		if n%3 == 0 {
			note = "a note"
		}
		rows[n] = []any{n, fmt.Sprintf("INV-%08d", n), "27AAPFU0939F1ZV", "8471", fmt.Sprint("Customer ", n), n % 50, fmt.Sprintf("%d.%02d", n*7, n%100), fmt.Sprintf("%d.%02d", n*21, n%100),
			fmt.Sprintf("%d.%02d", n%9, n%100), fmt.Sprintf("%d.%02d", n%9, n%100), "0", fmt.Sprintf("2024-%02d-%02d", 1+n%12, 1+n%28), fmt.Sprintf("2024-%02d-%02d 12:%02d:56.5", 1+n%12, 1+n%28, n%60), n%2 == 0, note}
	}
	amount := minitds.Decimal(14, 2)
	script.add(benchQuery, minitds.Answer{Rows: rows, Times: benchRows / block, Columns: []minitds.Column{{Name: "id", Type: minitds.BigInt, NotNull: true}, {Name: "invoice", Type: minitds.NVarChar(20)},
		{Name: "gstin", Type: minitds.VarChar(15)}, {Name: "hsn", Type: minitds.VarChar(8)}, {Name: "customer", Type: minitds.NVarChar(50)}, {Name: "quantity", Type: minitds.Int}, {Name: "unit_price", Type: amount},
		{Name: "taxable", Type: amount}, {Name: "cgst", Type: amount}, {Name: "sgst", Type: amount}, {Name: "igst", Type: amount}, {Name: "invoice_date", Type: minitds.Date},
		{Name: "created", Type: minitds.DateTime2(3)}, {Name: "paid", Type: minitds.Bit}, {Name: "note", Type: minitds.NVarChar(100)}}})
	return sqlserverDSN(scripted(b, minitds.Config{}).Addr(), sqlserverPassword, "encrypt=disable")
}

func BenchmarkSQLServerRead(b *testing.B) {
	dsn := sqlserverSale(b)
	b.ResetTimer()
	benchStage(b, "sqlserver", dsn, false)
}

func BenchmarkSQLServerReadAndEncode(b *testing.B) {
	dsn := sqlserverSale(b)
	b.ResetTimer()
	benchStage(b, "sqlserver", dsn, true)
}

// BenchmarkSQLServerDriver is the peer: the driver's own rows, read and not looked at, in packets of the driver's size and of ours.
func BenchmarkSQLServerDriver(b *testing.B) {
	for _, packet := range []int{4096, 8000} {
		b.Run(fmt.Sprint(packet), func(b *testing.B) {
			connector, err := mssql.NewConnector(fmt.Sprintf("%s&packet+size=%d", sqlserverDSN(scripted(b, minitds.Config{}).Addr(), sqlserverPassword, "encrypt=disable"), packet))
			if err != nil {
				b.Fatal(err)
			}
			sqlserverSale(b)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if n := readAll(b, connector); n != benchRows {
					b.Fatal(n)
				}
			}
			reportRows(b)
		})
	}
}

func readAll(b *testing.B, connector *mssql.Connector) (n int) {
	conn, err := connector.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	stmt, err := conn.Prepare(benchQuery)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); err {
		case nil:
			n++
		case io.EOF:
			return n
		default:
			b.Fatal(err)
		}
	}
}
