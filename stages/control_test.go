package stages_test

import (
	"math/big"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

const (
	qWide  = "with w as (select id, i, f, d from kinds where id <> 2)\nselect i, d, f from w order by d; -- the sum of i needs 65 bits"
	qEmpty = "select i, d, f from kinds where id > 5"
)

// What SQL Server is asked for the totals of the queries of the test, and answers.
var sqlserverTotals = map[string][]any{
	"select count_big(*), sum(fanmill_rows.[i] + cast(0 as decimal(1, 0))), sum(fanmill_rows.[d] + cast(0 as decimal(1, 0))), sum(fanmill_rows.[f] + cast(0 as decimal(1, 0))) from (" +
		"select * from kinds order by id\noffset 0 rows\n) as fanmill_rows": {4, "9007199254740992", "-999999999987.69", -1e300},
	"with w as (select id, i, f, d from kinds where id <> 2)\nselect count_big(*), sum(fanmill_rows.[i] + cast(0 as decimal(1, 0))), sum(fanmill_rows.[d] + cast(0 as decimal(1, 0))), " +
		"sum(fanmill_rows.[f] + cast(0 as decimal(1, 0))) from (select i, d, f from w order by d\noffset 0 rows\n) as fanmill_rows": {3, "9232379236109516800", "12.30", 0.1000001},
	"select count_big(*), sum(fanmill_rows.[i] + cast(0 as decimal(1, 0))), sum(fanmill_rows.[d] + cast(0 as decimal(1, 0))), sum(fanmill_rows.[f] + cast(0 as decimal(1, 0))) from (" +
		"select i, d, f from kinds where id > 5\n) as fanmill_rows": {0, nil, nil, nil},
}

// The control totals that a database makes of a query are exact for exact numbers, also where its own sum would
// overflow, and nothing of no rows.
func TestControlTotals(t *testing.T) {
	for sql, row := range sqlserverTotals {
		script.add(sql, minitds.Answer{Rows: [][]any{row}, Columns: []minitds.Column{{Name: "", Type: minitds.BigInt}, {Name: "", Type: minitds.Decimal(38, 0)},
			{Name: "", Type: minitds.Decimal(38, 2)}, {Name: "", Type: minitds.Float}}})
	}
	each(t, func(t *testing.T, db database) {
		for _, c := range []struct{ sql, want string }{
			{qKinds, "4 9007199254740992 -999999999987.69"},
			{qWide, "3 9232379236109516800 12.30"},
			{qEmpty, "0 0 0"},
		} {
			q, err := stages.Kinds()[db.driver].Control(c.sql, &pipeline.Verify{Count: true, Sum: []string{"i", "d", "f"}})
			if err != nil {
				t.Fatal(err)
			}
			s := openRequest(t, db.driver, pipeline.Request{DSN: db.dsn(t), Together: true, Queries: asQueries([]string{q.SQL})})
			got := totalsOf(t, s, q)
			words := strings.Fields(c.want)
			for i, text := range words {
				want, _ := new(big.Rat).SetString(text)
				is, ok := new(big.Rat).SetString(got[i].Text())
				exact := i < 2 || db.driver != "sqlite" // which adds up doubles where values have a fraction
				near := new(big.Rat).SetFloat64(1e-3)
				if !ok || exact && (is.Cmp(want) != 0 || got[i].Approximate()) || !exact && new(big.Rat).Abs(is.Sub(is, want)).Cmp(near) > 0 {
					t.Errorf("%s: total %d is %s, want %s", c.sql, i, got[i].Text(), text)
				}
			}
		}
	})
}

// totalsOf reads the row of a session's only query, a query for control totals.
func totalsOf(t *testing.T, s pipeline.Session, q pipeline.ControlQuery) []*columnar.Total {
	t.Helper()
	var row *columnar.Batch
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		if b.Rows() == 0 {
			return nil
		}
		body, err := b.Encode()
		if err != nil {
			return err
		}
		row, err = columnar.Decode(slices.Clone(body))
		b.Reset()
		return err
	})
	if err != nil || row == nil || row.Rows != 1 {
		t.Fatalf("%v, %v", row, err)
	}
	var out []*columnar.Total
	at := 0
	for _, shifts := range q.Shifts {
		total := &columnar.Total{}
		for _, shift := range shifts {
			part := columnar.NewTotal(row.Cols[at].Column)
			part.AddColumn(&row.Cols[at], 1)
			part.Shift(shift)
			if row.Cols[at].Nulls == 0 {
				total.Add(&part)
			}
			at++
		}
		out = append(out, total)
	}
	if at != len(row.Cols) {
		t.Errorf("%d columns for %d parts", len(row.Cols), at)
	}
	return out
}

// What cannot stand in brackets is refused, with what to do; names are quoted as the database has them.
func TestControlQueries(t *testing.T) {
	count := &pipeline.Verify{Count: true}
	for _, c := range []struct{ driver, sql, want string }{
		{"sqlserver", "exec report 1", ""},
		{"sqlserver", "declare @n int = 1; select @n as n", ""},
		{"sqlserver", "select a from t for xml auto", ""},
		{"sqlserver", "select a from t option (recompile)", ""},
		{"sqlserver", "select a into #x from t", ""},
		{"sqlserver", "select top 5 a from t order by a", "select count_big(*) from (select top 5 a from t order by a\n) as fanmill_rows"},
		{"sqlserver", "select a from t order by a offset 5 rows", "select count_big(*) from (select a from t order by a offset 5 rows\n) as fanmill_rows"},
		{"sqlserver", "select a, (select top 1 b from u order by b) as b from t", "select count_big(*) from (select a, (select top 1 b from u order by b) as b from t\n) as fanmill_rows"},
		{"sqlserver", "select a from t for system_time as of '2026-01-01' order by [top], a", "select count_big(*) from (select a from t for system_time as of '2026-01-01' order by [top], a\noffset 0 rows\n) as fanmill_rows"},
		{"mysql", "call report(1)", ""},
		{"mysql", "show tables", ""},
		{"postgres", "table t", ""},
		{"postgres", "values (1), (2);", "select count(*) from (values (1), (2)\n) as fanmill_rows"},
		{"sqlite", "pragma table_list", ""},
		{"sqlite", "select ';' as a -- ; not the end", "select count(*) from (select ';' as a -- ; not the end\n) as fanmill_rows"},
	} {
		q, err := stages.Kinds()[c.driver].Control(c.sql, count)
		if (err != nil) != (c.want == "") || err == nil && q.SQL != c.want {
			t.Errorf("%s: %s: %q, %v", c.driver, c.sql, q.SQL, err)
		}
		if err != nil && !strings.Contains(err.Error(), `give "verify" a "query" of its own`) {
			t.Errorf("%s: %v", c.driver, err)
		}
	}
	for driver, want := range map[string]string{"postgres": `fanmill_rows."a ""b"" ]" * 1`, "mysql": "fanmill_rows.`a \"b\" ]`", "sqlserver": `fanmill_rows.[a "b" ]]] +`, "sqlite": `fanmill_rows."a ""b"" ]" >> 32`} {
		q, err := stages.Kinds()[driver].Control("select 1", &pipeline.Verify{Sum: []string{`a "b" ]`}})
		if err != nil || !strings.Contains(q.SQL, want) {
			t.Errorf("%s: %s, %v", driver, q.SQL, err)
		}
	}
}
