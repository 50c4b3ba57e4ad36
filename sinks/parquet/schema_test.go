package parquet_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// TestSchema is how each kind is declared in the file.
func TestSchema(t *testing.T) {
	columns := append(plain(kinds), parquet.Column{Name: "u", Kind: columnar.Text, Form: parquet.UUID}, parquet.Column{Name: "j", Kind: columnar.Text, Form: parquet.JSON},
		parquet.Column{Name: "a.b, {c}", Kind: columnar.Unknown})
	data := written(t, newSchema(t, columns...), parquet.Options{}, nil)
	r, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var said strings.Builder
	for i := range columns {
		c := r.MetaData().Schema.Column(i)
		said.WriteString(c.Name() + " " + c.SchemaNode().RepetitionType().String() + " " + c.PhysicalType().String() + " " + c.LogicalType().String() + "\n")
	}
	const want = `z_bool optional BOOLEAN None
int optional INT64 None
uint optional FIXED_LEN_BYTE_ARRAY Decimal(precision=20, scale=0)
real optional FLOAT None
double optional DOUBLE None
d9 optional INT32 Decimal(precision=9, scale=2)
d18 optional INT64 Decimal(precision=18, scale=4)
d38 optional FIXED_LEN_BYTE_ARRAY Decimal(precision=38, scale=10)
d20 optional FIXED_LEN_BYTE_ARRAY Decimal(precision=20, scale=0)
numeric optional BYTE_ARRAY String
day optional INT32 Date
Clock optional INT64 Time(isAdjustedToUTC=false, timeUnit=microseconds)
wall optional INT64 Timestamp(isAdjustedToUTC=false, timeUnit=microseconds, is_from_converted_type=false, force_set_converted_type=false)
moment optional INT64 Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false, force_set_converted_type=false)
text optional BYTE_ARRAY String
a_bytes optional BYTE_ARRAY None
u optional FIXED_LEN_BYTE_ARRAY UUID
j optional BYTE_ARRAY JSON
a.b, {c} optional BYTE_ARRAY String
`
	if said.String() != want {
		t.Errorf("\n%s\nwant\n%s", said.String(), want)
	}
	if got := read(t, data); len(got.groups) != 0 || len(got.names) != len(columns) {
		t.Errorf("a file without rows has row groups %v, %d columns", got.groups, len(got.names))
	}
}

func TestSchemaRefuses(t *testing.T) {
	text := columnar.Text
	for want, columns := range map[string][]parquet.Column{
		"no columns":                      nil,
		"empty":                           {{Name: "", Kind: text}},
		"not UTF-8":                       {{Name: "\xff", Kind: text}},
		`"a" and "A"`:                     {{Name: "a", Kind: text}, {Name: "A", Kind: text}},
		"no decimal(39,0)":                {{Name: "a", Kind: columnar.Decimal, Precision: 39}},
		"no decimal(2,3)":                 {{Name: "a", Kind: columnar.Decimal, Precision: 2, Scale: 3}},
		"declared as mixed":               {{Name: "a", Kind: columnar.Mixed}},
		"declared as timestamp_ns":        {{Name: "a", Kind: columnar.TimestampNano}},
		"int cannot hold UUIDs":           {{Name: "a", Kind: columnar.Int, Form: parquet.UUID}},
		"date cannot hold UUIDs, JSON or": {{Name: "a", Kind: columnar.Date, Connection: true}},
	} {
		if _, err := parquet.NewSchema(columns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", columns, err, want)
		}
	}
	s := newSchema(t, parquet.Column{Name: "a", Kind: text})
	if _, err := s.Feed("c", nil); err == nil {
		t.Error("a feed without columns is accepted")
	}
	if _, err := parquet.New(&strings.Builder{}, s, parquet.Options{Compression: "lz4"}); err == nil || !strings.Contains(err.Error(), "zstd, snappy, gzip or none") {
		t.Errorf("lz4: %v", err)
	}
}
