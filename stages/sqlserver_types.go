package stages

import (
	"database/sql/driver"
	"errors"
	"fmt"

	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// sqlserverCoding says what Go value the driver makes of a column's values, and what it stands for.
type sqlserverCoding uint8

const (
	sqlserverText    sqlserverCoding = iota // string
	sqlserverBool                           // bool
	sqlserverInt                            // int64
	sqlserverReal                           // float64 that was 32 bits
	sqlserverFloat                          // float64
	sqlserverDecimal                        // []byte: digits with a point
	sqlserverDate                           // time.Time, UTC
	sqlserverTime                           // time.Time on 0001-01-01, UTC
	sqlserverMoment                         // time.Time, UTC: a wall clock
	sqlserverInstant                        // time.Time in the value's own zone
	sqlserverUUID                           // []byte: 16, the first three groups reversed
	sqlserverBytes                          // []byte
)

// sqlserverTypes are the types by the names of ColumnTypeDatabaseTypeName, and by sys.types.system_type_id.
var sqlserverTypes = []struct {
	id     int64
	name   string
	kind   columnar.Kind
	coding sqlserverCoding
}{
	{34, "IMAGE", columnar.Binary, sqlserverBytes},
	{35, "TEXT", columnar.Text, sqlserverText},
	{36, "UNIQUEIDENTIFIER", columnar.Text, sqlserverUUID},
	{40, "DATE", columnar.Date, sqlserverDate},
	{41, "TIME", columnar.Time, sqlserverTime},
	{42, "DATETIME2", columnar.Timestamp, sqlserverMoment},
	{43, "DATETIMEOFFSET", columnar.Instant, sqlserverInstant},
	{48, "TINYINT", columnar.Int, sqlserverInt},
	{52, "SMALLINT", columnar.Int, sqlserverInt},
	{56, "INT", columnar.Int, sqlserverInt},
	{58, "SMALLDATETIME", columnar.Timestamp, sqlserverMoment},
	{59, "REAL", columnar.Float32, sqlserverReal},
	{60, "MONEY", columnar.Decimal, sqlserverDecimal},
	{61, "DATETIME", columnar.Timestamp, sqlserverMoment},
	{62, "FLOAT", columnar.Float, sqlserverFloat},
	{99, "NTEXT", columnar.Text, sqlserverText},
	{104, "BIT", columnar.Bool, sqlserverBool},
	{106, "DECIMAL", columnar.Decimal, sqlserverDecimal},
	{108, "NUMERIC", columnar.Decimal, sqlserverDecimal},
	{122, "SMALLMONEY", columnar.Decimal, sqlserverDecimal},
	{127, "BIGINT", columnar.Int, sqlserverInt},
	{165, "VARBINARY", columnar.Binary, sqlserverBytes},
	{167, "VARCHAR", columnar.Text, sqlserverText},
	{173, "BINARY", columnar.Binary, sqlserverBytes},
	{175, "CHAR", columnar.Text, sqlserverText},
	{189, "ROWVERSION", columnar.Binary, sqlserverBytes}, // which the wire calls BINARY
	{231, "NVARCHAR", columnar.Text, sqlserverText},
	{239, "NCHAR", columnar.Text, sqlserverText},
	{240, "UDT", columnar.Binary, sqlserverBytes}, // geography, geometry, hierarchyid, CLR types: which the wire calls by their names
	{241, "XML", columnar.Text, sqlserverText},
	{244, "JSON", columnar.Text, sqlserverText},
}

const sqlserverVariant = "SQL_VARIANT" // system_type_id 98

// sqlserverColumn makes a column of a type's name as the driver has it.
func sqlserverColumn(name, typ string, precision, scale int64) (columnar.Column, sqlserverCoding, error) {
	if typ == sqlserverVariant {
		return columnar.Column{}, 0, errSQLServerVariant(name)
	}
	for _, t := range sqlserverTypes {
		if t.name == typ {
			return sqlserverColumnOf(name, typ, t.kind, precision, scale), t.coding, nil
		}
	}
	return columnar.Column{Name: name, Kind: columnar.Binary}, sqlserverBytes, nil
}

func sqlserverColumnOf(name, typ string, kind columnar.Kind, precision, scale int64) columnar.Column {
	c := columnar.Column{Name: name, Kind: kind}
	switch {
	case typ == "MONEY":
		c.Precision, c.Scale = 19, 4
	case typ == "SMALLMONEY":
		c.Precision, c.Scale = 10, 4
	case kind == columnar.Decimal:
		c.Precision, c.Scale = int32(precision), int32(scale)
	}
	return c
}

// errSQLServerVariant refuses a sql_variant: the driver gives the values of a decimal, a uniqueidentifier and a varbinary the same form,
// and which one it was would be a guess.
func errSQLServerVariant(name string) error {
	return pipeline.Permanent(fmt.Errorf("column %q is a sql_variant, in which every value has a type of its own; give it one in the query, such as CONVERT(nvarchar(4000), [%s], 121) AS [%s]", name, name, name))
}

// sqlserverResult reads the columns of a result that has begun.
func sqlserverResult(rows *mssql.Rows) (columns []columnar.Column, codings []sqlserverCoding, err error) {
	defer func() {
		if p := recover(); p != nil { // the driver's answer to a type it does not know
			err = pipeline.Permanent(fmt.Errorf("a column has a type that the driver does not know: %v", p))
		}
	}()
	for i, name := range rows.Columns() {
		precision, scale, _ := rows.ColumnTypePrecisionScale(i)
		c, coding, err := sqlserverColumn(columnName(name, i), rows.ColumnTypeDatabaseTypeName(i), precision, scale)
		if err != nil {
			return nil, nil, err
		}
		columns, codings = append(columns, c), append(codings, coding)
	}
	return columns, codings, nil
}

// sqlserverReaders connects the columns of a result to those of a batch. The types were described before; a server whose description was
// not exact widens the column.
func sqlserverReaders(rows *mssql.Rows, described []columnar.Column, b *columnar.Builder) ([]sqlserverCells, error) {
	columns, codings, err := sqlserverResult(rows)
	if err != nil {
		return nil, err
	}
	same := len(columns) == len(described)
	for i := 0; same && i < len(columns); i++ {
		same = columns[i].Name == described[i].Name
	}
	if !same {
		return nil, pipeline.Transient(errors.New("the columns changed between describing the query and running it"))
	}
	cells := make([]sqlserverCells, len(columns))
	for i := range cells {
		cells[i] = sqlserverCells{coding: codings[i], wire: columns[i], exact: columns[i] == described[i], to: b.Column(i)}
	}
	return cells, nil
}

// sqlserverDescribed reads the columns from the answer of sp_describe_first_result_set. ok is false if one of them has a type that it
// does not tell.
func sqlserverDescribed(names []string, rows [][]driver.Value) (columns []columnar.Column, ok bool, err error) {
	at := map[string]int{}
	for i, n := range names {
		at[n] = i
	}
	for _, needed := range []string{"name", "system_type_id", "precision", "scale"} {
		if _, there := at[needed]; !there {
			return nil, false, nil
		}
	}
	for _, r := range rows {
		if i, there := at["is_hidden"]; there && r[i] == true {
			continue
		}
		name, _ := r[at["name"]].(string)
		name = columnName(name, len(columns))
		id, _ := r[at["system_type_id"]].(int64)
		if id == 98 {
			return nil, false, errSQLServerVariant(name)
		}
		precision, _ := r[at["precision"]].(int64)
		scale, _ := r[at["scale"]].(int64)
		known := false
		for _, t := range sqlserverTypes {
			if t.id == id {
				columns, known = append(columns, sqlserverColumnOf(name, t.name, t.kind, precision, scale)), true
			}
		}
		if !known {
			return nil, false, nil
		}
	}
	return columns, true, nil
}
