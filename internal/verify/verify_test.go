package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/verify"
	"fanmill/internal/verify/excelread"
)

// The same rows are the same Dataset, wherever and however they are stored.
func TestDatabasesCSVAndWorkbookAgree(t *testing.T) {
	tables := fixture()
	want, cols := truthOf(t, tables)
	if got := want["Branch_001"].Sums["amount"]; got != "100001234.44" {
		t.Errorf("sum is %s", got)
	}
	got, err := verify.ReadCSV(strings.NewReader(csvText(tables)), verify.CSVOptions{Columns: cols, Key: "branch"})
	check(t, "csv", want, got, err)
	book := writeWorkbook(t, sheetsOf(tables))
	got, err = verify.Workbook(book, cols)
	check(t, "workbook", want, got, err)
	got, err = excelread.Workbook(book, cols)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range verify.DiffLoose(want, got) {
		t.Errorf("excelize: %s", d)
	}
}

func check(t *testing.T, what string, want, got verify.Dataset, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, d := range verify.Diff(want, got) {
		t.Errorf("%s: %s", what, d)
	}
}

// Nothing that goes wrong with a value goes unseen, and it is named.
func TestDiffNamesWhatIsWrong(t *testing.T) {
	want, cols := truthOf(t, fixture())
	cases := []struct {
		what, csv, workbook string
		spoil               func(rows [][]cell) [][]cell
	}{
		{"a row lost", "3 rows, want 4", "3 rows, want 4", func(r [][]cell) [][]cell { return r[:3] }},
		{"a row twice", "5 rows, want 4", "5 rows, want 4", func(r [][]cell) [][]cell { return append(r, r[0]) }},
		{"one row for another", "sum of amount is 100000000.07", "sum of amount is 100000000.07", func(r [][]cell) [][]cell {
			r[0], r[1][2] = r[1], number("0.04", "0.04") // the same row twice
			return r
		}},
		{"values swapped between rows", "not in the same rows", "not in the same rows", func(r [][]cell) [][]cell {
			r[0][1], r[1][1] = r[1][1], r[0][1]
			return r
		}},
		{"NULL for an empty text", "NULL and the empty text are mixed up", "NULL and the empty text are mixed up", func(r [][]cell) [][]cell {
			r[2][6] = null
			return r
		}},
		{"a leading zero lost", "the values of hsn differ", "the values of hsn differ", func(r [][]cell) [][]cell {
			r[0][1] = number("402", "402")
			return r
		}},
		{"text as a number", "", "the values of hsn differ", func(r [][]cell) [][]cell {
			r[1][1] = number("1905", "1905")
			return r
		}},
		{"a number as text", "", "the values of n differ", func(r [][]cell) [][]cell {
			r[0][3] = text("7")
			return r
		}},
		{"a date as text", "", "the values of day differ", func(r [][]cell) [][]cell {
			r[0][4] = text("2024-04-01")
			return r
		}},
		{"a number that a double cannot hold", "", "the values of n differ", func(r [][]cell) [][]cell {
			r[2][3].number = true
			return r
		}},
		{"a microsecond", "the values of at differ", "the values of at differ", func(r [][]cell) [][]cell {
			r[0][5] = day("2024-04-01 09:30:00.000002", "45383.39583333335648148148")
			return r
		}},
	}
	for _, c := range cases {
		for _, form := range []string{"csv", "workbook"} {
			tables := fixture()
			tables["Branch_001"] = c.spoil(tables["Branch_001"])
			find := c.csv
			got, err := verify.ReadCSV(strings.NewReader(csvText(tables)), verify.CSVOptions{Columns: cols, Key: "branch"})
			if form == "workbook" {
				find = c.workbook
				got, err = verify.Workbook(writeWorkbook(t, sheetsOf(tables)), cols)
			}
			if err != nil {
				t.Fatalf("%s, %s: %v", c.what, form, err)
			}
			diff := strings.Join(verify.Diff(want, got), "\n")
			if find == "" != (diff == "") || !strings.Contains(diff, find) || strings.Contains(diff, "Branch_002") {
				t.Errorf("%s, %s: found %q, want %q", c.what, form, diff, find)
			}
		}
	}
	got := verify.Dataset{"Branch_001": want["Branch_001"], "Branch_009": want["Branch_002"]}
	if d := verify.Diff(want, got); !slices.Equal(d, []string{"Branch_002: is missing", "Branch_009: should not be there"}) {
		t.Errorf("got %q", d)
	}
}

// A table in two pieces, as a sheet that rolled over, adds up to the whole.
func TestAdd(t *testing.T) {
	tables := fixture()
	want, cols := truthOf(t, tables)
	rows := tables["Branch_001"]
	got, err := verify.Workbook(writeWorkbook(t, map[string]string{"a": sheetXML(rows[:1]), "b": sheetXML(rows[1:])}), cols)
	if err != nil {
		t.Fatal(err)
	}
	sum := got["a"]
	if err := sum.Add(got["b"]); err != nil {
		t.Fatal(err)
	}
	if d := verify.Diff(want.Only("Branch_001"), verify.Dataset{"Branch_001": sum}); len(d) > 0 {
		t.Error(d)
	}
	if got["a"].Count != 1 {
		t.Error("adding changed the piece")
	}
}

// CSV is read as RFC 4180 has it, and no more generously.
func TestCSVIsStrict(t *testing.T) {
	good := map[string]string{
		"quoted":     "a,b\r\n\"x\"\"y\r\nz\",\r\n",
		"no rows":    "a,b\r\n",
		"last field": "a,b\r\n,\"\"\r\n",
	}
	for name, text := range good {
		if _, err := verify.ReadCSV(strings.NewReader(text), verify.CSVOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := map[string]string{
		"":                              "the file is empty",
		"a,b\r\n1\r\n":                  "line 2: 1 fields, the header has 2",
		"a,b\r\n\"x\r\ny\",1\r\n1\r\n":  "line 4: 1 fields, the header has 2",
		"a,b\n1,2\n":                    "line 1: an LF without CR",
		"a,b\r\n1,2":                    "line 2: the file ends without a line end",
		"a,b\r\n1,\"2":                  "line 2: the file ends inside a quoted field",
		"a,b\r\n1,":                     "line 2: the file ends inside a record",
		"a,b\r\n1,\"2\"3\r\n":           "line 2: '3' after a closing quote",
		"a,b\r\n1,2\"3\r\n":             "line 2: a quote inside an unquoted field",
		"a,b\r\n1,2\r3\r\n":             "line 2: a CR without LF",
		"a,b\r\n1,\xff\r\n":             "line 2: a field is not UTF-8",
		"a,k\r\n1,x\r\n2,y\r\n3,x\r\n":  "line 4: rows of x again",
		"a,b\r\n1,2\r\n":                `the header has no column "k"`,
		"a,k\r\n1,x\r\n2,\"x\"\r\n\r\n": "line 4: 1 fields, the header has 2",
	}
	for text, want := range bad {
		o := verify.CSVOptions{}
		if strings.Contains(want, "again") || strings.Contains(want, "column \"k\"") {
			o.Key = "k"
		}
		if _, err := verify.ReadCSV(strings.NewReader(text), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := verify.CSV(filepath.Join(t.TempDir(), "none.csv"), verify.CSVOptions{}); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

// A workbook that a spreadsheet program would call damaged does not open here.
func TestOpenWorkbook(t *testing.T) {
	tables := fixture()
	path := writeWorkbook(t, sheetsOf(tables))
	sheets, rows, err := verify.OpenWorkbook(path)
	if err != nil || !slices.Equal(sheets, []string{"Branch_001", "Branch_002"}) || rows["Branch_001"] != 5 || rows["Branch_002"] != 5 {
		t.Errorf("got %v, %v, %v", sheets, rows, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 1, len(whole) / 2, len(whole) - 30, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:length], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := verify.OpenWorkbook(path); err == nil {
			t.Errorf("the first %d of %d bytes open", length, len(whole))
		}
	}
	// Every byte of the first sheet's data is covered by its checksum.
	for at := 80; at < 400; at += 40 {
		spoilt := slices.Clone(whole)
		spoilt[at] ^= 0x10
		if err := os.WriteFile(path, spoilt, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := verify.OpenWorkbook(path); err == nil {
			t.Errorf("opens with byte %d changed", at)
		}
	}
	sheet := sheetXML(tables["Branch_001"])
	for name, body := range map[string]string{
		"cut short":         sheet[:len(sheet)-20],
		"two ends":          sheet + "</worksheet>",
		"no nesting":        strings.Replace(sheet, "</row>", "</c>", 1),
		"no references":     strings.Replace(sheet, ` r="A2"`, "", 1),
		"rows out of order": strings.Replace(sheet, `<row r="3">`, `<row r="2">`, 1),
		"a row missing":     strings.Replace(sheet, `<row r="3">`, `<row r="4">`, 1),
		"cell of elsewhere": strings.Replace(sheet, `r="B2"`, `r="B3"`, 1),
		"control character": strings.Replace(sheet, "1905", "\x01", 1),
		"not UTF-8":         strings.Replace(sheet, "1905", "\xff", 1),
		"bare ampersand":    strings.Replace(sheet, "1905", "&x", 1),
		"text too long":     strings.Replace(sheet, "1905", strings.Repeat("x", 32768), 1),
	} {
		if _, err := verify.Workbook(writeWorkbook(t, map[string]string{"s": body}), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := verify.OpenWorkbook(writeWorkbook(t, map[string]string{"s": sheet[:len(sheet)-20]})); err == nil {
		t.Error("a sheet without its end opens")
	}
	if _, _, err := verify.OpenWorkbook(writeWorkbook(t, nil)); err == nil {
		t.Error("a workbook without sheets opens")
	}
	empty := `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData/></worksheet>`
	if got, err := verify.Workbook(writeWorkbook(t, map[string]string{"Sheet1": empty}), nil); err != nil || len(got) != 0 {
		t.Errorf("an empty workbook: %v, %v", got, err)
	}
}

// Rows are counted wherever a buffer happens to end.
func TestOpenWorkbookCountsLargeSheets(t *testing.T) {
	rows := make([][]cell, 20_000)
	for i := range rows {
		rows[i] = fixture()["Branch_001"][i%4]
	}
	_, n, err := verify.OpenWorkbook(writeWorkbook(t, map[string]string{"s": sheetXML(rows)}))
	if err != nil || n["s"] != 20_001 {
		t.Errorf("got %v, %v", n, err)
	}
}
