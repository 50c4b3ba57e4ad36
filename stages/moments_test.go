package stages_test

import (
	"fmt"
	"slices"
	"testing"

	"fanmill/internal/minitds"
)

// odd are values that a column of dates or times can hold and that are none, beside real ones, as SQL.
var odd = map[string][]struct {
	typ   string
	value string
	real  []string
}{
	"postgres": {
		{"date", "'infinity'", []string{"'2024-02-29'", "'1899-12-31'", "'0044-03-15 BC'", "'9999-12-31'", "'10000-01-01'"}},
		{"timestamp", "'-infinity'", []string{"'2024-02-29 13:45:06.123456'", "'2024-02-29'", "'1900-03-01'", "'1899-12-31 23:59:59.5'", "'0044-03-15 12:00 BC'"}},
		{"timestamptz", "'infinity'", []string{"'2024-07-01 00:00:00.5-03:00'", "'1900-01-01 00:00+00'", "'1999-12-31 23:59:59.999999Z'", "'0044-03-15 12:00+00 BC'"}},
		{"timestamp", "'294276-12-31 23:59:59'", []string{"'2024-02-29 13:45'"}},
		{"timestamptz", "'294247-01-10 04:00:54.775+00'", []string{"'2024-02-29 13:45'"}}, // the wall clock of the job's zone is past 64 bits
	},
	"mysql": {
		{"date", "'0000-00-00'", []string{"'2024-02-29'", "'1899-12-31'", "'0001-01-01'", "'9999-12-31'"}},
		{"date", "'2023-02-31'", []string{"'2024-02-29'"}},
		{"datetime(6)", "'2024-00-00 01:02:03'", []string{"'2024-02-29 13:45:06.123456'", "'2024-02-29'", "'1899-12-31 23:59:59.5'", "'0001-01-01 00:00:00.000001'"}},
		{"timestamp(6) null", "'0000-00-00'", []string{"from_unixtime(1709194506.5)", "from_unixtime(1)", "from_unixtime(2147483647.999999)"}},
		{"time(6)", "'-838:59:59.999999'", []string{"'13:45:06.5'", "'00:00'", "'23:59:59.999999'"}},
		{"time(6)", "'24:00'", []string{"'13:45:06.5'"}},
	},
	"sqlite": {
		{"date", "20240229", []string{"'2024-02-29'", "'1899-12-31'", "'0001-01-01'"}},
		{"date", "x'00'", []string{"'2024-02-29'"}},
		{"datetime", "'n/a'", []string{"'2024-02-29T13:45:06.123456'", "'2024-02-29'", "'1899-12-31 23:59:59.5'", "'2024-02-29 13:45:06.1234567'"}},
		{"datetime", "1709214306.5", []string{"'2024-02-29 13:45'", "'9999-12-31 23:59:59.999999'"}},
		// One with a zone among others without, and the other way round: each is what it is.
		{"datetime", "'2024-07-01 00:00:00.5-03:00'", []string{"'2024-02-29T13:45:06.123456'", "'2024-02-29'", "'1899-12-31 23:59:59.5'", "'2024-02-29 13:45:06.1234567'"}},
		{"datetime", "'2024-07-01 00:00:00.5'", []string{"'2024-02-29T13:45:06.123456Z'", "'1900-01-01 00:00:00 +0000 UTC'", "'2024-02-29 13:45:06.1234567 +0530 IST m=+0.01'"}},
		{"datetime", "'2024-07-01 25:00:00Z'", []string{"'2024-02-29T13:45:06.123456Z'", "'2024-02-29 13:45:06 UTC'", "'9999-12-31T23:59:59.9999999-12:00'"}},
		{"date", "'2024-02-29 12:00:00'", []string{"'2024-02-29 00:00:00'", "'2024-03-01T00:00:00.000Z'", "'1899-12-31'"}},
		{"timestamptz", "'2024-07-01 00:00:00'", []string{"'2024-07-01 00:00:00.5-03:00'", "'1900-01-01 00:00Z'", "'2024-07-01 00:00:00.0000001+05:30'"}},
		{"time", "'25:00'", []string{"'13:45'", "'23:59:59.9999999'"}},
	},
	"sqlserver": { // which has none, but moments that nanoseconds do not reach
		{"datetime2(7)", "'9999-12-31 23:59:59.9999999'", []string{"'2024-02-29 13:45:06.123456'", "'1899-12-31 23:59:59.5'", "'0001-01-01 00:00:00'", "'2024-02-29 13:45:06.1234567'"}},
		{"datetimeoffset(7)", "'0001-01-01 00:00:00.0000001+00:00'", []string{"'2024-07-01 00:00:00.5-03:00'", "'1900-01-01 00:00:00+00:00'", "'2024-02-29 13:45:06.1234567+05:30'"}},
	},
}

// A value that is no date or time leaves the others of its batch what they are, wherever in the batch it comes: the
// same text, the same cell.
func TestOneOddValue(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn, n := db.dsn(t), 0
		ask := func(typ string, values []string) string {
			n++
			query := fmt.Sprintf("select v from odd%d order by n", n)
			if db.exec == nil {
				kind, err := minitds.ParseType(typ)
				if err != nil {
					t.Fatal(err)
				}
				var rows [][]any
				for _, v := range values {
					rows = append(rows, []any{sqlserverLiteral(typ, v)})
				}
				script.add(query, minitds.Answer{Columns: []minitds.Column{{Name: "v", Type: kind}}, Rows: rows})
				return query
			}
			db.exec(t, dsn, fmt.Sprintf("create table odd%d (n int, v %s)", n, typ))
			for i, v := range values {
				insert := fmt.Sprintf("insert into odd%d values (%d, %s)", n, i, v)
				if db.driver == "mysql" {
					insert = "set sql_mode = 'ALLOW_INVALID_DATES'; " + insert
				}
				db.exec(t, dsn, insert)
			}
			return query
		}
		for _, c := range odd[db.driver] {
			alone, _ := allBecome(t, db.driver, dsn, ask(c.typ, append(slices.Clone(c.real), "null")))
			for at := range len(c.real) + 1 {
				together, _ := allBecome(t, db.driver, dsn, ask(c.typ, append(slices.Insert(slices.Clone(c.real), at, c.value), "null")))
				if got := together[at].arrow; got != "utf8, mixed" {
					t.Errorf("%s %s at %d makes a batch of %s", c.typ, c.value, at, got)
				}
				for i, b := range slices.Delete(slices.Clone(together), at, at+1) {
					if b.csv != alone[i].csv || b.excel != alone[i].excel {
						t.Errorf("%s: beside %s at %d, %q and the cell %s are %q and %s", c.typ, c.value, at, alone[i].csv, alone[i].excel, b.csv, b.excel)
					}
				}
			}
		}
		if len(odd[db.driver]) == 0 {
			t.Error("nothing is known to be odd")
		}
	})
}
