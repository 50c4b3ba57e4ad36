package stages

import (
	"slices"
	"strings"
	"testing"
)

// What stands in double quotes and could be meant as a column is found, and nothing else.
func TestMySQLDoubleQuoted(t *testing.T) {
	for sql, want := range map[string]string{
		`select id from sale where "status" = 'open'`:                                 "status",
		`select "status", "status", ("note") from sale group by "day"`:                "status note day",
		`select sum(case when "a" = 1 then "b" else "c" end) from t`:                  "a b c",
		`where x = "it's" and y in ("open","closed") or "z" is null`:                  "it's open closed z",
		`select count(distinct "id") from t having "n" > 1 order by "id"`:             "id n",
		`where "order date" > 1 and not "paid"`:                                       "order date paid",
		`select /*!50605 "inside", */ /*M!100300 "maria", */ 1`:                       "inside maria",
		`where "Rückgabe" = 1 and "Invoice No." = 2`:                                  "Rückgabe Invoice No.",
		"select 'it\\'s \"no\"', `a\"b\"`, \"yes\" -- \"no\"\n# \"no\"\n/* \"no\" */": "yes",
		`select 'x' "joined"`: "joined",
		`select 1 as "One", a "Two", b.c "Three", f(x) "Four", 5 "Five", end "Six", ` + "`g` \"Seven\"":    "",
		`select group_concat(a separator ", "), date_format(d, "%Y-%m"), "", "2024-01-01", "12" from sale`: "",
		`select 1`:     "",
		`select "`:     "",
		`select "open`: "open", // the server refuses it
	} {
		if got := mysqlDoubleQuoted(sql, mysqlDialect); strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", sql, got, want)
		}
	}
	plain := mysqlDialect
	plain.backslash = false
	if got := mysqlDoubleQuoted(`where a = '\' and "status" = 1`, plain); !slices.Equal(got, []string{"status"}) {
		t.Errorf("where a backslash is a letter: %q", got)
	}
}
