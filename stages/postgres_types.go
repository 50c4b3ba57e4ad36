package stages

import (
	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/pipeline/columnar"
)

// Object ids of PostgreSQL's built-in types, which never change (pg_type.dat of its sources).
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidFloat4      = 700
	oidFloat8      = 701
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidUUID        = 2950
)

// Result formats of the wire protocol [PostgreSQL, "Frontend/Backend Protocol", Bind].
const (
	formatText   = 0
	formatBinary = 1
)

// pgCoding says how the values of a result column look on the wire and where they go.
type pgCoding uint8

const (
	pgText pgCoding = iota // the type's own text, copied
	pgBool
	pgInt2
	pgInt4
	pgInt8
	pgOID
	pgFloat4
	pgFloat8
	pgDecimal // numeric with a declared precision and scale
	pgNumeric // numeric of any size
	pgDate
	pgTime
	pgTimestamp
	pgInstant
	pgUUID
	pgBytea
	pgRaw // text of a database that does not know its encoding
)

func (c pgCoding) format() int16 {
	if c == pgText || c == pgRaw {
		return formatText
	}
	return formatBinary
}

// pgColumn maps a described result column. A domain is described as its base type, so none is met here. Types that have no
// kind of their own (arrays, intervals, ranges, network addresses, money, enums, whatever an extension brings) travel in
// PostgreSQL's own text, which the session's settings fix.
func pgColumn(f *pgconn.FieldDescription) (columnar.Column, pgCoding) {
	c := columnar.Column{Name: f.Name}
	coding := pgText
	switch f.DataTypeOID {
	case oidBool:
		c.Kind, coding = columnar.Bool, pgBool
	case oidInt2:
		c.Kind, coding = columnar.Int, pgInt2
	case oidInt4:
		c.Kind, coding = columnar.Int, pgInt4
	case oidInt8:
		c.Kind, coding = columnar.Int, pgInt8
	case oidOID:
		c.Kind, coding = columnar.Int, pgOID
	case oidFloat4:
		c.Kind, coding = columnar.Float32, pgFloat4
	case oidFloat8:
		c.Kind, coding = columnar.Float, pgFloat8
	case oidNumeric:
		if p, s, ok := numericModifier(f.TypeModifier); ok {
			c.Kind, c.Precision, c.Scale, coding = columnar.Decimal, p, s, pgDecimal
		} else {
			c.Kind, coding = columnar.Numeric, pgNumeric
		}
	case oidDate:
		c.Kind, coding = columnar.Date, pgDate
	case oidTime:
		c.Kind, coding = columnar.Time, pgTime
	case oidTimestamp:
		c.Kind, coding = columnar.Timestamp, pgTimestamp
	case oidTimestamptz:
		c.Kind, coding = columnar.Instant, pgInstant
	case oidUUID:
		c.Kind, coding = columnar.Text, pgUUID
	case oidBytea:
		c.Kind, coding = columnar.Binary, pgBytea
	default:
		c.Kind = columnar.Text
	}
	return c, coding
}

// numericModifier reads numeric(precision, scale) from a type modifier (numeric.c, numeric_typmod_precision and _scale). ok
// is false if there is none or the values need more than the 38 digits of a Decimal.
func numericModifier(mod int32) (precision, scale int32, ok bool) {
	const header = 4
	if mod < header {
		return 0, 0, false
	}
	precision = (mod - header) >> 16 & 0xffff
	scale = (mod-header)&0x7ff ^ 0x400 - 0x400 // eleven bits, signed since version 15
	switch {
	case scale < 0: // numeric(3,-2) holds 99,900
		precision, scale = precision-scale, 0
	case scale > precision: // numeric(3,5) holds 0.00999
		precision = scale
	}
	return precision, scale, precision <= 38
}
