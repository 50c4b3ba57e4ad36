package gst

import (
	"fmt"
	"strings"
)

// PostgresTable is SQL that makes the table of the benchmarks in PostgreSQL, of 15 columns: ids, text, dates, numeric(14,2),
// timestamptz. It holds the same rows each time; a table of that name is replaced. The table may be qualified (a.b).
func PostgresTable(table string, rows int) string {
	parts := strings.Split(table, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	name := strings.Join(parts, ".")
	// h scatters the rows' numbers without random(): Knuth's multiplicative hash modulo 2^31.
	return fmt.Sprintf(`DROP TABLE IF EXISTS %[1]s;
CREATE UNLOGGED TABLE %[1]s (
  id bigint NOT NULL, invoice_no text NOT NULL, ack_no text, customer_id integer NOT NULL, customer text NOT NULL,
  gstin text, place_of_supply text NOT NULL, hsn text NOT NULL, invoice_date date NOT NULL, due_date date,
  taxable_value numeric(14,2) NOT NULL, cgst numeric(14,2) NOT NULL, sgst numeric(14,2) NOT NULL, total numeric(14,2) NOT NULL,
  created_at timestamptz NOT NULL);
INSERT INTO %[1]s
SELECT i, lpad(i::text, 8, '0') || '/24-25', (1000000000000000 + h * 4000001)::text, h %% 5000, 'Customer ' || h %% 5000,
  CASE WHEN h %% 5 > 0 THEN '27ABCDE' || lpad((h %% 10000)::text, 4, '0') || 'F1Z5' END, (ARRAY['27-Maharashtra','29-Karnataka','33-Tamil Nadu','24-Gujarat'])[1 + h %% 4],
  lpad((h %% 9000 + 100)::text, 4, '0'), date '2024-04-01' + (h %% 365)::integer, CASE WHEN h %% 7 > 0 THEN date '2024-05-01' + (h %% 365)::integer END,
  t, round(t * 0.09, 2), round(t * 0.09, 2), t + 2 * round(t * 0.09, 2),
  timestamptz '2024-04-01 09:00:00+05:30' + h %% 31536000 * interval '1 second' + h %% 1000000 * interval '1 microsecond'
FROM (SELECT i, h, (h %% 100000000 + 100)::numeric(14,2) / 100 AS t FROM (SELECT i, i * 2654435761 %% 2147483648 AS h FROM generate_series(1::bigint, %[2]d) AS i) a) b;
ANALYZE %[1]s;
`, name, rows)
}
