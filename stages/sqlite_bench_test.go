package stages_test

import (
	"database/sql"
	"fmt"
	"testing"
)

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
