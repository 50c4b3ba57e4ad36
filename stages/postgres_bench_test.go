package stages_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// The table of the benchmarks: 15 columns as branches have them.
const (
	benchRows  = 300_000
	benchQuery = "select * from sale"
	benchTable = `create table sale (id bigint primary key, invoice text, gstin text, hsn text, customer text, quantity int, unit_price numeric(14,2),
	taxable numeric(14,2), cgst numeric(14,2), sgst numeric(14,2), igst numeric(14,2), invoice_date date, created timestamptz, paid boolean, note text);
insert into sale select n, 'INV-' || lpad(n::text, 8, '0'), '27AAPFU0939F1ZV', '8471', 'Customer ' || n % 1000, n % 50, n % 10000 / 100.0, n * 3 % 1000000 / 100.0, n % 999 / 100.0,
	n % 999 / 100.0, 0, date '2024-01-01' + n % 365, timestamptz '2024-01-01 00:00+00' + n * interval '61.5 seconds', n % 2 = 0, case when n % 3 = 0 then 'a note' end
	from generate_series(1, 300000) as n`
)

func benchDatabase(b *testing.B) (*testdb.PG, string) {
	pg := testdb.Postgres(b)
	dsn := pg.NewDatabase(b)
	pg.MustExec(b, dsn, benchTable)
	pg.MustExec(b, dsn, "vacuum analyze sale")
	return pg, dsn
}

func reportRows(b *testing.B) {
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// discard streams one query and throws the batches away; encode also makes the message of each.
func discard(ctx context.Context, driver, dsn, query string, encode bool) (rows int, err error) {
	s, err := stages.Kinds()[driver].Driver.Open(ctx, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: query}}})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	err = s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		rows += b.Rows()
		if encode {
			if _, err := b.Encode(); err != nil {
				return err
			}
		}
		b.Reset()
		return nil
	})
	return rows, err
}

func benchStage(b *testing.B, driver, dsn string, encode bool) {
	b.ReportAllocs()
	for b.Loop() {
		n, err := discard(b.Context(), driver, dsn, benchQuery, encode)
		if err != nil || n != benchRows {
			b.Fatal(n, err)
		}
	}
	reportRows(b)
}

func BenchmarkPostgresRead(b *testing.B) {
	_, dsn := benchDatabase(b)
	b.ResetTimer()
	benchStage(b, "postgres", dsn, false)
}

func BenchmarkPostgresReadAndEncode(b *testing.B) {
	_, dsn := benchDatabase(b)
	b.ResetTimer()
	benchStage(b, "postgres", dsn, true)
}

// BenchmarkPgxRawRows is the peer: pgx's rows read and not looked at.
func BenchmarkPgxRawRows(b *testing.B) {
	_, dsn := benchDatabase(b)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		rows, err := conn.Query(b.Context(), benchQuery)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for rows.Next() {
			if len(rows.RawValues()) > 0 {
				n++
			}
		}
		if rows.Err() != nil || n != benchRows {
			b.Fatal(n, rows.Err())
		}
	}
	reportRows(b)
}

// BenchmarkPgxCopyBinary is COPY in its binary form, thrown away.
func BenchmarkPgxCopyBinary(b *testing.B) {
	_, dsn := benchDatabase(b)
	conn, err := pgconn.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	b.ResetTimer()
	for b.Loop() {
		if _, err := conn.CopyTo(b.Context(), &count{}, "copy ("+benchQuery+") to stdout (format binary)"); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b)
}

type count struct{ n int }

func (c *count) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

// BenchmarkPsqlCopy is psql writing a CSV to a pipe.
func BenchmarkPsqlCopy(b *testing.B) {
	pg, dsn := benchDatabase(b)
	psql, err := pg.Psql()
	if err != nil {
		b.Skip("no psql: ", err)
	}
	b.ResetTimer()
	for b.Loop() {
		cmd := exec.Command(psql, dsn, "-qc", `\copy (`+benchQuery+`) to stdout csv`)
		out := &count{}
		cmd.Stdout = out
		if err := cmd.Run(); err != nil || out.n == 0 {
			b.Fatal(out.n, err)
		}
	}
	reportRows(b)
}
