package gst_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/gst"
)

func generate(t testing.TB, dir string, branches, rows int, seed uint64) []gst.Branch {
	t.Helper()
	out, err := gst.Generate(context.Background(), dir, branches, rows, seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The same seed gives the same databases to the byte, whichever core makes which; another seed gives others.
func TestGenerateIsDeterministic(t *testing.T) {
	a, b, c := generate(t, t.TempDir(), 5, 200, 1), generate(t, t.TempDir(), 5, 200, 1), generate(t, t.TempDir(), 5, 200, 2)
	for i := range a {
		x, y, z := read(t, a[i].Path), read(t, b[i].Path), read(t, c[i].Path)
		if !bytes.Equal(x, y) || bytes.Equal(x, z) || a[i].Rows != b[i].Rows {
			t.Errorf("branch %d: same seed equal %v, other seed equal %v", i, bytes.Equal(x, y), bytes.Equal(x, z))
		}
		if i > 0 && bytes.Equal(x, read(t, a[i-1].Path)) {
			t.Errorf("branches %d and %d are alike", i-1, i)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Amounts add up to the paisa, numbers that are text stay text, and every awkward value is there.
func TestSalesAreConsistent(t *testing.T) {
	dir := t.TempDir()
	branches := generate(t, dir, 3, 1000, 7)
	for _, b := range branches {
		db, err := sql.Open("sqlite", b.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if b.Rows < 800 || b.Rows > 1200 {
			t.Errorf("%s has %d rows, want 1000 give or take a fifth", b.Name, b.Rows)
		}
		for _, c := range []struct {
			sql  string
			want int
		}{
			{"select count(*) from sale", b.Rows},
			{"select count(*) from sale where branch = '" + b.Name + "'", b.Rows},
			{"select count(*) from sale where round(quantity * rate, 2) - taxable_value not between -0.011 and 0.011", 0},
			{"select count(*) from sale where abs(cgst + sgst + igst - taxable_value * gst_rate / 100.0) > 0.0101", 0},
			{"select count(*) from sale where abs(taxable_value + cgst + sgst + igst - total) > 0.001", 0},
			{"select count(*) from sale where igst > 0 and cgst + sgst > 0", 0},
			{"select count(*) from sale where cgst <> sgst", 0},
			{"select count(*) from sale where typeof(invoice_no) <> 'text' or invoice_no not like '______/__-__'", 0},
			{"select count(*) from sale where ack_no <> '' and length(ack_no) <> 16", 0},
			{"select count(*) from sale where date(invoice_date) is null or date(created_at) <> invoice_date", 0},
		} {
			if got := count(t, db, c.sql); got != c.want {
				t.Errorf("%s: %s = %d, want %d", b.Name, c.sql, got, c.want)
			}
		}
		for _, some := range []string{"igst > 0", "cgst > 0", "gstin is null", "hsn like '0%'", "remarks is null", "remarks = ''", "remarks like '%\"%'",
			"remarks like '%' || char(10) || '%'", "customer like '%श%'", "customer like '%ட%'", "customer like '%ট%'", "customer like '%ટ%'", "ack_no = ''"} {
			if count(t, db, "select count(*) from sale where "+some) == 0 {
				t.Errorf("%s has no sale with %s", b.Name, some)
			}
		}
		checkGSTINs(t, db)
	}
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func checkGSTINs(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := db.Query("select distinct gstin, place_of_supply from sale where gstin is not null")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var g, place string
		if err := rows.Scan(&g, &place); err != nil {
			t.Fatal(err)
		}
		if len(g) != 15 || g[:2] != place[:2] || g[14] != gst.CheckDigit(g[:14]) {
			t.Errorf("GSTIN %s of %s", g, place)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// The check digit is the published one: the example numbers are from the tax authority's own guides.
func TestCheckDigit(t *testing.T) {
	for _, g := range []string{"27AAPFU0939F1ZV", "29AAGCB7383J1Z4"} {
		if got := gst.CheckDigit(g[:14]); got != g[14] {
			t.Errorf("%s: got %c", g, got)
		}
	}
}

// A run that is stopped leaves no database that looks complete, and says why it ended.
func TestGenerateStops(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := gst.Generate(ctx, dir, 50, 50, 1, func(done int) {
		if done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) < 3 || len(left) == 50 {
		t.Errorf("%d files left", len(left))
	}
	for _, path := range left {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("%s is left", path)
		}
	}
}

func TestNamesArePadded(t *testing.T) {
	out := generate(t, t.TempDir(), 2, 0, 1)
	if b := out[1]; b.ID != "conn_2" || b.Name != "Branch_002" || filepath.Base(b.Path) != "branch_002.db" || b.Rows != 0 {
		t.Errorf("got %+v", b)
	}
}

// BenchmarkDemo makes the data of the demo: 56 branches of 2,000 sales.
func BenchmarkDemo(b *testing.B) {
	for b.Loop() {
		generate(b, b.TempDir(), 56, 2000, 1)
	}
	b.ReportMetric(float64(b.N)*56*2000/b.Elapsed().Seconds(), "rows/s")
}

func ExamplePostgresTable() {
	fmt.Println(strings.SplitN(gst.PostgresTable("bench.sale", 1000), "\n", 2)[0])
	// Output: DROP TABLE IF EXISTS "bench"."sale";
}
