package stages

import (
	"slices"

	"fanmill/pipeline/columnar"
)

// Types of columns on the wire [MySQL, field_types.h].
const (
	mysqlDecimalOld = 0
	mysqlTiny       = 1
	mysqlShort      = 2
	mysqlLong       = 3
	mysqlFloat      = 4
	mysqlDouble     = 5
	mysqlNull       = 6
	mysqlTimestamp  = 7
	mysqlLongLong   = 8
	mysqlInt24      = 9
	mysqlDate       = 10
	mysqlTime       = 11
	mysqlDateTime   = 12
	mysqlYear       = 13
	mysqlNewDate    = 14
	mysqlBit        = 16
	mysqlVector     = 242
	mysqlJSON       = 245
	mysqlDecimal    = 246
	mysqlVarString  = 253
	mysqlGeometry   = 255
)

const (
	mysqlUnsigned = 1 << 5 // flags of a column
	mysqlBinary   = 1 << 7
	mysqlBytes    = 63 // the "character set" of bytes
)

// mysqlField describes a column [MySQL Internals, "Protocol::ColumnDefinition41"].
type mysqlField struct {
	schema, table, name string // table: as the server calls it, not by its alias; "" for an expression
	charset             uint16
	length              uint32 // in bytes of what the column prints at most
	kind                byte
	flags               uint16
	decimals            byte
}

func parseMySQLField(body []byte) (mysqlField, error) {
	var f mysqlField
	r := mysqlReader{b: body}
	r.text() // catalog: def
	schema, _ := r.text()
	r.text() // alias
	table, _ := r.text()
	name, _ := r.text()
	r.text()    // the column's own name
	r.integer() // length of what follows
	f.schema, f.table, f.name = string(schema), string(table), string(name)
	f.charset, f.length, f.kind, f.flags, f.decimals = r.uint16(), r.uint32(), r.byte(), r.uint16(), r.byte()
	return f, r.err()
}

// mysqlCoding says how the values of a result column look on the wire [MySQL Internals, "Binary Protocol Value"] and
// where they go.
type mysqlCoding uint8

const (
	myText mysqlCoding = iota // copied
	myBinary
	myBool  // tinyint(1), where the DSN says so
	myInt1  // signed; the unsigned ones have the U
	myInt1U // one byte
	myInt2
	myInt2U
	myInt4
	myInt4U
	myInt8
	myInt8U
	myFloat4
	myFloat8
	myDecimal // a number's text, of a declared precision and scale
	myNumeric // a number's text
	myDate
	myDateTime
	myInstant // timestamp
	myTime
	myFlag // bit(1)
	myBits // bit(n)
)

// mysqlColumn maps a result column. What tinyint(1) is, booleans or numbers that may well be 2 and 3, nobody but the
// DSN says: it is numbers unless tinyBools, so that a column has one spelling before its first row.
func mysqlColumn(f *mysqlField, tinyBools bool) (columnar.Column, mysqlCoding) {
	c := columnar.Column{Name: f.name}
	unsigned := f.flags&mysqlUnsigned != 0
	integer := func(signed mysqlCoding) mysqlCoding {
		c.Kind = columnar.Int
		if unsigned {
			return signed + 1
		}
		return signed
	}
	coding := myText
	switch f.kind {
	case mysqlTiny:
		if f.length == 1 && !unsigned && tinyBools {
			c.Kind, coding = columnar.Bool, myBool
		} else {
			coding = integer(myInt1)
		}
	case mysqlShort, mysqlYear:
		coding = integer(myInt2)
	case mysqlLong, mysqlInt24:
		coding = integer(myInt4)
	case mysqlLongLong:
		if coding = integer(myInt8); unsigned {
			c.Kind = columnar.Uint
		}
	case mysqlFloat:
		c.Kind, coding = columnar.Float32, myFloat4
	case mysqlDouble:
		c.Kind, coding = columnar.Float, myFloat8
	case mysqlDecimal, mysqlDecimalOld:
		c.Kind, c.Precision, c.Scale, coding = columnar.Decimal, f.precision(), int32(f.decimals), myDecimal
		if c.Precision > 38 || c.Precision < 1 || c.Scale > c.Precision {
			c.Kind, c.Precision, c.Scale, coding = columnar.Numeric, 0, 0, myNumeric
		}
	case mysqlDate, mysqlNewDate:
		c.Kind, coding = columnar.Date, myDate
	case mysqlDateTime:
		c.Kind, coding = columnar.Timestamp, myDateTime
	case mysqlTimestamp:
		c.Kind, coding = columnar.Instant, myInstant
	case mysqlTime:
		c.Kind, coding = columnar.Time, myTime
	case mysqlBit:
		if f.length == 1 {
			c.Kind, coding = columnar.Bool, myFlag
		} else {
			c.Kind, coding = columnar.Text, myBits
		}
	case mysqlNull:
		c.Kind = columnar.Unknown
	case mysqlJSON:
		c.Kind = columnar.Text
	default: // char, varchar, text, enum, set, and their forms for bytes; what MariaDB's plugins bring (uuid, inet6)
		c.Kind = columnar.Text
		if f.charset == mysqlBytes || f.kind == mysqlGeometry || f.kind == mysqlVector {
			c.Kind, coding = columnar.Binary, myBinary
		}
	}
	return c, coding
}

// bitsOfExpression reports whether a column is a bit(n), wider than one, that the query calculates. MariaDB then
// sends the digits of its number, but for window functions the bits as for a table's column, and says nothing of
// which it is: the byte 49 is a 1, or a 49.
func (f *mysqlField) bitsOfExpression() bool {
	return f.kind == mysqlBit && f.length > 1 && f.table == "" && f.flags&mysqlBinary != 0
}

// sameNames reports whether two descriptions have the same columns by name.
func sameNames(a, b []mysqlField) bool {
	return slices.EqualFunc(a, b, func(x, y mysqlField) bool { return x.name == y.name })
}

// precision is that of a decimal, which a server tells by the width it prints at most: with a sign and a point.
func (f *mysqlField) precision() int32 {
	p := int32(f.length)
	if f.flags&mysqlUnsigned == 0 {
		p--
	}
	if f.decimals > 0 {
		p--
	}
	return p
}

// mysqlSizes are the widths of the codings that have a fixed one; the others come with their length.
var mysqlSizes = [...]uint8{myBool: 1, myInt1: 1, myInt1U: 1, myInt2: 2, myInt2U: 2, myInt4: 4, myInt4U: 4, myInt8: 8, myInt8U: 8,
	myFloat4: 4, myFloat8: 8, myBits: 0}
