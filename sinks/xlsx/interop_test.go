package xlsx_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
	"fanmill/sinks/xlsx/sample"
)

// grownBook is a workbook of many kinds of cells that grew by three appends, each with a page of its own, and its
// compacted form. One of its sheets has columns as a user wants them, and facts.
func grownBook(t *testing.T) (grown, compacted []byte) {
	t.Helper()
	cases := cellCases()
	cols := make([]columnar.Column, len(cases))
	for i, c := range cases {
		cols[i] = c.column
		cols[i].Name = c.name
	}
	kinds := encode(t, newEncoder(t, cols, xlsx.Options{Location: time.FixedZone("IST", 5*3600+1800)}), batchOf(t, cols, func(b *columnar.Builder) {
		for i, c := range cases {
			c.put(b.Column(i))
		}
		b.EndRow()
	}))
	wb, err := xlsx.New(properties).WithFormats(`"₹ "#,##0.00`)
	if err != nil {
		t.Fatal(err)
	}
	layout := make([]xlsx.Layout, len(sample.Columns))
	for i := range layout {
		layout[i].Column = i
	}
	layout[7].Format, layout[7].Header, layout[11].Hidden = wb.Formats()[0], "Taxable", true
	sale := encode(t, newEncoder(t, sample.Columns, xlsx.Options{Layout: layout, Formats: wb.Formats()}), sales(2, 40, 3)...)
	delhi := sale.sheets(0, "दिल्ली")
	delhi[0].Facts = []byte(`{"rows":80}`)
	var file, final bytes.Buffer
	for i, sheets := range [][]xlsx.NewSheet{sale.sheets(1, "Mumbai & 'W' <1>"), kinds.sheets(2, "Kinds"), delhi} {
		if wb, err = wb.WithPage(somePage(i, i == 2)).Append(&file, sheets); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	if _, err := wb.Compact(bytes.NewReader(file.Bytes()), &final); err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), final.Bytes()
}

// tool finds a program or skips the test, saying which.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", strings.Join(names, " or "))
	return ""
}

// TestUnzip: unzip finds nothing wrong, with a workbook that grew nor with a compacted one.
func TestUnzip(t *testing.T) {
	unzip := tool(t, "unzip")
	grown, compacted := grownBook(t)
	for _, b := range [][]byte{grown, compacted} {
		if out, err := exec.Command(unzip, "-tq", writeFile(t, b)).CombinedOutput(); err != nil {
			t.Errorf("unzip: %v\n%s", err, out)
		}
	}
}

const openpyxlScript = `
import sys, json, openpyxl
out = []
for read_only in (False, True):
    wb = openpyxl.load_workbook(sys.argv[1], read_only=read_only)
    ws = wb["Kinds"]
    rows = list(ws.iter_rows(values_only=True))
    book = {"names": wb.sheetnames, "values": {}, "rows": [sum(1 for _ in w.iter_rows()) for w in wb]}
    for head, value in zip(rows[0], rows[1]):
        book["values"][head] = [type(value).__name__, str(value)]
    if not read_only:
        book["filter"] = ws.auto_filter.ref
        book["pane"] = ws.freeze_panes
        book["bold"] = ws["A1"].font.b
        book["format"] = {ws.cell(1, c.column).value: c.number_format for c in ws[2]}
        book["title"] = wb.properties.title
        page = wb["Summary"]
        book["front"] = wb.active.title
        book["page"] = [page["A1"].value, page["A3"].hyperlink.location, page.freeze_panes, page.auto_filter.ref, page["B3"].number_format]
        book["amount"] = wb.worksheets[0]["H2"].number_format
        book["hidden"] = wb.worksheets[0].column_dimensions["L"].hidden
    out.append(book)
print(json.dumps(out))
`

// TestOpenpyxl: Python's reader sees the same tabs, values, formats, filter and frozen header.
func TestOpenpyxl(t *testing.T) {
	python := ""
	for _, p := range []string{"/usr/bin/python3", "python3", "python"} {
		if exec.Command(p, "-c", "import openpyxl").Run() == nil {
			python = p
			break
		}
	}
	if python == "" {
		t.Skip("Python with openpyxl is not installed (apt install python3-openpyxl)")
	}
	grown, compacted := grownBook(t)
	for name, b := range map[string][]byte{"grown": grown, "compacted": compacted} {
		out, err := exec.Command(python, "-W", "error", "-c", openpyxlScript, writeFile(t, b)).Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, err.(*exec.ExitError).Stderr)
		}
		var books []struct {
			Names  []string
			Rows   []int
			Values map[string][2]string
			Filter string
			Pane   string
			Bold   bool
			Format map[string]string
			Title  string
			Front  string
			Page   []string
			Amount string
			Hidden bool
		}
		if err := json.Unmarshal(out, &books); err != nil {
			t.Fatal(err)
		}
		for _, book := range books {
			if !slices.Equal(book.Names, []string{"दिल्ली", "Mumbai & 'W' <1>", "Kinds", "Summary"}) || !slices.Equal(book.Rows, []int{81, 81, 2, 3}) {
				t.Errorf("%s: tabs %q with %v rows", name, book.Names, book.Rows)
			}
			for head, want := range map[string][2]string{
				"leading zeros": {"str", "00042"}, "16-digit id as text": {"str", "4111111111111111"}, "line ends": {"str", "a\r\nb\rc\nd"},
				"trailing CR": {"str", "a\r"}, "edge spaces": {"str", "  a b\t"}, "int": {"int", "-1234567"}, "int of 16 digits": {"str", "1000000000000000"},
				"decimal": {"float", "1234567.5"}, "16 digits": {"float", "10000000000000.0"}, "true": {"bool", "True"}, "date": {"datetime", "2025-04-01 00:00:00"},
				"timestamp": {"datetime", "2025-04-01 12:00:00"}, "milliseconds": {"datetime", "2025-04-01 23:59:59.125000"}, "instant": {"datetime", "2025-04-01 00:00:00"},
				"time": {"time", "12:30:00"}, "old timestamp": {"str", "1899-12-31 01:02:03.5"}, "scripts": {"str", "रामलाल 日本 🧾 é"},
				"float of 17 digits": {"float", "0.30000000000000004"},
			} {
				if got := book.Values[head]; got != want {
					t.Errorf("%s: %s is %q, want %q", name, head, got, want)
				}
			}
		}
		full := books[0]
		if full.Pane != "A2" || !full.Bold || full.Filter != fmt.Sprintf("A1:%s2", lastColumn(len(cellCases()))) || full.Title != properties.Title {
			t.Errorf("%s: pane %q, bold %v, filter %q, title %q", name, full.Pane, full.Bold, full.Filter, full.Title)
		}
		if full.Front != "Summary" || !slices.Equal(full.Page, []string{"state 2", "'Branch 003'!A1", "B3", "A2:B3", "#,##0"}) || full.Amount != `"₹ "#,##0.00` || !full.Hidden {
			t.Errorf("%s: in front %q, page %q, amounts %q, hidden %v", name, full.Front, full.Page, full.Amount, full.Hidden)
		}
		for head, want := range map[string]string{"leading zeros": "@", "int": "0", "decimal": "#,##0.00", "date": `yyyy\-mm\-dd`, "timestamp": `yyyy\-mm\-dd\ hh:mm:ss`,
			"milliseconds": `yyyy\-mm\-dd\ hh:mm:ss.000`, "time": "hh:mm:ss", "float": "General"} {
			if full.Format[head] != want {
				t.Errorf("%s: the format of %s is %q", name, head, full.Format[head])
			}
		}
	}
}

func lastColumn(n int) string { // at most 26*27 columns
	if n <= 26 {
		return string(rune('A' + n - 1))
	}
	return string(rune('A'+(n-1)/26-1)) + string(rune('A'+(n-1)%26))
}

// TestLibreOffice: Calc opens a workbook that grew, and shows dates, times and amounts as they are meant.
func TestLibreOffice(t *testing.T) {
	office := tool(t, "soffice", "libreoffice")
	grown, _ := grownBook(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "book.xlsx")
	if err := os.WriteFile(path, grown, 0o600); err != nil {
		t.Fatal(err)
	}
	// Sheet 3, every cell as shown, comma, quotes, UTF-8.
	cmd := exec.Command(office, "-env:UserInstallation=file://"+filepath.ToSlash(filepath.Join(dir, "profile")), "--headless",
		"--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,true,false,false,3", "--outdir", dir, path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.csv"))
	if len(found) != 1 {
		t.Fatalf("no csv but %q", found)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	shown := map[string]string{}
	for i, head := range rows[0] {
		shown[head] = rows[1][i]
	}
	for head, want := range map[string]string{"leading zeros": "00042", "16-digit id as text": "4111111111111111", "formula stays text": "=1+1", "edge spaces": "  a b\t",
		"int": "-1234567", "int of 15 digits": "999999999999999", "decimal": "1,234,567.50", "16 digits": "10,000,000,000,000.00", "date": "2025-04-01", "first date": "1900-03-01",
		"last date": "9999-12-31", "timestamp": "2025-04-01 12:00:00", "milliseconds": "2025-04-01 23:59:59.125", "time with milliseconds": "00:00:01.500", "true": "TRUE", "looks escaped": "_x0041_ _x000d_ _xZZZZ_ __x0041_"} {
		if shown[head] != want {
			t.Errorf("%s is shown as %q, want %q", head, shown[head], want)
		}
	}
}
