package stages

import (
	"bytes"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// The quick way to read a decimal and the general one agree, on numbers and on what is none.
func TestMySQLDecimalQuickly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.OneOf(
			rapid.StringMatching(`-?[0-9]{1,21}(\.[0-9]{1,5})?`),
			rapid.StringMatching(`[-+.0-9e]{0,22}`),
			rapid.String(),
		).Draw(t, "text"))
		precision := rapid.Int32Range(1, 38).Draw(t, "precision")
		scale := rapid.Int32Range(0, min(precision, 6)).Draw(t, "scale")
		got, ok := mysqlParseDecimal(text, precision, scale)
		want, wantOK := parseDecimal(text, precision, scale)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q as decimal(%d,%d): %v %v, want %v %v", text, precision, scale, got, ok, want, wantOK)
		}
	})
}

// Whatever a server sends as a row is a row or refused; nothing reads past its end, and a row that is accepted has a value in every
// column.
func FuzzMySQLRow(f *testing.F) {
	var fields []mysqlField
	for i, kind := range []byte{mysqlTiny, mysqlShort, mysqlLong, mysqlLongLong, mysqlFloat, mysqlDouble, mysqlDecimal, mysqlDate, mysqlDateTime, mysqlTimestamp, mysqlTime,
		mysqlBit, mysqlBit, mysqlVarString, mysqlVarString, mysqlTiny} {
		field := mysqlField{name: strconv.Itoa(i), kind: kind, length: 10, decimals: 2, charset: 45}
		switch i {
		case 11, 15:
			field.length = 1
		case 14:
			field.charset = mysqlBytes
		}
		fields = append(fields, field)
	}
	var columns []columnar.Column
	for i := range fields {
		c, _ := mysqlColumn(&fields[i], false)
		columns = append(columns, c)
	}
	row := []byte{0, 0, 0, 0, 0xff, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}
	row = append(row, "\x0412.5"...)
	row = append(row, "\x04\xe8\x07\x02\x1d\x0b\xe8\x07\x02\x1d\x0c\x0d\x0e\x01\x00\x00\x00\x07\xe8\x07\x02\x1d\x0c\x0d\x0e\x08\x00\x00\x00\x00\x00\x0c\x0d\x0e"...)
	row = append(row, "\x01\x01\x02\x03\xff\x02ab\x01\x00\x01"...)
	f.Add(row, []byte{0, 0xff, 0xff, 0xff})
	f.Add(bytes.Replace(row, []byte("\x04\xe8\x07\x02\x1d"), []byte("\x04\xe8\x07\x02\x1e"), 1), row)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := columnar.NewBuilder(columns)
		r := newMySQLRows(fields, &mysqlTarget{}, b)
		for i, body := range [][]byte{first, second, row} {
			accepted := r.row(body)
			if i == 2 && !accepted {
				t.Fatal("a good row was refused")
			}
			if !accepted {
				return // the stream ends there
			}
			b.EndRow()
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
