package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// TestMain lets the test binary be the child that the benchmark starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// A small run measures the parts that need no server, says the machine first and judges every aim.
func TestSmallRun(t *testing.T) {
	var out, problems bytes.Buffer
	args := []string{"-only", "rows,append,parquet", "-rows", "4000", "-runs", "1", "-libxlsxwriter", "off", "-duckdb", "off", "-dir", t.TempDir()}
	if code := Main(args, &out, &problems); code != 0 {
		t.Fatalf("exit code %d: %s", code, problems.String())
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], " cores, ") {
		t.Errorf("the first line is %q", lines[0])
	}
	for _, want := range []string{"[rows]", "[append]", "[parquet]", "excelize StreamWriter", "sheet 40", "libxlsxwriter: left out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if got := strings.Count(out.String(), "  aim: "); got != 3 {
		t.Errorf("%d aims, not 3:\n%s", got, out.String())
	}
	for _, line := range lines {
		if len([]rune(line)) > 100 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
}

// Both contenders write workbooks of the same rows: the comparison is of equals.
func TestContendersWriteTheSameRows(t *testing.T) {
	batch, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	const rows = sampleRows + 7
	ours, theirs := filepath.Join(t.TempDir(), "ours.xlsx"), filepath.Join(t.TempDir(), "theirs.xlsx")
	if err := writeFanmill(ours, batch, rows); err != nil {
		t.Fatal(err)
	}
	if err := writeExcelize(theirs, boxed(batch), rows); err != nil {
		t.Fatal(err)
	}
	a, b := cells(t, ours), cells(t, theirs)
	if len(a) != rows+1 || len(b) != rows+1 {
		t.Fatalf("%d and %d rows, not %d", len(a), len(b), rows+1)
	}
	for i := range a {
		for k := range sampleColumns {
			x, y := cellAt(a[i], k), cellAt(b[i], k)
			if x != y && !(i > 0 && sampleColumns[k].Kind != columnar.Text && near(x, y)) {
				t.Fatalf("row %d, %s: %q and %q", i, sampleColumns[k].Name, x, y)
			}
		}
	}
}

// What is written as Parquet has all rows, and no two of them are equal: the first column is an id.
func TestParquetHasDistinctRows(t *testing.T) {
	const rows = sampleRows + 7
	batches, err := distinct(rows)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, b := range batches {
		for _, id := range b.Cols[0].Longs[:b.Rows] {
			seen[id] = true
		}
	}
	if len(seen) != rows {
		t.Errorf("%d ids, not %d", len(seen), rows)
	}
	path := filepath.Join(t.TempDir(), "rows.parquet")
	if n, err := writeParquet(path, batches); n != rows || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	book, err := parquet.Open(parquet.Part{R: f, Size: info.Size()})
	if err != nil || book.Rows() != rows {
		t.Fatalf("the file: %v", err)
	}
}

// The benchmark and the check of our files use one version of DuckDB.
func TestOneVersionOfDuckDB(t *testing.T) {
	script, err := os.ReadFile(filepath.FromSlash("../../.ci/parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(script, []byte("duckdb="+duckdbPackage+"\n")) {
		t.Errorf(".ci/parquet installs another version than %s", duckdbPackage)
	}
}

// What lacks for a comparison with DuckDB is said with the way to get it, and is left out; with -duckdb on it is an
// error.
func TestDuckDBIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for mode, code := range map[string]int{"auto": 0, "on": 1} {
		var out, problems bytes.Buffer
		args := []string{"-only", "parquet", "-rows", "1000", "-runs", "1", "-duckdb", mode, "-dir", t.TempDir()}
		if got := Main(args, &out, &problems); got != code || !strings.Contains(out.String()+problems.String(), "apt install npm") {
			t.Errorf("%s: exit code %d: %s%s", mode, got, out.String(), problems.String())
		}
	}
}

// near compares numbers, which have more than one spelling; times to the millisecond.
func near(x, y string) bool {
	a, err1 := strconv.ParseFloat(x, 64)
	b, err2 := strconv.ParseFloat(y, 64)
	return err1 == nil && err2 == nil && math.Abs(a-b) < 0.001/86_400
}

func cells(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := f.GetRows(f.GetSheetName(0), excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func cellAt(row []string, k int) string {
	if k >= len(row) {
		return ""
	}
	return row[k]
}

// Contenders take turns, the warm-up does not count, and ratios are those of the same round.
func TestCompete(t *testing.T) {
	var turns []string
	var clock time.Duration
	c := func(name string, speed time.Duration) contender {
		return contender{name, 100, func(context.Context) (result, error) {
			turns = append(turns, name)
			clock += time.Second // the machine gets slower and slower
			return result{wall: clock / speed}, nil
		}}
	}
	all, err := compete(t.Context(), 3, c("slow", 1), c("fast", 4))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(turns, " "); got != "slow fast slow fast slow fast slow fast" {
		t.Errorf("turns: %s", got)
	}
	if n := len(all[1].results); n != 3 {
		t.Errorf("%d results, not 3", n)
	}
	// The rounds take 3 and 4, 5 and 6, 7 and 8 seconds at speed 1.
	if got, want := all[1].against(&all[0]), 4*5.0/6; got != want {
		t.Errorf("fast is %v times slow, not %v", got, want)
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 0: nil, 7: {7}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, not %v", values, got, want)
		}
	}
}

// A mistake on the command line is refused, with the words that would be right.
func TestBadArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-only csv,xls":       "the parts are csv, xlsx, rows, append, parquet, sources, sinks, scale, memory, spooled, thresholds",
		"-libxlsxwriter yes":  "use auto, on or off",
		"-duckdb npm":         "use auto, on or off",
		"-rows 5":             "at least 1000",
		"stray":               "unexpected argument",
		"-only append -nope1": "flag provided but not defined",
	} {
		var out, problems bytes.Buffer
		if code := Main(strings.Fields(args), &out, &problems); code != 2 || !strings.Contains(problems.String(), want) {
			t.Errorf("%s: exit code %d: %s", args, code, problems.String())
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%v: %s, not %s", n, got, want)
		}
	}
}
