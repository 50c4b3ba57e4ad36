package stages

import (
	"strconv"
	"strings"

	"fanmill/pipeline/columnar"
)

// sqliteColumn maps a column by the words of its declared type, much as SQLite derives an affinity from them [SQLite,
// "Datatypes In SQLite" 3.1], but finer. SQLite binds a column's values to none of this: what does not fit widens its
// batch. What has no declared type, or one of other words, is Unknown.
func sqliteColumn(name, declared string) columnar.Column {
	c := columnar.Column{Name: name, Kind: columnar.Unknown}
	base, args, _ := strings.Cut(strings.ToUpper(declared), "(")
	words := strings.Fields(base)
	if len(words) == 0 {
		return c
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(base, p) {
				return true
			}
		}
		return false
	}
	first := words[0]
	switch {
	case strings.HasPrefix(first, "BOOL"):
		c.Kind = columnar.Bool
	case first == "TIMESTAMPTZ", first == "DATETIMEOFFSET", first == "TIMESTAMP" && strings.Contains(base, "WITH TIME ZONE"):
		c.Kind = columnar.Instant
	case has("DATETIME", "TIMESTAMP"):
		c.Kind = columnar.Timestamp
	case strings.HasPrefix(first, "DATE"):
		c.Kind = columnar.Date
	case first == "TIME":
		c.Kind = columnar.Time
	case has("DEC", "NUMERIC", "NUMBER", "MONEY", "CURRENCY"):
		c.Kind = columnar.Numeric
		if p, s, ok := decimalArgs(args); ok {
			c.Kind, c.Precision, c.Scale = columnar.Decimal, p, s
		}
	case has("CHAR", "CLOB", "TEXT", "STRING", "JSON", "UUID", "GUID", "XML", "ENUM"):
		c.Kind = columnar.Text
	case has("BLOB", "BINARY", "BYTEA"):
		c.Kind = columnar.Binary
	case has("REAL", "FLOA", "DOUB"):
		c.Kind = columnar.Float
	case has("INT"):
		c.Kind = columnar.Int
	}
	return c
}

// decimalArgs reads "14,2)" or "14)".
func decimalArgs(args string) (precision, scale int32, ok bool) {
	args, _, closed := strings.Cut(args, ")")
	if !closed {
		return 0, 0, false
	}
	ps, ss, two := strings.Cut(args, ",")
	p, err := strconv.ParseInt(strings.TrimSpace(ps), 10, 32)
	if err != nil {
		return 0, 0, false
	}
	var s int64
	if two {
		if s, err = strconv.ParseInt(strings.TrimSpace(ss), 10, 32); err != nil {
			return 0, 0, false
		}
	}
	return int32(p), int32(s), p >= 1 && p <= 38 && s >= 0 && s <= p
}
