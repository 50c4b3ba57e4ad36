package stages_test

import (
	"fmt"
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/pipeline"
)

// sqlserverValues are values of every type and the text that they become.
var sqlserverValues = []struct {
	typ      minitds.Type
	declared string
	value    any
	text     string
}{
	{minitds.Bit, "bool", true, "true"},
	{minitds.TinyInt, "int", 255, "255"},
	{minitds.SmallInt, "int", -32768, "-32768"},
	{minitds.Int, "int", -2147483648, "-2147483648"},
	{minitds.BigInt, "int", -9223372036854775808, "-9223372036854775808"},
	{minitds.Real, "float32", 1.1, "1.1"},
	{minitds.Real, "float32", 3.4028235e38, "3.4028235e+38"},
	{minitds.Float, "float", 5e-324, "5e-324"},
	{minitds.Decimal(38, 0), "decimal(38,0)", "-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"},
	{minitds.Decimal(38, 38), "decimal(38,38)", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"},
	{minitds.Decimal(5, 0), "decimal(5,0)", "-12", "-12"},
	{minitds.Numeric(19, 4), "decimal(19,4)", "-0.0001", "-0.0001"},
	{minitds.Numeric(28, 10), "decimal(28,10)", "123456789012345678.0123456789", "123456789012345678.0123456789"},
	{minitds.Money, "decimal(19,4)", "-922337203685477.5808", "-922337203685477.5808"},
	{minitds.Money, "decimal(19,4)", "0.0001", "0.0001"},
	{minitds.Money, "decimal(19,4)", "-0.05", "-0.0500"},
	{minitds.SmallMoney, "decimal(10,4)", "-214748.3648", "-214748.3648"},
	{minitds.Date, "date", "0001-01-01", "0001-01-01"},
	{minitds.Date, "date", "9999-12-31", "9999-12-31"},
	{minitds.Time(0), "time", "23:59:59", "23:59:59"},
	{minitds.Time(3), "time", "00:00:00.001", "00:00:00.001"},
	{minitds.Time(7), "time", "23:59:59.9999999", "23:59:59.9999999"},
	{minitds.SmallDateTime, "timestamp", "1900-01-01 00:00", "1900-01-01 00:00:00"},
	{minitds.SmallDateTime, "timestamp", "2079-06-06 23:59", "2079-06-06 23:59:00"},
	{minitds.DateTime, "timestamp", "1753-01-01 00:00:00.003", "1753-01-01 00:00:00.003"},
	{minitds.DateTime, "timestamp", "1899-12-31 23:59:59.997", "1899-12-31 23:59:59.997"},
	{minitds.DateTime, "timestamp", "2024-02-29 12:00:00.007", "2024-02-29 12:00:00.007"},
	{minitds.DateTime, "timestamp", "9999-12-31 23:59:59.997", "9999-12-31 23:59:59.997"},
	{minitds.DateTime2(0), "timestamp", "0001-01-01 00:00:00", "0001-01-01 00:00:00"},
	{minitds.DateTime2(3), "timestamp", "1969-12-31 23:59:59.999", "1969-12-31 23:59:59.999"},
	{minitds.DateTime2(7), "timestamp", "2024-02-29 12:00:00.1234567", "2024-02-29 12:00:00.1234567"},
	{minitds.DateTime2(7), "timestamp", "9999-12-31 23:59:59.9999999", "9999-12-31 23:59:59.9999999"},
	{minitds.DateTimeOffset(0), "timestamptz", "2024-02-29 00:00:00+14:00", "2024-02-28 10:00:00+00:00"},
	{minitds.DateTimeOffset(7), "timestamptz", "1969-12-31 20:59:59.9999999-03:00", "1969-12-31 23:59:59.9999999+00:00"},
	{minitds.Char(5), "text", "ab   ", "ab   "},
	{minitds.VarChar(20), "text", "Grüße", "Grüße"},
	{minitds.VarChar(20), "text", []byte{0x80, 0x99}, "€™"},
	{minitds.VarChar(20).Collate(0x0419, 0), "text", []byte{0xcf, 0xf0}, "Пр"},
	{minitds.VarChar(20).Collate(0x0411, 0), "text", []byte{0x93, 0xfa, 0x96, 0x7b}, "日本"},
	{minitds.VarChar(20).Collate(0x0409, 42), "text", []byte{0x81, 0x84}, "üä"},   // code page 850 by its sort id
	{minitds.VarChar(20).Collate(0x0439, 0), "text", []byte{0xff, 'a'}, "0xff61"}, // none
	{minitds.VarChar(minitds.Max), "text", strings.Repeat("x", 20_001), strings.Repeat("x", 20_001)},
	{minitds.NChar(3), "text", "ä  ", "ä  "},
	{minitds.NVarChar(20), "text", "😀𝒳 \x00\t\r\n\x1f", "😀𝒳 \x00\t\r\n\x1f"},
	{minitds.NVarChar(20), "text", "", ""},
	{minitds.NVarChar(minitds.Max), "text", strings.Repeat("é", 1<<19), strings.Repeat("é", 1<<19)},
	{minitds.NVarChar(minitds.Max), "text", "", ""},
	{minitds.Text, "text", "Grüße", "Grüße"},
	{minitds.NText, "text", "漢字", "漢字"},
	{minitds.XML, "text", "<a>ü</a>", "<a>ü</a>"},
	{minitds.UniqueIdentifier, "text", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
	{minitds.Binary(4), "binary", "0x00ff2700", "0x00ff2700"},
	{minitds.VarBinary(10), "binary", "0x", "0x"},
	{minitds.VarBinary(minitds.Max), "binary", "0xdeadbeef", "0xdeadbeef"},
	{minitds.Image, "binary", "0xdeadbeef", "0xdeadbeef"},
	{minitds.RowVersion, "binary", "0x00000000000007d1", "0x00000000000007d1"},
	{minitds.Geography, "binary", "0xe6100000010c", "0xe6100000010c"},
	{minitds.HierarchyID, "binary", "0x58", "0x58"},
}

// Every type keeps its value and its NULL, in both forms that rows have on the wire, whether its column is nullable
// or not, and however old the server is that described it.
func TestSQLServerValues(t *testing.T) {
	for _, v := range sqlserverValues {
		name := v.typ.String() + " " + strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, v.text[:min(len(v.text), 40)])
		t.Run(name, func(t *testing.T) {
			columns := []minitds.Column{{Name: "v", Type: v.typ}, {Name: "same", Type: v.typ, NotNull: true}}
			answer := minitds.Script{"q": {Columns: columns, Rows: [][]any{{nil, v.value}, {nil, v.value}, {v.value, v.value}, {nil, v.value}}}}
			for _, major := range []int{15, 10} {
				_, dsn := answered(t, minitds.Config{Major: major}, answer)
				s := open(t, "sqlserver", dsn, "q")
				for _, c := range s.Columns(0) {
					if c.Type() != v.declared {
						t.Errorf("a server of version %d describes it as %s", major, c.Type())
					}
				}
				rows, _ := texts(t, s, 0, 3)
				null, both := "NULL|"+v.text, v.text+"|"+v.text
				if got, want := strings.Join(rows, "\n"), strings.Join([]string{null, null, both, null}, "\n"); got != want {
					t.Errorf("rows %.200q, want %.200q", got, want)
				}
			}
		})
	}
}

// The driver replaces what it cannot read by U+FFFD, as which it may also be stored: either way the column is named
// (invariant 9).
func TestSQLServerReplacementCharacters(t *testing.T) {
	half := []byte{'a', 0, 0x3d, 0xd8, 'b', 0} // of a surrogate pair
	columns := []minitds.Column{{Name: "wide", Type: minitds.NVarChar(20)}, {Name: "narrow", Type: minitds.VarChar(20)}, {Name: "long", Type: minitds.NVarChar(minitds.Max)}, {Name: "clean", Type: minitds.NVarChar(20)}}
	many := minitds.Answer{Rows: [][]any{{}}}
	for i := range 10 {
		many.Columns = append(many.Columns, minitds.Column{Name: fmt.Sprint("c", i), Type: minitds.NVarChar(5)})
		many.Rows[0] = append(many.Rows[0], "\ufffd")
	}
	_, dsn := answered(t, minitds.Config{}, minitds.Script{"many": many, "clean": {Columns: columns[:1], Rows: [][]any{{"é😀"}}}, "some": {Columns: columns, Rows: [][]any{
		{half, []byte{'x', 0x81}, "stored \ufffd", "é😀"},
		{"a", "b", half, nil},
		{half, nil, "c", ""}}}})
	s := open(t, "sqlserver", dsn, "some", "many")
	rows, _ := texts(t, s, 0, 100)
	same(t, "rows", rows, []string{"a\ufffdb|x\ufffd|stored \ufffd|é😀", "a|b|a\ufffdb|NULL", "a\ufffdb|NULL|c|"})
	texts(t, s, 1, 100)
	const why = "texts with U+FFFD, which the database has or which stands for a character that the driver cannot read: "
	noting := s.(pipeline.NotingSession)
	same(t, "notes", noting.Notes(0), []string{why + "wide (2), narrow (1), long (2)"})
	same(t, "notes of many columns", noting.Notes(1), []string{why + "c0 (1), c1 (1), c2 (1), c3 (1), 6 columns more"})
	clean := open(t, "sqlserver", dsn, "clean")
	texts(t, clean, 0, 100)
	same(t, "notes of none", clean.(pipeline.NotingSession).Notes(0), nil)
}

// A column without a name has its place for one; messages between the rows are none of them.
func TestSQLServerUnnamedColumns(t *testing.T) {
	_, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Info: "Warning: Null value is eliminated by an aggregate.", Columns: []minitds.Column{{Type: minitds.Int}, {Name: "n", Type: minitds.Int}, {Type: minitds.Int}}}})
	s := open(t, "sqlserver", dsn, "q")
	var names []string
	for _, c := range s.Columns(0) {
		names = append(names, c.Name)
	}
	same(t, "names", names, []string{"column1", "n", "column3"})
	if rows, _ := texts(t, s, 0, 10); len(rows) != 0 {
		t.Errorf("rows %q", rows)
	}
}

// A sql_variant is refused before the query runs, with the words that convert it, by servers of every age.
func TestSQLServerVariant(t *testing.T) {
	for _, major := range []int{15, 10} {
		s, dsn := answered(t, minitds.Config{Major: major}, minitds.Script{"q": {Columns: []minitds.Column{{Name: "v", Type: minitds.Variant}}, Does: []string{"commit", "commit", "write"}}})
		_, err := sqlserverOpen(t.Context(), dsn, "q")
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "CONVERT(nvarchar(4000), [v], 121) AS [v]") {
			t.Errorf("the error is %v", err)
		}
		if r := s.Record(); len(r.Kept)+r.Committed != 0 {
			t.Errorf("it ran: %+v", r)
		}
	}
}

// A server that describes a column as another type than it sends loses nothing: a value has the text that it has in
// its own type, and is a stray unless both are numbers.
func TestSQLServerInexactDescription(t *testing.T) {
	for _, c := range []struct {
		claimed, sent minitds.Type
		value         any
		text, typ     string
	}{
		{minitds.Int, minitds.Decimal(14, 2), "12.30", "12.30", "mixed"},
		{minitds.Decimal(14, 2), minitds.Decimal(18, 4), "12.3456", "12.3456", "mixed"},
		{minitds.Int, minitds.Real, 1.1, "1.1", "mixed"},
		{minitds.Decimal(14, 2), minitds.BigInt, 5, "5", "mixed"},
		{minitds.Int, minitds.NVarChar(20), "n/a", "n/a", "mixed"},
		{minitds.Date, minitds.DateTime2(7), "2024-02-29 12:00:00.1234567", "2024-02-29 12:00:00.1234567", "mixed"},
		{minitds.DateTime, minitds.Date, "2024-02-29", "2024-02-29", "mixed"},
		{minitds.Int, minitds.Time(7), "12:00:00.5", "12:00:00.5", "mixed"},
		{minitds.DateTime, minitds.DateTimeOffset(7), "2024-02-29 12:00:00.5+05:30", "2024-02-29 06:30:00.5+00:00", "mixed"},
		{minitds.VarBinary(20), minitds.UniqueIdentifier, "6F9619FF-8B86-D011-B42D-00C04FC964FF", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "mixed"},
		{minitds.NVarChar(20), minitds.VarBinary(20), "0xff00", "0xff00", "text"},
		{minitds.Int, minitds.Bit, true, "true", "mixed"},
	} {
		_, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Claimed: []minitds.Column{{Name: "v", Type: c.claimed}}, Columns: []minitds.Column{{Name: "v", Type: c.sent}}, Rows: [][]any{{nil}, {c.value}}}})
		rows, types := texts(t, open(t, "sqlserver", dsn, "q"), 0, 10)
		same(t, c.claimed.String()+" that is "+c.sent.String(), append(rows, types...), []string{"NULL", c.text, c.typ})
	}
	_, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Claimed: []minitds.Column{{Name: "old", Type: minitds.Int}}, Columns: []minitds.Column{{Name: "new", Type: minitds.Int}}, Rows: [][]any{{1}}}})
	err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"q"})})
	if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "the columns changed") {
		t.Errorf("another name: %v", err)
	}
}
