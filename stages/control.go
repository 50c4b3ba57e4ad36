package stages

import (
	"errors"
	"fmt"
	"strings"

	"fanmill/pipeline"
)

// Control totals are asked of the job's own query: that is a table within another, which counts its rows and adds up
// its columns. So the database computes from what it would deliver, and what it computes with is written here: no sum
// may overflow, and none of exact numbers may be made of doubles.

var errNoControl = errors.New("only the rows of a select can be counted and added up by the database; give \"verify\" a \"query\" of its own")

// controlTable names the query as a table.
const controlTable = "fanmill_rows"

// control makes the query. sum is how the database adds up a column, in one column of the result for each of shifts.
func (d sqlDialect) control(sql string, v *pipeline.Verify, count string, shifts []uint, sum func(column string) string) (pipeline.ControlQuery, error) {
	table, err := d.asTable(sql)
	if err != nil {
		return pipeline.ControlQuery{}, err
	}
	return controlQuery("", table, v, count, shifts, sum), nil
}

// controlQuery asks for the totals of a table; head stands before all.
func controlQuery(head, table string, v *pipeline.Verify, count string, shifts []uint, sum func(column string) string) (q pipeline.ControlQuery) {
	var columns []string
	if v.Count {
		columns, q.Shifts = append(columns, count), append(q.Shifts, []uint{0})
	}
	for _, name := range v.Sum {
		columns, q.Shifts = append(columns, sum(name)), append(q.Shifts, shifts)
	}
	// The line end closes a comment at the end of the query.
	q.SQL = fmt.Sprintf("%sselect %s from (%s\n) as %s", head, strings.Join(columns, ", "), table, controlTable)
	return q
}

// asTable is a query as it may stand in brackets: without the semicolon at its end, and what follows that.
func (d sqlDialect) asTable(sql string) (string, error) {
	switch word := strings.ToLower(sqlWord(d.firstWord(sql))); word {
	case "select", "with", "values":
	default:
		return "", errNoControl
	}
	for i := 0; i < len(sql); {
		if end := d.skip(sql, i); end > i {
			i = end
			continue
		}
		if sql[i] == ';' {
			return sql[:i], nil
		}
		i++
	}
	return sql, nil
}

// quotedName is a name between these marks, in which the last one is written twice.
func quotedName(name, open, end string) string {
	return controlTable + "." + open + strings.ReplaceAll(name, end, end+end) + end
}

// postgresControl adds up columns times 1: of float4, whose sum would be one of 24 bits, that is float8; any other type
// stays, and its sum is a wider one that is exact [PostgreSQL, "Aggregate Functions"].
func postgresControl(sql string, v *pipeline.Verify) (pipeline.ControlQuery, error) {
	return postgresDialect.control(sql, v, "count(*)", []uint{0}, func(name string) string {
		return "sum(" + quotedName(name, `"`, `"`) + " * 1)"
	})
}

// mysqlControl: the sum of exact numbers is a decimal of 65 digits, that of FLOAT and DOUBLE a double [MySQL,
// "Aggregate Function Descriptions"].
func mysqlControl(sql string, v *pipeline.Verify) (pipeline.ControlQuery, error) {
	return mysqlDialect.control(sql, v, "count(*)", []uint{0}, func(name string) string {
		return "sum(" + quotedName(name, "`", "`") + ")"
	})
}

// sqliteShifts are the parts of a sum in SQLite, whose sum of integers ends in an error where it overflows, and is a
// double as soon as one value is: the upper and the lower 32 bits of the integers, and the doubles by themselves. What
// is a text or a blob is in none, as it is in no total of ours.
var sqliteShifts = []uint{32, 0, 0}

func sqliteControl(sql string, v *pipeline.Verify) (pipeline.ControlQuery, error) {
	return sqliteDialect.control(sql, v, "count(*)", sqliteShifts, func(name string) string {
		column := quotedName(name, `"`, `"`)
		return fmt.Sprintf("sum(%[1]s >> 32) filter (where typeof(%[1]s) = 'integer'), sum(%[1]s & 4294967295) filter (where typeof(%[1]s) = 'integer'), "+
			"sum(%[1]s) filter (where typeof(%[1]s) = 'real')", column)
	})
}

// sqlserverControl adds a decimal zero to each value: sums of int and bigint, which overflow in their own type, are of
// 38 digits then, and so are those of money; decimals keep their scale, and doubles stay doubles [Transact-SQL,
// "Precision, scale, and length"].
//
// A table in brackets has no WITH and, without TOP, no ORDER BY of its own: the former goes before all, the latter is
// completed to be one of a page that begins at row 0.
func sqlserverControl(sql string, v *pipeline.Verify) (pipeline.ControlQuery, error) {
	d := sqlserverDialect
	table, err := d.asTable(sql)
	if err != nil || len(d.statements(sql)) > 1 {
		return pipeline.ControlQuery{}, errNoControl
	}
	shape := d.shapeOf(table)
	head := ""
	if strings.EqualFold(sqlWord(d.firstWord(table)), "with") {
		if shape.selects < 0 {
			return pipeline.ControlQuery{}, errNoControl
		}
		head, table = table[:shape.selects], table[shape.selects:]
	}
	if shape.options >= 0 {
		return pipeline.ControlQuery{}, errNoControl
	}
	if shape.ordered && !shape.top && !shape.paged {
		table += "\noffset 0 rows"
	}
	return controlQuery(head, table, v, "count_big(*)", []uint{0}, func(name string) string {
		return "sum(" + quotedName(name, "[", "]") + " + cast(0 as decimal(1, 0)))"
	}), nil
}

// selectShape is what a select has outside of all brackets.
type selectShape struct {
	selects             int // where it begins behind a WITH; -1 if there is none
	options             int // where an OPTION (...) or FOR XML begins, which a table in brackets cannot have; -1 is none
	ordered, top, paged bool
}

func (d sqlDialect) shapeOf(sql string) selectShape {
	s := selectShape{selects: -1, options: -1}
	depth, last := 0, ""
	for i := 0; i < len(sql); {
		if end := d.skip(sql, i); end > i {
			i = end
			continue
		}
		word := sqlWord(sql[i:])
		switch {
		case sql[i] == '(':
			depth++
			i++
		case sql[i] == ')':
			depth--
			i++
		case word == "":
			i++
		case depth > 0 || i > 0 && (sql[i-1] == '@' || sql[i-1] == '.' || sql[i-1] == '#'):
			i += len(word)
		default:
			switch word = strings.ToLower(word); {
			case word == "select" && s.selects < 0:
				s.selects = i
			case word == "top" && (last == "select" || last == "distinct" || last == "all"):
				s.top = true
			case word == "by" && last == "order":
				s.ordered = true
			case word == "offset" && s.ordered:
				s.paged = true
			case word == "option", word == "into", last == "for" && (word == "xml" || word == "json" || word == "browse"):
				s.options = i
			}
			last = word
			i += len(word)
		}
	}
	return s
}
