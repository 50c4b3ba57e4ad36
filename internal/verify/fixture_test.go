package verify_test

import (
	"archive/zip"
	"bytes"
	"context"
	"database/sql"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fanmill/internal/verify"
)

// cell is a value as each of the three holds it. The tests write artifacts by hand from these, so that what the readers
// take for right does not come from any writer.
type cell struct {
	sql    string // literal
	csv    string // field with its quotes
	excel  string // of the cell: the number, or the escaped text
	number bool
	none   bool // no cell
}

func text(s string) cell {
	var x bytes.Buffer
	_ = xml.EscapeText(&x, []byte(strings.ReplaceAll(s, "\r", "_x000D_")))
	return cell{sql: "'" + strings.ReplaceAll(s, "'", "''") + "'", csv: `"` + strings.ReplaceAll(s, `"`, `""`) + `"`, excel: x.String()}
}

func number(s, excel string) cell { return cell{sql: s, csv: s, excel: excel, number: true} }

func day(iso, serial string) cell {
	return cell{sql: "'" + iso + "'", csv: iso, excel: serial, number: true}
}

var null = cell{sql: "NULL", none: true}

var fixtureColumns = []string{"branch", "hsn", "amount", "n", "day", "at", "note"}

const fixtureTable = `CREATE TABLE sale (branch TEXT, hsn TEXT, amount DECIMAL(14,2), n INTEGER, day DATE, at TIMESTAMP, note TEXT)`

// fixture is two branches of four rows with what goes wrong first.
func fixture() map[string][][]cell {
	out := map[string][][]cell{}
	for _, b := range []string{"Branch_001", "Branch_002"} {
		n := text(b)
		out[b] = [][]cell{
			{n, text("0402"), number("1234.50", "1234.5"), number("7", "7"), day("2024-04-01", "45383"), day("2024-04-01 09:30:00.000001", "45383.39583333334490740740"), text("a, \"b\"\r\nc")},
			{n, text("1905"), number("-0.05", "-0.05"), null, day("1900-03-01", "61"), day("1900-03-01 00:00:00", "61"), null},
			{n, text("12345678901234567"), {sql: "0", csv: "0.00", excel: "0", number: true}, {sql: "9007199254740993", csv: "9007199254740993", excel: "9007199254740993"}, {sql: "'1899-12-31'", csv: "1899-12-31", excel: "1899-12-31"}, null, text("")},
			{n, text("धन्यवाद 🙂"), number("99999999.99", "99999999.99"), number("-1", "-1"), null, day("2024-12-31 23:59:59.5", "45657.999994212962963"), text(" <&> ")},
		}
	}
	return out
}

func truthOf(t testing.TB, tables map[string][][]cell) (verify.Dataset, []verify.Column) {
	t.Helper()
	var sources []verify.Source
	for _, name := range []string{"Branch_001", "Branch_002"} {
		path := filepath.Join(t.TempDir(), "branch ä.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		statements := []string{fixtureTable}
		for _, row := range tables[name] {
			literals := make([]string, len(row))
			for i, c := range row {
				literals[i] = c.sql
			}
			statements = append(statements, "INSERT INTO sale VALUES ("+strings.Join(literals, ",")+")")
		}
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, verify.Source{Name: name, Path: path})
	}
	d, cols, err := verify.SQLite(context.Background(), sources, "select * from sale")
	if err != nil {
		t.Fatal(err)
	}
	return d, cols
}

func csvText(tables map[string][][]cell) string {
	var b strings.Builder
	b.WriteString(strings.Join(fixtureColumns, ",") + "\r\n")
	for _, name := range []string{"Branch_002", "Branch_001"} { // in the order of committing
		for _, row := range tables[name] {
			fields := make([]string, len(row))
			for i, c := range row {
				fields[i] = c.csv
			}
			b.WriteString(strings.Join(fields, ",") + "\r\n")
		}
	}
	return b.String()
}

func sheetXML(rows [][]cell) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><!-- > --><sheetData>`)
	header := make([]cell, len(fixtureColumns))
	for i, c := range fixtureColumns {
		header[i] = text(c)
	}
	for r, row := range append([][]cell{header}, rows...) {
		fmt.Fprintf(&b, `<row r="%d">`, r+1)
		for i, c := range row {
			ref := string(rune('A'+i)) + strconv.Itoa(r+1)
			switch {
			case c.none:
				if i%2 == 0 {
					fmt.Fprintf(&b, `<c r="%s" s="1"/>`, ref)
				}
			case c.number:
				fmt.Fprintf(&b, `<c r="%s"><v>%s</v></c>`, ref, c.excel)
			default:
				fmt.Fprintf(&b, `<c r="%s" t="inlineStr"><is><t xml:space="preserve">%s</t></is></c>`, ref, c.excel)
			}
		}
		b.WriteString("</row>")
	}
	b.WriteString("</sheetData></worksheet>\n")
	return b.String()
}

// writeWorkbook writes a minimal workbook with these worksheets.
func writeWorkbook(t testing.TB, sheets map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.xlsx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	put := func(name, body string) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var types, rels, book strings.Builder
	names := make([]string, 0, len(sheets))
	for name := range sheets {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		part := fmt.Sprintf("worksheets/s%d.xml", i)
		put("xl/"+part, sheets[name])
		fmt.Fprintf(&types, `<Override PartName="/xl/%s" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`, part)
		fmt.Fprintf(&rels, `<Relationship Id="r%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="%s"/>`, i, part)
		fmt.Fprintf(&book, `<sheet name="%s" sheetId="%d" r:id="r%d"/>`, name, i+1, i)
	}
	put("[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>`+types.String()+`</Types>`)
	put("_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`)
	put("xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`+rels.String()+`</Relationships>`)
	put("xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>`+book.String()+`</sheets></workbook>`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func sheetsOf(tables map[string][][]cell) map[string]string {
	out := map[string]string{}
	for name, rows := range tables {
		out[name] = sheetXML(rows)
	}
	return out
}
