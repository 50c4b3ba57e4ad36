package verify

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Source is one database and the name of its table in a Dataset.
type Source struct{ Name, Path string }

// SQLite reads the truth: the result of a query in every database, and the columns as the first database declares
// them, which the readers of artifacts need. It reads through a pure database/sql driver.
func SQLite(ctx context.Context, sources []Source, query string) (Dataset, []Column, error) {
	out := Dataset{}
	var columns []Column
	for _, s := range sources {
		t, cols, err := sqliteTable(ctx, s.Path, query)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", s.Path, err)
		}
		if columns == nil {
			columns = cols
		}
		out[s.Name] = t
	}
	return out, columns, nil
}

func sqliteTable(ctx context.Context, path, query string) (t Table, cols []Column, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return t, nil, err
	}
	name := filepath.ToSlash(abs)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // a drive
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: name, RawQuery: "mode=ro"}).String())
	if err != nil {
		return t, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return t, nil, err
	}
	if cols, err = ColumnsOf(rows); err != nil {
		return t, nil, errors.Join(err, rows.Close())
	}
	t, err = Rows(rows, cols)
	return t, cols, err
}

// ColumnsOf describes a result by the types that the database declares.
func ColumnsOf(rows *sql.Rows) ([]Column, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	out := make([]Column, len(types))
	for i, t := range types {
		out[i] = columnOf(t.Name(), t.DatabaseTypeName())
		if _, scale, ok := t.DecimalSize(); ok && out[i].Kind == Decimal && scale >= 0 && scale <= 38 {
			out[i].Scale = int(scale)
		}
	}
	return out, nil
}

// columnOf reads a declared type such as DECIMAL(14,2).
func columnOf(name, declared string) Column {
	base, args, _ := strings.Cut(strings.ToUpper(declared), "(")
	c := Column{Name: name}
	switch base = strings.TrimSpace(base); {
	case base == "DECIMAL" || base == "NUMERIC":
		c.Kind = Decimal
		if _, scale, ok := strings.Cut(strings.TrimSuffix(args, ")"), ","); ok {
			c.Scale, _ = strconv.Atoi(strings.TrimSpace(scale))
		}
	case base == "DATE":
		c.Kind = Date
	case base == "TIMESTAMPTZ":
		c.Kind = Instant
	case base == "TIMESTAMP" || base == "DATETIME":
		c.Kind = Timestamp
	case strings.HasPrefix(base, "BOOL"):
		c.Kind = Bool
	case strings.Contains(base, "INT"):
		c.Kind = Integer
	case base == "REAL" || strings.HasPrefix(base, "FLOAT") || strings.HasPrefix(base, "DOUBLE"):
		c.Kind = Float
	case base == "BLOB" || base == "BYTEA":
		c.Kind = Blob
	}
	return c
}

// Rows sums up a result of any database whose driver gives the basic types of database/sql, and closes it.
func Rows(rows *sql.Rows, cols []Column) (_ Table, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return Table{}, err
	}
	t := newTally(names, cols)
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return Table{}, err
		}
		for i, v := range values {
			if err := t.goValue(i, v); err != nil {
				return Table{}, err
			}
		}
		t.endRow()
	}
	return t.table(), rows.Err()
}

func (t *tally) goValue(i int, v any) error {
	c := &t.cols[i]
	var scratch [64]byte
	switch v := v.(type) {
	case nil:
		t.null(i)
	case string:
		t.cells[i] = c.canonical(t.set(i), []byte(v))
	case []byte:
		if c.Kind == Blob {
			t.cells[i] = hex.AppendEncode(append(t.set(i), "0x"...), v)
		} else {
			t.cells[i] = c.canonical(t.set(i), v)
		}
	case int64:
		if c.Kind == Bool && (v == 0 || v == 1) {
			t.cells[i] = strconv.AppendBool(t.set(i), v == 1)
		} else {
			t.cells[i] = c.canonical(t.set(i), strconv.AppendInt(scratch[:0], v, 10))
		}
	case float64:
		t.cells[i] = c.canonical(t.set(i), strconv.AppendFloat(scratch[:0], v, 'f', -1, 64))
	case bool:
		t.cells[i] = strconv.AppendBool(t.set(i), v)
	case time.Time:
		t.cells[i] = c.appendTime(t.set(i), v)
	default:
		return fmt.Errorf("column %q: a %T is not a value this reader knows", c.Name, v)
	}
	return nil
}

// Only keeps the tables of these names.
func (d Dataset) Only(names ...string) Dataset {
	out := Dataset{}
	for name, t := range d {
		if slices.Contains(names, name) {
			out[name] = t
		}
	}
	return out
}
