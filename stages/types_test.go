package stages_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

var update = flag.Bool("update", false, "write what values become into docs/types.md")

// The page about types, and the time zone of its examples.
const (
	typesPage = "../docs/types.md"
	typesZone = "Asia/Kolkata"
)

// pageSections are the headings of the page's tables and the databases that they are about.
var pageSections = map[string]string{"PostgreSQL": "postgres", "SQLite": "sqlite", "MySQL and MariaDB": "mysql", "SQL Server": "sqlserver"}

// values returns a function that puts a value, as SQL, into a column of a type and returns the query that reads it. A
// database that cannot execute statements is skipped, if it has no answer of its own.
func (db database) values(t testing.TB) func(typ, value string) (dsn, query string) {
	t.Helper()
	if db.typed != nil {
		return db.typed(t)
	}
	if db.exec == nil {
		t.Skip("no server to ask that can execute statements")
	}
	dsn := db.dsn(t)
	n := 0
	return func(typ, value string) (string, string) {
		n++
		db.exec(t, dsn, fmt.Sprintf("create table v%d (v %s)", n, typ))
		db.exec(t, dsn, fmt.Sprintf("insert into v%d values (%s)", n, value))
		return dsn, fmt.Sprintf("select v from v%d", n)
	}
}

// become is what a value of a query is on its way.
type become struct{ arrow, csv, excel string }

// becomes is what the one value of a query becomes.
func becomes(t testing.TB, driver, dsn, query string) become {
	t.Helper()
	all, losses := allBecome(t, driver, dsn, query)
	if len(all) != 1 {
		t.Fatalf("%s: %d rows", query, len(all))
	}
	all[0].excel += losses
	return all[0]
}

// allBecome is what the values of a query's one column become, in one batch, and what a workbook lost of them.
func allBecome(t testing.TB, driver, dsn, query string) (all []become, losses string) {
	t.Helper()
	zone, err := time.LoadLocation(typesZone)
	if err != nil {
		t.Fatal(err)
	}
	clock := columnar.NewClock(zone)
	s := open(t, driver, dsn, query)
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(rows *columnar.Builder) error {
		if rows.Rows() == 0 {
			return nil // the rest behind a batch that was full
		}
		body, err := rows.Encode()
		if err != nil {
			return err
		}
		body = bytes.Clone(body)
		rows.Reset()
		batch, err := columnar.Decode(body)
		if err != nil {
			return err
		}
		var cells []string
		cells, losses = excelCells(t, s.Columns(0), batch, zone)
		for r := range batch.Rows {
			b := become{arrow: arrowType(t, body), csv: "NULL", excel: cells[r]}
			if v := &batch.Cols[0]; !v.Null(r) {
				b.csv = csvText(s.Columns(0)[0].Kind, v, r, &clock)
			}
			all = append(all, b)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all, losses
}

// csvText is what a CSV has of a value: instants on the wall clock of the job's zone, also those of a batch that
// became text.
func csvText(declared columnar.Kind, v *columnar.View, row int, clock *columnar.Clock) string {
	if v.Kind == columnar.Mixed && v.Classes[row] == columnar.ClassMoment && (declared == columnar.Instant || declared == columnar.Timestamp) {
		if micros, nanos, ok := columnar.ParseMoment(v.Bytes(row), columnar.Instant); ok {
			return string(columnar.AppendMoment(nil, columnar.Instant, micros, nanos, clock.Offset(micros)))
		}
	}
	return string(v.AppendText(nil, row, clock))
}

// arrowType is how Arrow spells the type of a batch's first column.
func arrowType(t testing.TB, body []byte) string {
	t.Helper()
	r, err := ipc.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	f := r.Schema().Field(0)
	name := f.Type.String()
	if ts, ok := f.Type.(*arrow.TimestampType); ok && ts.TimeZone != "" {
		name = fmt.Sprintf("timestamp[%s, %s]", ts.Unit, ts.TimeZone)
	}
	if v, ok := f.Metadata.GetValue("fanmill.kind"); ok {
		name += ", " + v
	}
	if _, ok := f.Metadata.GetValue("fanmill.of"); ok {
		name = "utf8, mixed"
	}
	return strings.Replace(name, ", ", ",", strings.Count(name, "decimal"))
}

// excelCells is what Excel has of the values of a batch's one column: each cell's type and what it shows; and what
// was lost.
func excelCells(t testing.TB, cols []columnar.Column, batch *columnar.Batch, zone *time.Location) (cells []string, losses string) {
	t.Helper()
	encoder, err := xlsx.NewEncoder(cols, xlsx.Options{Location: zone})
	if err != nil {
		t.Fatal(err)
	}
	var segments xlsx.Segments
	var data []byte
	chunk, err := encoder.Encode(0, batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*xlsx.Chunk{chunk, encoder.Tail(int64(batch.Rows))} {
		for _, p := range c.Pieces {
			if err := segments.Add(p); err != nil {
				t.Fatal(err)
			}
			data = append(data, p.Data...)
		}
		for _, l := range c.Losses {
			losses += ", " + l.What + " and counted"
		}
		for _, tally := range c.Tally {
			if tally.Strays > 0 {
				losses += ", counted"
			}
		}
	}
	var file bytes.Buffer
	sheet := xlsx.NewSheet{Name: "v", Columns: 1, Segment: segments[0], Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	if _, err := xlsx.New(xlsx.Properties{Creator: "fanmill"}).Append(&file, []xlsx.NewSheet{sheet}); err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for r := range batch.Rows {
		cells = append(cells, excelCell(t, book, fmt.Sprint("A", r+2)))
	}
	return cells, losses
}

// excelCell is a cell's type and what it shows.
func excelCell(t testing.TB, book *excelize.File, cell string) string {
	t.Helper()
	kind, err := book.GetCellType("v", cell)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := book.GetCellValue("v", cell)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := book.GetCellValue("v", cell, excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	name := map[excelize.CellType]string{excelize.CellTypeInlineString: "text", excelize.CellTypeUnset: "number", excelize.CellTypeBool: "boolean"}[kind]
	if name == "number" && isTime.MatchString(shown) {
		name = "date or time"
		// excelize shows no milliseconds beside a date.
		if whole, ok := strings.CutSuffix(shown, ".000"); ok && strings.Contains(whole, " ") {
			serial, err := strconv.ParseFloat(raw, 64)
			if err != nil {
				t.Fatal(err)
			}
			days := math.Floor(serial)
			at := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(days)).Add(time.Duration(math.Round((serial-days)*86400e3)) * time.Millisecond)
			shown = at.Format("2006-01-02 15:04:05.000")
		}
	}
	if name == "number" && raw == "" {
		return "no cell"
	}
	return name + " " + code(shown)
}

var isTime = regexp.MustCompile(`^\d+-\d\d-\d\d|^\d\d:\d\d`)

// code marks a piece of a table's cell as code.
func code(s string) string {
	if s == "" {
		return "(empty)"
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

var inCode = regexp.MustCompile("`([^`]*)`")

// codes are the pieces of a table's cell that are marked as code.
func codes(cell string) (out []string) {
	for _, m := range inCode.FindAllStringSubmatch(cell, -1) {
		out = append(out, strings.ReplaceAll(m[1], `\|`, "|"))
	}
	return out
}

// Every value in the tables of the page about types becomes there what it says, on the database itself: in the row
// log, in a CSV and in a workbook.
func TestTypesPage(t *testing.T) {
	page, err := os.ReadFile(typesPage)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(page), "\n")
	checked := map[string]int{}
	for heading, driver := range pageSections {
		t.Run(driver, func(t *testing.T) {
			i := slices.IndexFunc(databases, func(db database) bool { return db.driver == driver })
			if i < 0 {
				t.Skip("there is no such database yet")
			}
			put := databases[i].values(t)
			section := ""
			for at, line := range lines {
				if h, ok := strings.CutPrefix(line, "## "); ok {
					section = h
				}
				cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
				if section != heading || len(cells) != 7 || strings.TrimSpace(cells[2]) == "value" || strings.HasPrefix(cells[1], "-") {
					continue
				}
				for c := range cells {
					cells[c] = strings.TrimSpace(strings.ReplaceAll(cells[c], "\x00", `\|`))
				}
				types, value := codes(cells[1]), codes(cells[2])
				if len(types) == 0 || len(value) != 1 {
					t.Errorf("line %d names no type or not one value: %s", at+1, line)
					continue
				}
				for n, typ := range types {
					dsn, query := put(typ, value[0])
					b := becomes(t, driver, dsn, query)
					got := fmt.Sprintf("| %s | %s | %s | %s | %s |", cells[1], cells[2], b.arrow, code(b.csv), b.excel)
					if *update && n == 0 {
						lines[at] = got
					} else if got != lines[at] {
						t.Errorf("%s %s:\n got %s\npage %s", typ, value[0], got, lines[at])
					}
				}
				checked[driver]++
			}
			if checked[driver] < 10 {
				t.Errorf("only %d values are on the page", checked[driver])
			}
		})
	}
	if *update {
		if err := os.WriteFile(typesPage, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// cannot is for a value that a database cannot hold, as it says itself.
var cannot = [2]string{}

// logical are values that several databases can hold, by their text, and how each of them has it: type and value.
var logical = []struct {
	name, text string
	in         map[string][2]string
}{
	{"38 digits", "-12345678901234567890123456789012345678", map[string][2]string{
		"postgres": {"numeric(38,0)", "-12345678901234567890123456789012345678"}, "mysql": {"decimal(38,0)", "-12345678901234567890123456789012345678"},
		"sqlserver": {"decimal(38,0)", "-12345678901234567890123456789012345678"}, "sqlite": cannot}},
	{"38 digits with decimals", "1234567890123456789012345678.0123456789", map[string][2]string{
		"postgres": {"numeric(38,10)", "1234567890123456789012345678.0123456789"}, "mysql": {"decimal(38,10)", "1234567890123456789012345678.0123456789"},
		"sqlserver": {"decimal(38,10)", "1234567890123456789012345678.0123456789"}, "sqlite": cannot}},
	{"money", "1234567.50", map[string][2]string{
		"postgres": {"numeric(14,2)", "1234567.5"}, "mysql": {"decimal(14,2)", "1234567.5"}, "sqlserver": {"decimal(14,2)", "1234567.5"}, "sqlite": {"decimal(14,2)", "1234567.5"}}},
	{"a small negative", "-0.05", map[string][2]string{
		"postgres": {"numeric(14,2)", "-0.05"}, "mysql": {"decimal(14,2)", "-0.05"}, "sqlserver": {"decimal(14,2)", "-0.05"}, "sqlite": {"decimal(14,2)", "-0.05"}}},
	{"the largest of 64 bits", "18446744073709551615", map[string][2]string{
		"postgres": {"numeric(20,0)", "18446744073709551615"}, "mysql": {"bigint unsigned", "18446744073709551615"}, "sqlserver": {"decimal(20,0)", "18446744073709551615"},
		"sqlite": cannot}},
	{"the smallest of 64 bits", "-9223372036854775808", map[string][2]string{
		"postgres": {"bigint", "-9223372036854775808"}, "mysql": {"bigint", "-9223372036854775808"}, "sqlserver": {"bigint", "-9223372036854775808"}, "sqlite": {"integer", "-9223372036854775808"}}},
	{"a double", "0.1", map[string][2]string{
		"postgres": {"double precision", "0.1"}, "mysql": {"double", "0.1"}, "sqlserver": {"float", "0.1"}, "sqlite": {"double", "0.1"}}},
	{"a single", "0.1", map[string][2]string{
		"postgres": {"real", "0.1"}, "mysql": {"float", "0.1"}, "sqlserver": {"real", "0.1"}, "sqlite": {"real", "0.1"}}},
	{"a whole double", "5", map[string][2]string{
		"postgres": {"double precision", "5"}, "mysql": {"double", "5"}, "sqlserver": {"float", "5"}, "sqlite": {"double", "5"}}},
	{"a large double", "1e+300", map[string][2]string{
		"postgres": {"double precision", "1e300"}, "mysql": {"double", "1e300"}, "sqlserver": {"float", "1e300"}, "sqlite": {"double", "1e300"}}},
	{"true", "true", map[string][2]string{
		"postgres": {"boolean", "true"}, "mysql": {"bit(1)", "1"}, "sqlserver": {"bit", "1"}, "sqlite": {"boolean", "1"}}},
	{"a leap day", "2024-02-29", map[string][2]string{
		"postgres": {"date", "'2024-02-29'"}, "mysql": {"date", "'2024-02-29'"}, "sqlserver": {"date", "'2024-02-29'"}, "sqlite": {"date", "'2024-02-29'"}}},
	{"the first day", "0001-01-01", map[string][2]string{
		"postgres": {"date", "'0001-01-01'"}, "mysql": {"date", "'0001-01-01'"}, "sqlserver": {"date", "'0001-01-01'"}, "sqlite": {"date", "'0001-01-01'"}}},
	{"a time with microseconds", "23:59:59.999999", map[string][2]string{
		"postgres": {"time", "'23:59:59.999999'"}, "mysql": {"time(6)", "'23:59:59.999999'"}, "sqlserver": {"time(6)", "'23:59:59.999999'"}, "sqlite": {"time", "'23:59:59.999999'"}}},
	{"microseconds", "1899-12-31 12:00:00.000001", map[string][2]string{
		"postgres": {"timestamp", "'1899-12-31 12:00:00.000001'"}, "mysql": {"datetime(6)", "'1899-12-31 12:00:00.000001'"}, "sqlserver": {"datetime2(6)", "'1899-12-31 12:00:00.000001'"},
		"sqlite": {"datetime", "'1899-12-31 12:00:00.000001'"}}},
	{"no fraction", "2024-02-29 12:00:00", map[string][2]string{
		"postgres": {"timestamp", "'2024-02-29 12:00'"}, "mysql": {"datetime(6)", "'2024-02-29 12:00'"}, "sqlserver": {"datetime2(7)", "'2024-02-29 12:00'"}, "sqlite": {"datetime", "'2024-02-29 12:00'"}}},
	{"100 ns", "2024-02-29 12:00:00.1234567", map[string][2]string{
		"postgres": cannot, "mysql": cannot, "sqlserver": {"datetime2(7)", "'2024-02-29 12:00:00.1234567'"}, "sqlite": {"datetime", "'2024-02-29 12:00:00.1234567'"}}},
	{"the last 100 ns", "9999-12-31 23:59:59.9999999", map[string][2]string{
		"postgres": cannot, "mysql": cannot, "sqlserver": {"datetime2(7)", "'9999-12-31 23:59:59.9999999'"}, "sqlite": {"datetime", "'9999-12-31 23:59:59.9999999'"}}},
	{"a time with 100 ns", "23:59:59.9999999", map[string][2]string{
		"postgres": cannot, "mysql": cannot, "sqlserver": {"time(7)", "'23:59:59.9999999'"}, "sqlite": {"time", "'23:59:59.9999999'"}}},
	{"an instant, whatever offset it came with", "2024-07-01 08:30:00.5+05:30", map[string][2]string{
		"postgres": {"timestamptz", "'2024-07-01 00:00:00.5-03:00'"}, "mysql": cannot, "sqlserver": {"datetimeoffset(6)", "'2024-07-01 00:00:00.5-03:00'"},
		"sqlite": {"timestamptz", "'2024-07-01 00:00:00.5-03:00'"}}},
	{"an instant with 100 ns", "2024-07-01 05:29:59.9999999+05:30", map[string][2]string{
		"postgres": cannot, "mysql": cannot, "sqlserver": {"datetimeoffset(7)", "'2024-06-30 20:59:59.9999999-03:00'"}, "sqlite": {"timestamptz", "'2024-06-30 20:59:59.9999999-03:00'"}}},
	{"the empty text", "", map[string][2]string{
		"postgres": {"text", "''"}, "mysql": {"text", "''"}, "sqlserver": {"nvarchar(20)", "N''"}, "sqlite": {"text", "''"}}},
	{"NULL", "NULL", map[string][2]string{
		"postgres": {"text", "null"}, "mysql": {"text", "null"}, "sqlserver": {"nvarchar(20)", "null"}, "sqlite": {"text", "null"}}},
	{"letters of four bytes", "😀𝒳 ä", map[string][2]string{
		"postgres": {"text", "'😀𝒳 ä'"}, "mysql": {"text character set utf8mb4", "'😀𝒳 ä'"}, "sqlserver": {"nvarchar(20)", "N'😀𝒳 ä'"}, "sqlite": {"text", "'😀𝒳 ä'"}}},
	{"control characters", "\x01\t\r\n\x1f\x7f", map[string][2]string{
		"postgres":  {"text", `E'\x01\t\r\n\x1f\x7f'`},
		"mysql":     {"text", "convert(x'01090d0a1f7f' using utf8mb4)"},
		"sqlserver": {"nvarchar(20)", "nchar(1) + nchar(9) + nchar(13) + nchar(10) + nchar(31) + nchar(127)"},
		"sqlite":    {"text", "char(1, 9, 13, 10, 31, 127)"}}},
	{"1 MiB of text", strings.Repeat("é", 1<<19), map[string][2]string{
		"postgres":  {"text", "repeat('é', 524288)"},
		"mysql":     {"mediumtext character set utf8mb4", "repeat('é', 524288)"},
		"sqlserver": {"nvarchar(max)", "replicate(cast(N'é' as nvarchar(max)), 524288)"},
		"sqlite":    {"text", "replace(printf('%.524288c', 'x'), 'x', 'é')"}}},
	{"bytes", "0x00ff27", map[string][2]string{
		"postgres": {"bytea", `'\x00ff27'`}, "mysql": {"varbinary(20)", "x'00ff27'"}, "sqlserver": {"varbinary(20)", "0x00ff27"}, "sqlite": {"blob", "x'00ff27'"}}},
	{"no bytes", "0x", map[string][2]string{
		"postgres": {"bytea", `''`}, "mysql": {"varbinary(20)", "''"}, "sqlserver": {"varbinary(20)", "0x"}, "sqlite": {"blob", "x''"}}},
	{"a uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", map[string][2]string{
		"postgres": {"uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}, "mysql": {"varchar(36)", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
		"sqlserver": {"uniqueidentifier", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}, "sqlite": {"text", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"}}},
}

// The same logical value has the same text and the same cell from every database that can hold it. The databases of
// one binary are compared with the value's text and with each other.
func TestSameValueSameText(t *testing.T) {
	cells := map[string]map[string]string{} // who has it, by value and cell
	each(t, func(t *testing.T, db database) {
		put := db.values(t)
		for _, v := range logical {
			how, known := v.in[db.driver]
			if !known {
				t.Errorf("%s: how %s has it is not said", v.name, db.driver)
			}
			if how == cannot {
				continue
			}
			dsn, query := put(how[0], how[1])
			b := becomes(t, db.driver, dsn, query)
			if b.csv != v.text {
				t.Errorf("%s: %.100q of %d bytes, want %.100q", v.name, b.csv, len(b.csv), v.text)
			}
			if cells[v.name] == nil {
				cells[v.name] = map[string]string{}
			}
			cells[v.name][b.excel] += " " + db.driver
		}
	})
	for name, seen := range cells {
		if len(seen) > 1 {
			t.Errorf("%s is not the same cell everywhere: %.300q", name, seen)
		}
	}
}
