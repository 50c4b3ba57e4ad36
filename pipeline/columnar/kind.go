// Package columnar is the shape of rows on their way through fanmill: columns of one batch, built without boxing a
// value, carried as an Arrow IPC stream, read back as slices. It knows neither databases nor destinations.
package columnar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a column's values are. It decides the Arrow type, the CSV text and the Excel cell.
type Kind uint8

// The kinds. Ints of every width are Int; what no other kind holds exactly is Numeric or Text.
const (
	Bool      Kind = iota + 1
	Int            // 64-bit signed
	Uint           // 64-bit unsigned
	Float32        // IEEE 754, 32 bits
	Float          // IEEE 754, 64 bits
	Decimal        // exact, Precision 1..38 digits, Scale digits after the point
	Numeric        // numbers of any size, kept as their plain decimal text; nothing else
	Date           // days since 1970-01-01, proleptic Gregorian
	Time           // microseconds since midnight
	Timestamp      // microseconds since 1970-01-01 00:00 on a wall clock without a zone
	Instant        // microseconds since 1970-01-01 00:00 UTC: a moment, shown in the job's time zone
	Text           // UTF-8
	Binary         // bytes

	// What a batch becomes that holds a finer value than microseconds, such as SQL Server's 100 ns: the same in
	// nanoseconds, which reach from 1677-09-21 to 2262-04-11. No column is declared as one.
	TimeNano      // nanoseconds since midnight
	TimestampNano // nanoseconds since 1970-01-01 00:00 on a wall clock without a zone
	InstantNano   // nanoseconds since 1970-01-01 00:00 UTC

	// Mixed is what a batch becomes that holds a value which the column's kind has no room for: every value as its
	// text, with its class, see Class. No column is declared as one.
	Mixed
	// Unknown is a column whose type its database does not say, such as an expression in SQLite. It is declared only:
	// its batches have the kinds that its values ask for.
	Unknown
)

var kindNames = [...]string{Bool: "bool", Int: "int", Uint: "uint", Float32: "float32", Float: "float", Decimal: "decimal",
	Numeric: "numeric", Date: "date", Time: "time", Timestamp: "timestamp", Instant: "timestamptz", Text: "text", Binary: "binary",
	TimeNano: "time_ns", TimestampNano: "timestamp_ns", InstantNano: "timestamptz_ns",
	Mixed: "mixed", Unknown: "unknown"}

// Nano is the kind that has nanoseconds where k has microseconds; 0 if there is none.
func (k Kind) Nano() Kind {
	switch k {
	case Time:
		return TimeNano
	case Timestamp:
		return TimestampNano
	case Instant:
		return InstantNano
	default:
		return 0
	}
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return "kind" + strconv.Itoa(int(k))
}

// Number reports whether values of the kind are numbers.
func (k Kind) Number() bool { return k >= Int && k <= Numeric }

// Column is a column's name and type. Precision and Scale count for Decimal only.
type Column struct {
	Name      string
	Kind      Kind
	Precision int32
	Scale     int32
	Of        Kind // of a Mixed batch: the kind that the column has otherwise
}

// Type is the column's type as frames and documentation spell it: "int", "decimal(14,2)".
func (c Column) Type() string {
	if c.Kind == Decimal {
		return fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
	}
	return c.Kind.String()
}

// ParseType is the inverse of Column.Type.
func ParseType(name, typ string) (Column, error) {
	base, args, _ := strings.Cut(typ, "(")
	c := Column{Name: name, Kind: kindNamed(base)}
	if c.Kind == 0 {
		return Column{}, fmt.Errorf("column %q: unknown type %q", name, typ)
	}
	if c.Kind == Decimal {
		if _, err := fmt.Sscanf(args, "%d,%d)", &c.Precision, &c.Scale); err != nil {
			return Column{}, fmt.Errorf("column %q: type %q: %w", name, typ, err)
		}
	}
	return c, nil
}

// kindNamed is the inverse of Kind.String; 0 if there is no such kind.
func kindNamed(name string) Kind {
	if k := slices.Index(kindNames[1:], name); k >= 0 && name != "" {
		return Kind(k + 1)
	}
	return 0
}

// fixedWidth is what a value takes in memory besides variable-length bytes; it steers the cutting of batches.
func (k Kind) fixedWidth() int {
	switch k {
	case Decimal:
		return 16
	case Bool:
		return 1
	case Float32, Date, Text, Binary, Numeric, Mixed:
		return 4
	default:
		return 8
	}
}
