package parquet

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"fanmill/pipeline/columnar"
)

// Form says what the texts of a column are besides texts.
type Form uint8

// The forms. Each but Plain is for columns of Kind Text only.
const (
	Plain Form = iota
	// UUID makes 16 bytes of a text such as a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11, annotated as UUID. Spark refuses to
	// read such columns.
	UUID
	// JSON annotates the texts as JSON. pyarrow shows them as texts, DuckDB as its type JSON.
	JSON
)

// Column is a column of a file. What its values are follows from Kind:
//
//	Bool                     BOOLEAN
//	Int                      INT64
//	Uint                     DECIMAL(20, 0): readers that have no unsigned integers read it, too
//	Float32, Float           FLOAT, DOUBLE
//	Decimal                  DECIMAL(Precision, Scale) as INT32 to 9 digits, INT64 to 18, else as few bytes as hold Precision digits
//	Date                     DATE
//	Time                     TIME(MICROS, local)
//	Timestamp, Instant       TIMESTAMP(MICROS, local), TIMESTAMP(MICROS, UTC)
//	Text, Numeric, Unknown   STRING, or what Form says
//	Binary                   bytes
type Column struct {
	Name             string
	Kind             columnar.Kind
	Precision, Scale int32 // Decimal
	Form             Form  // Text
	// Connection marks a column of Kind Text that has the connection's name in every row, see Schema.Feed.
	Connection bool
}

// Schema is the columns of a file, in their order.
// Writers of one Schema may work side by side.
type Schema struct{ columns []target }

// target is a column with what its values are written as.
type target struct {
	Column
	kind  columnar.Kind // of the views that are written: Kind without what is the same in Parquet
	width int           // bytes of a FIXED_LEN_BYTE_ARRAY, 0 for any other type
}

// NewSchema makes the schema of a file with these columns. It refuses names that are empty, or that differ in nothing
// but their case: Spark and Hive take those for one.
func NewSchema(columns []Column) (*Schema, error) {
	if len(columns) == 0 {
		return nil, errors.New("parquet schema: there are no columns; the query has to return at least one")
	}
	s := &Schema{columns: make([]target, len(columns))}
	names := make(map[string]string, len(columns))
	for i, c := range columns {
		if c.Name == "" || !utf8.ValidString(c.Name) {
			return nil, fmt.Errorf("parquet schema: the name %q of column %d is empty or not UTF-8; give it another with AS", c.Name, i+1)
		}
		folded := strings.ToLower(c.Name)
		if first, ok := names[folded]; ok {
			return nil, fmt.Errorf("parquet schema: the columns %q and %q have one name for readers that ignore case; rename one with AS", first, c.Name)
		}
		names[folded] = c.Name
		t, _, err := newTarget(c)
		if err != nil {
			return nil, fmt.Errorf("parquet schema: column %q: %w", c.Name, err)
		}
		s.columns[i] = t
	}
	return s, nil
}

// tree makes arrow-go's form of the schema, for one file: its nodes note their paths when they are first asked for
// them, so that two goroutines must not share them.
func (s *Schema) tree() (*schema.GroupNode, error) {
	fields := make(schema.FieldList, len(s.columns))
	for i := range s.columns {
		var err error
		if _, fields[i], err = newTarget(s.columns[i].Column); err != nil {
			return nil, err
		}
	}
	return schema.NewGroupNode("schema", pq.Repetitions.Required, fields, -1)
}

// Columns counts the columns.
func (s *Schema) Columns() int { return len(s.columns) }

// newTarget decides what a column is in Parquet. [LogicalTypes.md]
func newTarget(c Column) (target, schema.Node, error) {
	t := target{Column: c, kind: c.Kind}
	if (c.Form != Plain || c.Connection) && c.Kind != columnar.Text {
		return t, nil, fmt.Errorf("a column of type %s cannot hold UUIDs, JSON or the connection's name", c.Kind)
	}
	var logical schema.LogicalType = schema.NoLogicalType{}
	physical := pq.Types.Int64
	switch c.Kind {
	case columnar.Bool:
		physical = pq.Types.Boolean
	case columnar.Int:
	case columnar.Float32:
		physical = pq.Types.Float
	case columnar.Float:
		physical = pq.Types.Double
	case columnar.Uint, columnar.Decimal:
		if t.kind = columnar.Decimal; c.Kind == columnar.Uint {
			t.Precision, t.Scale = 20, 0
		}
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return t, nil, fmt.Errorf("there is no decimal(%d,%d): precision is 1 to 38, scale 0 to precision", t.Precision, t.Scale)
		}
		logical = schema.NewDecimalLogicalType(t.Precision, t.Scale)
		switch {
		case t.Precision <= 9:
			physical = pq.Types.Int32
		case t.Precision > 18:
			physical, t.width = pq.Types.FixedLenByteArray, decimalWidth(t.Precision)
		}
	case columnar.Date:
		physical, logical = pq.Types.Int32, schema.DateLogicalType{}
	case columnar.Time:
		logical = schema.NewTimeLogicalType(false, schema.TimeUnitMicros)
	case columnar.Timestamp, columnar.Instant:
		logical = schema.NewTimestampLogicalTypeForce(c.Kind == columnar.Instant, schema.TimeUnitMicros)
	case columnar.Binary:
		physical = pq.Types.ByteArray
	case columnar.Text, columnar.Numeric, columnar.Unknown:
		t.kind = columnar.Text
		physical, logical = pq.Types.ByteArray, schema.StringLogicalType{}
		switch c.Form {
		case UUID:
			physical, logical, t.width = pq.Types.FixedLenByteArray, schema.UUIDLogicalType{}, 16
		case JSON:
			logical = schema.JSONLogicalType{}
		}
	default:
		return t, nil, fmt.Errorf("no column is declared as %s", c.Kind)
	}
	node, err := schema.NewPrimitiveNodeLogical(c.Name, pq.Repetitions.Optional, logical, physical, t.width, -1)
	return t, node, err
}

// decimalWidth is how many bytes hold every number of that many digits and its sign.
func decimalWidth(precision int32) int {
	// digits[n] is how many decimal digits n bytes hold: floor(log10(2^(8n-1) - 1)). [LogicalTypes.md]
	digits := [...]int32{0, 2, 4, 6, 9, 11, 14, 16, 18, 21, 23, 26, 28, 31, 33, 35, 38}
	width := 1
	for digits[width] < precision {
		width++
	}
	return width
}
