package minitds

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Type tokens [MS-TDS] 2.2.5.4.
const (
	tokenIntN           = 0x26
	tokenBitN           = 0x68
	tokenDecimalN       = 0x6A
	tokenNumericN       = 0x6C
	tokenFloatN         = 0x6D
	tokenMoneyN         = 0x6E
	tokenDateTimeN      = 0x6F
	tokenGUID           = 0x24
	tokenDate           = 0x28
	tokenTime           = 0x29
	tokenDateTime2      = 0x2A
	tokenDateTimeOffset = 0x2B
	tokenVarBinary      = 0xA5
	tokenVarChar        = 0xA7
	tokenBinary         = 0xAD
	tokenChar           = 0xAF
	tokenNVarChar       = 0xE7
	tokenNChar          = 0xEF
	tokenUDT            = 0xF0
	tokenXML            = 0xF1
	tokenText           = 0x23
	tokenImage          = 0x22
	tokenNText          = 0x63
	tokenVariant        = 0x62

	tokenInt1      = 0x30
	tokenBit       = 0x32
	tokenInt2      = 0x34
	tokenInt4      = 0x38
	tokenDateTime4 = 0x3A
	tokenFloat4    = 0x3B
	tokenMoney8    = 0x3C
	tokenDateTime8 = 0x3D
	tokenFloat8    = 0x3E
	tokenMoney4    = 0x7A
	tokenInt8      = 0x7F
)

// collation is SQL_Latin1_General_CP1_CI_AS: code page 1252 by its sort id, 52.
var collation = [5]byte{0x09, 0x04, 0xD0, 0x00, 0x34}

// Max is the length of varchar(max) and its like.
const Max = -1

const maxSize = 0xFFFF

// Type is a data type.
type Type struct {
	name      string // as SQL writes it: "decimal(14,2)"
	id        int    // sys.types.system_type_id
	token     byte   // of the form that can be NULL
	fixed     byte   // of the form that cannot; 0 if there is none
	size      int    // bytes; maxSize
	precision byte
	scale     byte
	collation [5]byte
	class     string // of a CLR type
}

func (t Type) String() string { return t.name }

// The types without a length.
var (
	Bit              = Type{name: "bit", id: 104, token: tokenBitN, fixed: tokenBit, size: 1, precision: 1}
	TinyInt          = Type{name: "tinyint", id: 48, token: tokenIntN, fixed: tokenInt1, size: 1, precision: 3}
	SmallInt         = Type{name: "smallint", id: 52, token: tokenIntN, fixed: tokenInt2, size: 2, precision: 5}
	Int              = Type{name: "int", id: 56, token: tokenIntN, fixed: tokenInt4, size: 4, precision: 10}
	BigInt           = Type{name: "bigint", id: 127, token: tokenIntN, fixed: tokenInt8, size: 8, precision: 19}
	Real             = Type{name: "real", id: 59, token: tokenFloatN, fixed: tokenFloat4, size: 4, precision: 24}
	Float            = Type{name: "float", id: 62, token: tokenFloatN, fixed: tokenFloat8, size: 8, precision: 53}
	Money            = Type{name: "money", id: 60, token: tokenMoneyN, fixed: tokenMoney8, size: 8, precision: 19, scale: 4}
	SmallMoney       = Type{name: "smallmoney", id: 122, token: tokenMoneyN, fixed: tokenMoney4, size: 4, precision: 10, scale: 4}
	Date             = Type{name: "date", id: 40, token: tokenDate, size: 3, precision: 10}
	SmallDateTime    = Type{name: "smalldatetime", id: 58, token: tokenDateTimeN, fixed: tokenDateTime4, size: 4, precision: 16}
	DateTime         = Type{name: "datetime", id: 61, token: tokenDateTimeN, fixed: tokenDateTime8, size: 8, precision: 23, scale: 3}
	UniqueIdentifier = Type{name: "uniqueidentifier", id: 36, token: tokenGUID, size: 16}
	Text             = Type{name: "text", id: 35, token: tokenText, collation: collation}
	NText            = Type{name: "ntext", id: 99, token: tokenNText, collation: collation}
	Image            = Type{name: "image", id: 34, token: tokenImage}
	XML              = Type{name: "xml", id: 241, token: tokenXML, size: maxSize}
	Variant          = Type{name: "sql_variant", id: 98, token: tokenVariant, size: 8009}
	RowVersion       = Type{name: "timestamp", id: 189, token: tokenBinary, size: 8}
	Geography        = Type{id: 240, token: tokenUDT, size: maxSize, class: "geography"}
	HierarchyID      = Type{id: 240, token: tokenUDT, size: 892, class: "hierarchyid"}
)

// Decimal is decimal(precision,scale).
func Decimal(precision, scale int) Type {
	return Type{name: fmt.Sprintf("decimal(%d,%d)", precision, scale), id: 106, token: tokenDecimalN, size: 17, precision: byte(precision), scale: byte(scale)}
}

// Numeric is numeric(precision,scale).
func Numeric(precision, scale int) Type {
	return Type{name: fmt.Sprintf("numeric(%d,%d)", precision, scale), id: 108, token: tokenNumericN, size: 17, precision: byte(precision), scale: byte(scale)}
}

// Time is time(scale), up to seven digits of a second.
func Time(scale int) Type { return clock("time", 41, tokenTime, scale, 0) }

// DateTime2 is datetime2(scale).
func DateTime2(scale int) Type { return clock("datetime2", 42, tokenDateTime2, scale, 3) }

// DateTimeOffset is datetimeoffset(scale).
func DateTimeOffset(scale int) Type {
	return clock("datetimeoffset", 43, tokenDateTimeOffset, scale, 5)
}

func clock(name string, id int, token byte, scale, more int) Type {
	return Type{name: fmt.Sprintf("%s(%d)", name, scale), id: id, token: token, size: timeSize(scale) + more, scale: byte(scale)}
}

// timeSize is what a time of day takes [MS-TDS] 2.2.5.5.1.8.
func timeSize(scale int) int { return [...]int{3, 3, 3, 4, 4, 5, 5, 5}[scale] }

// Char is char(n).
func Char(n int) Type { return long("char", 175, tokenChar, n, 1) }

// VarChar is varchar(n), or varchar(max).
func VarChar(n int) Type { return long("varchar", 167, tokenVarChar, n, 1) }

// NChar is nchar(n).
func NChar(n int) Type { return long("nchar", 239, tokenNChar, n, 2) }

// NVarChar is nvarchar(n), or nvarchar(max).
func NVarChar(n int) Type { return long("nvarchar", 231, tokenNVarChar, n, 2) }

// Binary is binary(n).
func Binary(n int) Type { return long("binary", 173, tokenBinary, n, 1) }

// VarBinary is varbinary(n), or varbinary(max).
func VarBinary(n int) Type { return long("varbinary", 165, tokenVarBinary, n, 1) }

func long(name string, id int, token byte, n, width int) Type {
	t := Type{name: name + "(" + strconv.Itoa(n) + ")", id: id, token: token, size: n * width}
	if n == Max {
		t.name, t.size = name+"(max)", maxSize
	}
	if token != tokenBinary && token != tokenVarBinary {
		t.collation = collation
	}
	return t
}

// ParseType finds a type by the name that SQL has for it, such as "nvarchar(max)".
func ParseType(name string) (Type, error) {
	base, arguments, _ := strings.Cut(strings.ToLower(name), "(")
	var args []int
	for _, a := range strings.FieldsFunc(arguments, func(r rune) bool { return r == ',' || r == ')' || r == ' ' }) {
		n, err := strconv.Atoi(a)
		if a == "max" {
			n, err = Max, nil
		}
		if err != nil {
			return Type{}, fmt.Errorf("minitds: type %q: %w", name, err)
		}
		args = append(args, n)
	}
	for _, t := range []Type{Bit, TinyInt, SmallInt, Int, BigInt, Real, Float, Money, SmallMoney, Date, SmallDateTime, DateTime, UniqueIdentifier, Text, NText, Image, XML, Variant, Geography, HierarchyID} {
		if base != "" && len(args) == 0 && (t.name == base || t.class == base) {
			return t, nil
		}
	}
	if base == "rowversion" {
		return RowVersion, nil
	}
	if of := map[string]func(int, int) Type{"decimal": Decimal, "numeric": Numeric}[base]; of != nil && len(args) == 2 {
		return of(args[0], args[1]), nil
	}
	of := map[string]func(int) Type{"time": Time, "datetime2": DateTime2, "datetimeoffset": DateTimeOffset, "char": Char, "varchar": VarChar, "nchar": NChar,
		"nvarchar": NVarChar, "binary": Binary, "varbinary": VarBinary}[base]
	if of == nil || len(args) != 1 {
		return Type{}, fmt.Errorf("minitds: there is no type %q", name)
	}
	return of(args[0]), nil
}

// Collate gives a character type the collation of a Windows locale, or of a sort id if that is not 0. Values of char, varchar and text
// are then given as bytes of its code page.
func (t Type) Collate(lcid uint32, sortID byte) Type {
	binary.LittleEndian.PutUint32(t.collation[:], lcid|0x00D00000)
	t.collation[4] = sortID
	return t
}

// Column is a column of a result.
type Column struct {
	Name    string
	Type    Type
	NotNull bool // types of a fixed length then have another form on the wire
}

// token is how the column's type is written.
func (c *Column) token() byte {
	if c.NotNull && c.Type.fixed != 0 {
		return c.Type.fixed
	}
	return c.Type.token
}

// appendMetadata appends the column's part of COLMETADATA [MS-TDS] 2.2.7.4.
func (c *Column) appendMetadata(b []byte) []byte {
	flags := uint16(0x0009) // nullable, updatable
	if c.NotNull {
		flags = 0x0008
	}
	b = binary.LittleEndian.AppendUint32(b, 0) // user type
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = append(b, c.token())
	t := &c.Type
	switch c.token() {
	case tokenDate:
	case tokenTime, tokenDateTime2, tokenDateTimeOffset:
		b = append(b, t.scale)
	case tokenDecimalN, tokenNumericN:
		b = append(b, 17, t.precision, t.scale)
	case tokenIntN, tokenBitN, tokenFloatN, tokenMoneyN, tokenDateTimeN, tokenGUID:
		b = append(b, byte(t.size))
	case tokenChar, tokenVarChar, tokenNChar, tokenNVarChar:
		b = binary.LittleEndian.AppendUint16(b, uint16(t.size))
		b = append(b, t.collation[:]...)
	case tokenBinary, tokenVarBinary:
		b = binary.LittleEndian.AppendUint16(b, uint16(t.size))
	case tokenText, tokenNText:
		b = binary.LittleEndian.AppendUint32(b, 0x7FFFFFFF)
		b = append(b, t.collation[:]...)
		b = appendTable(b)
	case tokenImage:
		b = appendTable(binary.LittleEndian.AppendUint32(b, 0x7FFFFFFF))
	case tokenVariant:
		b = binary.LittleEndian.AppendUint32(b, uint32(t.size))
	case tokenXML:
		b = append(b, 0) // no schema
	case tokenUDT:
		b = binary.LittleEndian.AppendUint16(b, uint16(t.size))
		b = append(b, utf16Counted("master")...)
		b = append(b, utf16Counted("sys")...)
		b = append(b, utf16Counted(t.class)...)
		assembly := toUTF16("Microsoft.SqlServer.Types")
		b = binary.LittleEndian.AppendUint16(b, uint16(len(assembly)/2))
		b = append(b, assembly...)
	}
	return append(b, utf16Counted(c.Name)...)
}

// appendTable names the table that a text, ntext or image comes from.
func appendTable(b []byte) []byte {
	name := toUTF16("t")
	b = append(b, 1)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)/2))
	return append(b, name...)
}
