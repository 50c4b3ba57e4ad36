package stages

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
)

// sqlserverBind puts @name where a query has :name, with the values to go with them. They travel as parameters of
// sp_executesql. The driver has no decimals and dates of its own: they travel as text and are cast to their type in the
// query, by the server. A type is no narrower than what an expression may make of the value: what stands in for it, or
// is put behind it, is not cut.
func sqlserverBind(q *pipeline.Query, label string) (sqlserverQuery, error) {
	out := sqlserverQuery{label: label, advice: strangeParams(q.SQL, q.Args, sqlserverDialect)}
	text, args := bindArgs(q.SQL, q.Args, sqlserverDialect, func(n int, name string) string {
		variable := "@" + sqlserverVariable(q, n, name)
		switch arg := argNamed(q.Args, name); arg.Type {
		case pipeline.ArgDecimal:
			precision, scale := decimalOf(arg.Text)
			return fmt.Sprintf("CAST(%s AS decimal(%d,%d))", variable, precision, scale)
		case pipeline.ArgDate:
			return "CAST(" + variable + " AS date)"
		default:
			return variable
		}
	})
	out.sql = text
	var declared []string
	for i := range args {
		variable := sqlserverVariable(q, i+1, args[i].Name)
		value, typ, err := sqlserverValue(&args[i])
		if err != nil {
			return out, fmt.Errorf("%s: parameter %s: %w", label, args[i].Name, err)
		}
		out.args = append(out.args, driver.NamedValue{Name: variable, Ordinal: i + 1, Value: value})
		declared = append(declared, "@"+variable+" "+typ)
	}
	out.declared = strings.Join(declared, ",")
	return out, nil
}

// sqlserverVariable is the name that parameter n has on the server: its own, unless the query uses that for a
// variable or two differ by case only, which to most servers is the same.
func sqlserverVariable(q *pipeline.Query, n int, name string) string {
	taken := strings.Contains(strings.ToLower(q.SQL), "@"+strings.ToLower(name))
	for i := range q.Args {
		taken = taken || q.Args[i].Name != name && strings.EqualFold(q.Args[i].Name, name)
	}
	if taken {
		return fmt.Sprintf("fanmill_%d_%s", n, name)
	}
	return name
}

// sqlserverMaxText is how many UTF-16 units a text parameter has before it is nvarchar(max).
const sqlserverMaxText = 4000

// sqlserverValue is the value as the driver takes it, and its type on the server.
func sqlserverValue(a *pipeline.Arg) (driver.Value, string, error) {
	switch a.Type {
	case pipeline.ArgNull: // of a type that takes whatever stands for it
		return sql.NullString{}, fmt.Sprintf("nvarchar(%d)", sqlserverMaxText), nil
	case pipeline.ArgBool:
		v, err := strconv.ParseBool(a.Text)
		return v, "bit", err
	case pipeline.ArgInt:
		v, err := strconv.ParseInt(a.Text, 10, 64)
		return v, "bigint", err
	case pipeline.ArgDecimal:
		if !plainNumber([]byte(a.Text)) || len(a.Text) > 40 {
			return nil, "", fmt.Errorf("%q is not a decimal of up to 38 digits", a.Text)
		}
		return a.Text, "nvarchar(40)", nil
	case pipeline.ArgDate:
		if _, err := time.Parse(time.DateOnly, a.Text); err != nil {
			return nil, "", fmt.Errorf("%q is not a date such as 2024-02-29", a.Text)
		}
		return a.Text, "nvarchar(10)", nil
	default:
		if len(a.Text) > sqlserverMaxText {
			return a.Text, "nvarchar(max)", nil
		}
		return a.Text, fmt.Sprintf("nvarchar(%d)", sqlserverMaxText), nil
	}
}

// decimalOf is the type of a decimal as SQL Server gives it to a number in the text of a query [Transact-SQL,
// "Constants"]: no wider, since the precision of an operation is cut to 38 at the expense of its decimals.
func decimalOf(text string) (precision, scale int) {
	whole, fraction, _ := strings.Cut(strings.TrimLeft(text, "+-"), ".")
	whole = strings.TrimLeft(whole, "0")
	scale = min(len(fraction), 38)
	return min(max(len(whole)+scale, 1), 38), scale
}
