package sinks_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// Whatever the texts, the delimiter and the number of columns: a reader of [RFC 4180] gets back what went in, as many rows as
// went in, and an empty field where and only where a value was NULL or empty.
func TestCSVReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "csv")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		comma := rapid.SampledFrom([]rune{',', ';', '\t', '|', ' ', 'x', '1', '§', '中'}).Draw(t, "delimiter")
		options, err := json.Marshal(map[string]any{"delimiter": string(comma)})
		if err != nil {
			t.Fatal(err)
		}
		// Not a lone CR before LF: csv.Reader, unlike the file, knows no difference between CRLF and LF within quotes.
		text := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'x', '1', ' ', ',', ';', '\t', '|', '"', '\n', '\\', '.', '§', '¦', '中', '丮', '🙂'}), 0, 12, -1)
		width := rapid.IntRange(1, 4).Draw(t, "columns")
		names := rapid.SliceOfN(text, width, width).Draw(t, "names")
		rows := rapid.SliceOfN(rapid.SliceOfN(rapid.Ptr(text, true), width, width), 0, 20).Draw(t, "rows")

		s := newCSV(t, dir, "", options, 1)
		claim(t, s, nil)
		cols := textColumns(names...)
		values := make([][]any, len(rows))
		for i, row := range rows {
			for _, v := range row {
				if v == nil {
					values[i] = append(values[i], nil)
				} else {
					values[i] = append(values[i], *v)
				}
			}
		}
		half := len(values) / 2
		settle(t, s, fill(t, s, 0, cols, textBatch(t, cols, values[:half]...), textBatch(t, cols, values[half:]...)))
		finish(t, s)

		got := lines(t, read(t, dir), comma)
		if len(got) != len(rows)+1 {
			t.Fatalf("%d lines for %d rows", len(got), len(rows))
		}
		if !slices.Equal(got[0], names) {
			t.Fatalf("header %q, want %q", got[0], names)
		}
		for i, row := range rows {
			for k, v := range row {
				want := ""
				if v != nil {
					want = *v
				}
				if got[i+1][k] != want {
					t.Fatalf("row %d, column %d: %q, want %q", i, k, got[i+1][k], want)
				}
			}
		}
	})
}

// spread is a batch of every kind whose values reach into corners.
type spread struct {
	columns []columnar.Column
	batch   *columnar.Batch
}

func spreadBatch(tb testing.TB) spread {
	cols := []columnar.Column{{Name: "bool", Kind: columnar.Bool}, {Name: "int", Kind: columnar.Int}, {Name: "uint", Kind: columnar.Uint},
		{Name: "float32", Kind: columnar.Float32}, {Name: "float", Kind: columnar.Float}, {Name: "decimal", Kind: columnar.Decimal, Precision: 38, Scale: 4},
		{Name: "numeric", Kind: columnar.Numeric}, {Name: "date", Kind: columnar.Date}, {Name: "time", Kind: columnar.Time},
		{Name: "timestamp", Kind: columnar.Timestamp}, {Name: "instant", Kind: columnar.Instant}, {Name: "text", Kind: columnar.Text},
		{Name: "binary", Kind: columnar.Binary}}
	rnd := rand.New(rand.NewPCG(1, 2))
	b := columnar.NewBuilder(cols)
	for i := range 2000 {
		for c := range cols {
			col := b.Column(c)
			if rnd.IntN(7) == 0 {
				col.Null()
				continue
			}
			// Times far apart, near each other, and before 1970, in no order.
			micros := (rnd.Int64N(4_000_000_000) - 2_000_000_000) * 1_000_000
			if i%2 == 0 {
				micros = int64(i)*3_600_000_000 - 1_000_000_000_000 + rnd.Int64N(1_000_000)
			}
			switch cols[c].Kind {
			case columnar.Bool:
				col.Bool(i%3 == 0)
			case columnar.Int:
				col.Long(int64(rnd.Uint64()))
			case columnar.Uint:
				col.Uint(rnd.Uint64())
			case columnar.Float32:
				col.Float32(math.Float32frombits(rnd.Uint32()))
			case columnar.Float:
				col.Float(math.Float64frombits(rnd.Uint64()))
			case columnar.Decimal:
				col.Decimal(decimal128.New(rnd.Int64N(1<<60)-1<<59, rnd.Uint64()))
			case columnar.Numeric:
				col.String(fmt.Sprintf("%d.%d", rnd.Int64(), i))
			case columnar.Date:
				col.Days(int32(micros / columnar.MicrosPerDay))
			case columnar.Time:
				col.Long(rnd.Int64N(columnar.MicrosPerDay))
			case columnar.Timestamp, columnar.Instant:
				col.Long(micros)
			case columnar.Text:
				col.String(strings.Repeat(string(rune('a'+i%26)), i%5) + []string{"", ",", "\"", "\n", ":", "¦", "§"}[rnd.IntN(7)])
			case columnar.Binary:
				col.Bytes([]byte{byte(i), byte(rnd.Uint32())})
			}
		}
		b.EndRow()
	}
	return spread{cols, decodeBatch(tb, b)}
}

// expected is the batch as columnar's texts.
func expected(tb testing.TB, b *columnar.Batch, zone string) [][]string {
	tb.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		tb.Fatal(err)
	}
	clock := columnar.NewClock(loc)
	rows := make([][]string, b.Rows)
	for i := range rows {
		for c := range b.Cols {
			text := ""
			if v := &b.Cols[c]; !v.Null(i) {
				text = string(v.AppendText(nil, i, &clock))
			}
			rows[i] = append(rows[i], text)
		}
	}
	return rows
}
