package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// A column is one kind of cell: a value that is none of its kind is a text and counted, by every destination; its
// neighbours stay what they are. Totals are of numbers, and texts are never added up.
func TestColumnIsOneKind(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t).NewDatabase(t)
	w := newJob(t, object{"id": "v",
		"destinations": []object{{"id": "x", "type": "excel", "filePath": outPath("v.xlsx")}, {"id": "c", "type": "csv", "filePath": outPath("v.csv")},
			{"id": "digits", "type": "excel", "filePath": outPath("digits.xlsx"), "columns": object{"amount": object{"digits": "text"}}},
			{"id": "strict", "type": "excel", "filePath": outPath("strict.xlsx"), "onLoss": "fail"}},
		"connections": []object{
			{"id": "s", "name": "Lite", "driver": "sqlite", "query": "select amount, paid, big, upper(code) as code, date(d) as day from sale order by id",
				"dsn": sqliteDB(t, `create table sale (id integer primary key, amount decimal(14,2), paid boolean, big integer, code text, d date);
					insert into sale values (1, 0.1, 1, 1234567890123456789, '00042', '2024-01-01'), (2, 0.1 + 0.2, 2, 5, '00043', null), (3, 'n/a', 0, 6, null, null), (4, null, null, 7, 'x', null)`)},
			{"id": "p", "name": "Post", "driver": "postgres", "dsn": dsn,
				"query": "select a / b as amount, true as paid, 1::bigint as big, 'PG' as code, current_date - current_date || '' as day from (values (20::numeric, 3::numeric), (4.5, 1), (7, 1)) v(a, b)"},
		}})
	v, _ := w.runJSON(exitPartial, nil) // the strict workbook has no room for twenty thirds
	w.holds("v.csv", "amount,paid,big,code,day\r\n0.10,true,1234567890123456789,00042,2024-01-01\r\n0.30000000000000004,2,5,00043,\r\nn/a,false,6,,\r\n,,7,X,\r\n"+
		"6.6666666666666667,true,1,PG,0\r\n4.5000000000000000,true,1,PG,0\r\n7.0000000000000000,true,1,PG,0\r\n")
	declared := "paid is declared as a boolean, and 1 of its values are neither 0 nor 1: to have numbers, write cast(paid as integer) in the query"
	for name, want := range map[string][]string{
		"v.csv":       {declared, "amount: 1 of 3 values are not numbers; the first in row 3", "paid: 1 of 3 values are not booleans; the first in row 2"},
		"v.xlsx":      {declared, "amount: 1 of 3 cells are texts; the first in row 3", "paid: 1 of 3 cells are texts; the first in row 2", "big: 1 of 4 cells are texts: whole numbers of more than 15 digits; the first in row 1"},
		"strict.xlsx": {declared, "amount: 1 of 3 cells are texts; the first in row 3", "paid: 1 of 3 cells are texts; the first in row 2", "big: 1 of 4 cells are texts: whole numbers of more than 15 digits; the first in row 1"},
	} {
		r := readJSON[pipeline.Report](t, w.out(name+".manifest.json"))
		notes := slices.DeleteFunc(r.Connections[0].Notes, func(n string) bool { return strings.Contains(n, "elsewhere") })
		if !slices.Equal(notes, want) {
			t.Errorf("%s: the notes are %q, want %q", name, notes, want)
		}
		for _, n := range want {
			if !strings.Contains(fmt.Sprintf("%+v", v.Connections[0].Notes), n) {
				t.Errorf("the run's end has %+v, and not %q", v.Connections[0].Notes, n)
			}
		}
	}
	if r := readJSON[pipeline.Report](t, w.out("v.xlsx.manifest.json")); fmt.Sprint(r.Connections[1].Losses) != "[{amount rounded to 15 digits 1}]" {
		t.Errorf("the losses are %v", r.Connections[1].Losses)
	}
	if r := readJSON[pipeline.Report](t, w.out("strict.xlsx.manifest.json")); r.Connections[0].State != pipeline.ReportSettled || r.Connections[1].State != pipeline.ReportRejected ||
		!strings.Contains(r.Connections[1].Error, `column "amount", row 1: the number has more than the 15 digits that a cell holds; with "digits": "text"`) {
		t.Errorf("with onLoss fail: %+v", r.Connections)
	}
	book, err := excelize.OpenFile(w.out("v.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for sheet, want := range map[string]string{"Lite": "0.4", "Post": "18.1666666666667"} {
		if err := book.SetCellFormula(sheet, "J1", "SUM(A2:A9)"); err != nil {
			t.Fatal(err)
		}
		if got, err := book.CalcCellValue(sheet, "J1", excelize.Options{RawCellValue: true}); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("the sum of %s is %s, want %s (%v)", sheet, got, want, err)
		}
	}
	rows, err := book.GetRows("Summary", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	for _, row := range rows {
		if len(row) > 7 && row[0] == "Connection" {
			head = row[7:]
		}
		if len(row) > 6 && row[0] == "Lite" && !strings.HasSuffix(row[6], "; amount: 1 value is not a number and not in its total") {
			t.Errorf("the remarks are %q", row[6])
		}
	}
	if !slices.Equal(head, []string{"amount (approx.)", "big"}) {
		t.Errorf("there are totals of %q", head)
	}
	digits, err := excelize.OpenFile(w.out("digits.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer digits.Close()
	for cell, want := range map[string]string{"A2": "6.6666666666666667", "A3": "4.5000000000000000"} {
		got, _ := digits.GetCellValue("Post", cell, excelize.Options{RawCellValue: true})
		if kind, err := digits.GetCellType("Post", cell); err != nil || kind != excelize.CellTypeInlineString || got != want {
			t.Errorf("%s is %q of type %v (%v)", cell, got, kind, err)
		}
	}
}

// An expression of SQLite has no type that another database could be at odds with.
func TestUnknownTypeIsNoDrift(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t).NewDatabase(t)
	for _, onDrift := range []string{"fail", "skip", "union"} {
		w := newJob(t, object{"id": "v", "onDrift": onDrift, "destinations": []object{{"type": "csv", "filePath": outPath("v.csv")}},
			"connections": []object{
				{"id": "s1", "driver": "sqlite", "dsn": sqliteDB(t, "create table t (name text)"), "query": "select upper(name) as name, count(*) as n from t"},
				{"id": "p", "driver": "postgres", "dsn": dsn, "query": "select 'x'::text as name, 1::bigint as n"},
				{"id": "s2", "driver": "sqlite", "dsn": sqliteDB(t, "create table t (name text)"), "query": "select 7 as name, 2 as n from (select 1)"},
			}})
		w.mustRun(exitComplete, nil)
		w.holds("v.csv", "name,n\r\n,0\r\nx,1\r\n7,2\r\n")
		for _, c := range readJSON[pipeline.Report](t, w.out("v.csv.manifest.json")).Connections {
			if len(c.Notes) > 0 {
				t.Errorf("%s: %s has the notes %q", onDrift, c.ID, c.Notes)
			}
		}
		if v := checkJSON(t, exitComplete, w.job()); v.Differing != 0 {
			t.Errorf("%s: the check has %+v", onDrift, v)
		}
	}
}
