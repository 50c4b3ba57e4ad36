package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

var meta = map[string]string{"fanmill.run": "r-1", "fanmill.job": "दिल्ली"}

// column is one of the patterns' columns, whose value is made from a number.
type column struct {
	columnar.Column
	duck string // DuckDB's type
	put  func(c *columnar.ColumnBuilder, n int)
	sql  func(n int) string // the value as DuckDB's cast to varchar has it
}

func scaled(scale int) func(int) string {
	return func(n int) string {
		return string(columnar.AppendDecimal(nil, decimal128.FromI64(int64(n)), scale))
	}
}

func putDecimal(c *columnar.ColumnBuilder, n int) { c.Decimal(decimal128.FromI64(int64(n))) }

var columns = []column{
	{columnar.Column{Name: "z_int", Kind: columnar.Int}, "BIGINT", func(c *columnar.ColumnBuilder, n int) { c.Long(int64(n) << 32) },
		func(n int) string { return fmt.Sprint(int64(n) << 32) }},
	{columnar.Column{Name: "uint", Kind: columnar.Uint}, "DECIMAL(20,0)", func(c *columnar.ColumnBuilder, n int) { c.Uint(math.MaxUint64/2 + uint64(n)) },
		func(n int) string { return fmt.Sprint(uint64(math.MaxUint64/2) + uint64(n)) }},
	{columnar.Column{Name: "d9", Kind: columnar.Decimal, Precision: 9, Scale: 2}, "DECIMAL(9,2)", putDecimal, scaled(2)},
	{columnar.Column{Name: "d18", Kind: columnar.Decimal, Precision: 18, Scale: 4}, "DECIMAL(18,4)", putDecimal, scaled(4)},
	{columnar.Column{Name: "d20", Kind: columnar.Decimal, Precision: 20}, "DECIMAL(20,0)", putDecimal, scaled(0)},
	{columnar.Column{Name: "d38", Kind: columnar.Decimal, Precision: 38, Scale: 10}, "DECIMAL(38,10)", putDecimal, scaled(10)},
	{columnar.Column{Name: "real", Kind: columnar.Float32}, "FLOAT", func(c *columnar.ColumnBuilder, n int) { c.Float32(float32(n) + 0.25) },
		func(n int) string { return fmt.Sprint(float32(n) + 0.25) }},
	{columnar.Column{Name: "double", Kind: columnar.Float}, "DOUBLE", func(c *columnar.ColumnBuilder, n int) { c.Float(float64(n) + 0.25) },
		func(n int) string { return fmt.Sprint(float64(n) + 0.25) }},
	{columnar.Column{Name: "day", Kind: columnar.Date}, "DATE", func(c *columnar.ColumnBuilder, n int) { c.Days(int32(n)) },
		func(n int) string { return string(columnar.AppendDate(nil, int64(n))) }},
	{columnar.Column{Name: "clock", Kind: columnar.Time}, "TIME", func(c *columnar.ColumnBuilder, n int) { c.Long(int64(n+100_000) * 200_003) },
		func(n int) string { return string(columnar.AppendTime(nil, int64(n+100_000)*200_003)) }},
	{columnar.Column{Name: "wall", Kind: columnar.Timestamp}, "TIMESTAMP", func(c *columnar.ColumnBuilder, n int) { c.Long(int64(n) * 1_000_003) },
		func(n int) string { return string(columnar.AppendTimestamp(nil, int64(n)*1_000_003)) }},
	{columnar.Column{Name: "moment", Kind: columnar.Instant}, "TIMESTAMP WITH TIME ZONE", func(c *columnar.ColumnBuilder, n int) { c.Long(int64(n) * 1_000_003) },
		func(n int) string { return string(columnar.AppendTimestamp(nil, int64(n)*1_000_003)) + "+00" }},
	{columnar.Column{Name: "text", Kind: columnar.Text}, "VARCHAR", func(c *columnar.ColumnBuilder, n int) { c.String(sortable(n)) }, sortable},
	{columnar.Column{Name: "numeric", Kind: columnar.Numeric}, "VARCHAR", func(c *columnar.ColumnBuilder, n int) { c.String(sortable(n)) }, sortable},
	{columnar.Column{Name: "Bytes", Kind: columnar.Binary}, "BLOB", func(c *columnar.ColumnBuilder, n int) { c.Bytes([]byte("b" + sortable(n))) },
		func(n int) string { return "b" + sortable(n) }},
	{columnar.Column{Name: "a_bool", Kind: columnar.Bool}, "BOOLEAN", func(c *columnar.ColumnBuilder, n int) { c.Bool(n < 0) }, nil},
}

// sortable is a text that sorts as the number does, with characters of more than a byte.
func sortable(n int) string { return fmt.Sprintf("%06d தமிழ்", n+500_000) }

// pattern says what is in a row: a number, or NULL in every column.
type pattern struct {
	rows int
	row  func(r int) (n int, null bool)
}

var patterns = map[string]pattern{
	"all-null":   {30_000, func(int) (int, bool) { return 0, true }},
	"half-null":  {30_000, func(r int) (int, bool) { return r - 22_000, r < 15_000 }},
	"distinct":   {150_000, func(r int) (int, bool) { return (r*7919)%150_000 - 50_000, false }},
	"one":        {30_000, func(int) (int, bool) { return -7, false }},
	"empty":      {0, nil},
	"signs":      {2, func(r int) (int, bool) { return r*2 - 1, false }},
	"third-null": {45_000, func(r int) (int, bool) { return (r*31)%2000 - 1000, r%3 == 0 }},
}

func newSchema() (*parquet.Schema, error) {
	out := make([]parquet.Column, len(columns))
	for i, c := range columns {
		out[i] = parquet.Column{Name: c.Name, Kind: c.Kind, Precision: c.Precision, Scale: c.Scale}
	}
	return parquet.NewSchema(out)
}

func batchOf(cols []columnar.Column, rows int, row func(r int, b *columnar.Builder)) (*columnar.Batch, error) {
	b := columnar.NewBuilder(cols)
	for r := range rows {
		row(r, b)
		b.EndRow()
	}
	body, err := b.Encode()
	if err != nil {
		return nil, err
	}
	return columnar.Decode(body)
}

func write(s *parquet.Schema, o parquet.Options, f *parquet.Feed, batches ...*columnar.Batch) ([]byte, error) {
	var out bytes.Buffer
	w, err := parquet.New(&out, s, o)
	if err != nil {
		return nil, err
	}
	for _, b := range batches {
		if err := w.Write(f, b); err != nil {
			return nil, err
		}
	}
	if err := w.Close(meta); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// write makes a file of the rows from lo to hi.
func (p pattern) write(o parquet.Options, lo, hi int) ([]byte, error) {
	schema, err := newSchema()
	if err != nil {
		return nil, err
	}
	cols, from := make([]columnar.Column, len(columns)), make([]int, len(columns))
	for i, c := range columns {
		cols[i], from[i] = c.Column, i
	}
	feed, err := schema.Feed("c", from)
	if err != nil {
		return nil, err
	}
	var batches []*columnar.Batch
	const batchRows = 11_000
	for ; lo < hi; lo += batchRows {
		batch, err := batchOf(cols, min(batchRows, hi-lo), func(r int, b *columnar.Builder) {
			n, null := p.row(lo + r)
			for i, c := range columns {
				if null {
					b.Column(i).Null()
				} else {
					c.put(b.Column(i), n)
				}
			}
		})
		if err != nil {
			return nil, err
		}
		batches = append(batches, batch)
	}
	return write(schema, o, feed, batches...)
}

// queries are what a reader must find: counts, sums, bounds, and what filters let through, which look at bounds.
func (p pattern) queries() []query {
	filled, sum, least, most := 0, 0, math.MaxInt, math.MinInt
	below := map[int]int{}
	limits := []int{-49_000, -500, 0, 500, 99_000}
	for r := range p.rows {
		n, null := p.row(r)
		if null {
			continue
		}
		filled, sum, least, most = filled+1, sum+n, min(least, n), max(most, n)
		for _, limit := range limits {
			if n < limit {
				below[limit]++
			}
		}
	}
	all := []query{{"select count(*) from FILE", fmt.Sprint(p.rows)},
		{"select decode(value) from parquet_kv_metadata(FILE) where decode(key) = 'fanmill.job'", meta["fanmill.job"]},
		{"select string_agg(name, ' ') from (select name from parquet_schema(FILE) where type is not null)", names()},
		{"select count(*) from FILE where a_bool", fmt.Sprint(below[0])}}
	for _, c := range columns {
		all = append(all, query{"select any_value(column_type) from (describe select \"" + c.Name + "\" from FILE)", c.duck},
			query{"select count(\"" + c.Name + "\") from FILE", fmt.Sprint(filled)})
		if c.sql == nil {
			continue
		}
		bounds := "NULL NULL"
		if filled > 0 {
			bounds = c.sql(least) + " " + c.sql(most)
			if c.Kind == columnar.Binary {
				bounds = strings.NewReplacer(c.sql(least), hexed(c.sql(least)), c.sql(most), hexed(c.sql(most))).Replace(bounds)
			}
		}
		all = append(all, query{fmt.Sprintf("select coalesce(min(%[1]q)::varchar, 'NULL') || ' ' || coalesce(max(%[1]q)::varchar, 'NULL') from FILE", c.Name), bounds})
		for _, limit := range limits {
			all = append(all, query{fmt.Sprintf("select count(*) from FILE where %q < %s", c.Name, literal(c, limit)), fmt.Sprint(below[limit])},
				query{fmt.Sprintf("select count(*) from FILE where %q >= %s", c.Name, literal(c, limit)), fmt.Sprint(filled - below[limit])})
		}
		if c.Kind == columnar.Decimal {
			all = append(all, query{fmt.Sprintf("select coalesce(sum(%q), 0)::decimal(38,%d)::varchar from FILE", c.Name, c.Scale), scaled(int(c.Scale))(sum)})
		}
	}
	return all
}

// literal is the value of a number in SQL, of the column's own type so that bounds are looked at.
func literal(c column, n int) string {
	if c.Kind == columnar.Binary {
		return "encode(" + quote(c.sql(n)) + ")"
	}
	return quote(c.sql(n)) + "::" + c.duck
}

func names() string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.Name
	}
	return strings.Join(all, " ")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// hexed is how DuckDB prints bytes: those that are not ASCII as \xXX.
func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "\\x%02X", c)
		}
	}
	return b.String()
}

// oddRow is a row of odd.
func oddRow(r int, b *columnar.Builder) {
	f, t := float64(r), int64(r)
	if r%100 == 50 {
		f = math.NaN()
	}
	switch r {
	case 1:
		t = -62_135_596_800_000_000 // 0001-01-01
	case 2:
		t = 253_402_300_799_999_999 // 9999-12-31
	}
	b.Column(0).Float(f)
	b.Column(1).String(fmt.Sprintf("A0EEBC99-9c0b-4ef8-bb6d-%012d", r))
	b.Column(2).String(fmt.Sprintf(`{"n": %d}`, r))
	b.Column(3).Long(t)
	b.Column(4).Float(math.Copysign(0, float64(r%2)-0.5))
}
