package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"fanmill/internal/minitds"
)

// The same table, sale, as gst.PostgresTable makes it, in the other databases: the same rows, in columns of the types that each
// database's own programs would use. The numbers scatter by Knuth's multiplicative hash modulo 2^31; amounts are reckoned in
// hundredths and rounded half up, as PostgreSQL's numeric does.

// mysqlTable is SQL for MySQL and MariaDB. The rows are made in the order of their key, as they come in life.
func mysqlTable(table string, rows int) string {
	number, from := mysqlNumbers(rows)
	return fmt.Sprintf(`DROP TABLE IF EXISTS %[1]s;
CREATE TABLE %[1]s (
  id bigint NOT NULL PRIMARY KEY, invoice_no varchar(20) NOT NULL, ack_no varchar(20), customer_id int NOT NULL, customer varchar(60) NOT NULL,
  gstin varchar(15), place_of_supply varchar(40) NOT NULL, hsn varchar(8) NOT NULL, invoice_date date NOT NULL, due_date date,
  taxable_value decimal(14,2) NOT NULL, cgst decimal(14,2) NOT NULL, sgst decimal(14,2) NOT NULL, total decimal(14,2) NOT NULL,
  created_at datetime(6) NOT NULL);
INSERT INTO %[1]s
SELECT i, concat(lpad(i, 8, '0'), '/24-25'), 1000000000000000 + h * 4000001, h %% 5000, concat('Customer ', h %% 5000),
  CASE WHEN h %% 5 > 0 THEN concat('27ABCDE', lpad(h %% 10000, 4, '0'), 'F1Z5') END, elt(1 + h %% 4, '27-Maharashtra', '29-Karnataka', '33-Tamil Nadu', '24-Gujarat'),
  lpad(h %% 9000 + 100, 4, '0'), date '2024-04-01' + interval h %% 365 day, CASE WHEN h %% 7 > 0 THEN date '2024-05-01' + interval h %% 365 day END,
  p / 100, tax / 100, tax / 100, (p + 2 * tax) / 100,
  timestamp '2024-04-01 03:30:00' + interval h %% 31536000 second + interval h %% 1000000 microsecond
FROM (SELECT i, h, p, (p * 9 + 50) DIV 100 AS tax FROM (SELECT i, h, h %% 100000000 + 100 AS p FROM
  (SELECT i, i * 2654435761 %% 2147483648 AS h FROM (SELECT %[2]s AS i FROM %[3]s) a) b) c) d
WHERE i <= %[4]d ORDER BY i;
ANALYZE TABLE %[1]s;
`, table, number, from, rows)
}

// mysqlNumbers is an expression for the numbers from 1 to a power of ten that is at least rows, and the joins that make them: recursive
// queries have a limit that every version calls something else.
func mysqlNumbers(rows int) (number, from string) {
	var sum, joins []string
	for power, d := 1, 0; power < rows; power, d = power*10, d+1 {
		sum = append(sum, fmt.Sprintf("d%d.d * %d", d, power))
		joins = append(joins, fmt.Sprintf("(SELECT 0 AS d%s) AS d%d", strings.Join([]string{"", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, " UNION ALL SELECT "), d))
	}
	return "1 + " + strings.Join(sum, " + "), strings.Join(joins, " CROSS JOIN ")
}

// sqliteTable is SQL for SQLite, which has no type for an instant.
func sqliteTable(rows int) string {
	return fmt.Sprintf(`CREATE TABLE sale (
  id INTEGER PRIMARY KEY, invoice_no TEXT NOT NULL, ack_no TEXT, customer_id INTEGER NOT NULL, customer TEXT NOT NULL,
  gstin TEXT, place_of_supply TEXT NOT NULL, hsn TEXT NOT NULL, invoice_date DATE NOT NULL, due_date DATE,
  taxable_value DECIMAL(14,2) NOT NULL, cgst DECIMAL(14,2) NOT NULL, sgst DECIMAL(14,2) NOT NULL, total DECIMAL(14,2) NOT NULL,
  created_at DATETIME NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO sale
SELECT i, printf('%%08d', i) || '/24-25', 1000000000000000 + h * 4000001, h %% 5000, 'Customer ' || (h %% 5000),
  CASE WHEN h %% 5 > 0 THEN '27ABCDE' || printf('%%04d', h %% 10000) || 'F1Z5' END,
  CASE h %% 4 WHEN 0 THEN '27-Maharashtra' WHEN 1 THEN '29-Karnataka' WHEN 2 THEN '33-Tamil Nadu' ELSE '24-Gujarat' END,
  printf('%%04d', h %% 9000 + 100), date('2024-04-01', (h %% 365) || ' days'), CASE WHEN h %% 7 > 0 THEN date('2024-05-01', (h %% 365) || ' days') END,
  p / 100.0, tax / 100.0, tax / 100.0, (p + 2 * tax) / 100.0,
  strftime('%%Y-%%m-%%d %%H:%%M:%%S', 1711942200 + h %% 31536000, 'unixepoch') || printf('.%%06d', h %% 1000000)
FROM (SELECT i, h, p, (p * 9 + 50) / 100 AS tax FROM (SELECT i, h, h %% 100000000 + 100 AS p FROM (SELECT i, i * 2654435761 %% 2147483648 AS h FROM n)));
`, rows)
}

// sqlserverColumns are the table's as SQL Server has it.
var sqlserverColumns = func() []minitds.Column {
	amount := minitds.Decimal(14, 2)
	return []minitds.Column{
		{Name: "id", Type: minitds.BigInt, NotNull: true}, {Name: "invoice_no", Type: minitds.NVarChar(20), NotNull: true}, {Name: "ack_no", Type: minitds.NVarChar(20)},
		{Name: "customer_id", Type: minitds.Int, NotNull: true}, {Name: "customer", Type: minitds.NVarChar(60), NotNull: true}, {Name: "gstin", Type: minitds.VarChar(15)},
		{Name: "place_of_supply", Type: minitds.NVarChar(40), NotNull: true}, {Name: "hsn", Type: minitds.VarChar(8), NotNull: true},
		{Name: "invoice_date", Type: minitds.Date, NotNull: true}, {Name: "due_date", Type: minitds.Date},
		{Name: "taxable_value", Type: amount, NotNull: true}, {Name: "cgst", Type: amount, NotNull: true}, {Name: "sgst", Type: amount, NotNull: true},
		{Name: "total", Type: amount, NotNull: true}, {Name: "created_at", Type: minitds.DateTime2(6), NotNull: true}}
}()

var places = []string{"27-Maharashtra", "29-Karnataka", "33-Tamil Nadu", "24-Gujarat"}

// sqlserverRow makes row i, counted from 1.
func sqlserverRow(i int, row []any) {
	h := int64(i) * 2654435761 % (math.MaxInt32 + 1)
	p := h%100_000_000 + 100
	tax := (p*9 + 50) / 100
	day := func(year int, month time.Month) string {
		return time.Date(year, month, 1+int(h%365), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	var gstin, due any
	if h%5 > 0 {
		gstin = fmt.Sprintf("27ABCDE%04dF1Z5", h%10_000)
	}
	if h%7 > 0 {
		due = day(2024, time.May)
	}
	created := time.Date(2024, time.April, 1, 3, 30, int(h%31_536_000), int(h%1_000_000)*1000, time.UTC)
	copy(row, []any{int64(i), fmt.Sprintf("%08d/24-25", i), fmt.Sprint(1_000_000_000_000_000 + h*4_000_001), h % 5000, fmt.Sprint("Customer ", h%5000),
		gstin, places[h%4], fmt.Sprintf("%04d", h%9000+100), day(2024, time.April), due,
		hundredths(p), hundredths(tax), hundredths(tax), hundredths(p + 2*tax), created.Format("2006-01-02 15:04:05.000000")})
}

func hundredths(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }
