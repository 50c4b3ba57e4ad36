package xlsx_test

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// cellCase is one value and the cell it must become: kind is excelize's, value what is stored.
type cellCase struct {
	name   string
	column columnar.Column
	put    func(c *columnar.ColumnBuilder)
	value  string
	shown  string // formatted; "" if not looked at
	kind   excelize.CellType
}

const (
	isText   = excelize.CellTypeInlineString
	isNumber = excelize.CellTypeUnset // no t attribute: a number
	isBool   = excelize.CellTypeBool
)

func micros(s string) int64 {
	t, err := time.Parse("2006-01-02 15:04:05.999999", s)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func cellCases() []cellCase {
	col := func(k columnar.Kind) columnar.Column { return columnar.Column{Kind: k} }
	dec := func(p, s int32) columnar.Column {
		return columnar.Column{Kind: columnar.Decimal, Precision: p, Scale: s}
	}
	text := func(s string) func(*columnar.ColumnBuilder) {
		return func(c *columnar.ColumnBuilder) { c.String(s) }
	}
	long := func(v int64) func(*columnar.ColumnBuilder) {
		return func(c *columnar.ColumnBuilder) { c.Long(v) }
	}
	num := func(s string, scale int32) func(*columnar.ColumnBuilder) {
		return func(c *columnar.ColumnBuilder) { c.Decimal(decimal(s, scale)) }
	}
	stamp := func(s string) func(*columnar.ColumnBuilder) { return long(micros(s)) }
	days := func(y int64, m, d int) func(*columnar.ColumnBuilder) {
		return func(c *columnar.ColumnBuilder) { c.Days(int32(columnar.Days(y, m, d))) }
	}
	float := func(f float64) func(*columnar.ColumnBuilder) {
		return func(c *columnar.ColumnBuilder) { c.Float(f) }
	}
	return []cellCase{
		{"leading zeros", col(columnar.Text), text("00042"), "00042", "00042", isText},
		{"16-digit id as text", col(columnar.Text), text("4111111111111111"), "4111111111111111", "4111111111111111", isText},
		{"formula stays text", col(columnar.Text), text("=1+1"), "=1+1", "=1+1", isText},
		{"text like a date", col(columnar.Text), text("1-2"), "1-2", "1-2", isText},
		{"edge spaces", col(columnar.Text), text("  a b\t"), "  a b\t", "", isText},
		{"line ends", col(columnar.Text), text("a\r\nb\rc\nd"), "a\r\nb\rc\nd", "", isText},
		{"trailing CR", col(columnar.Text), text("a\r"), "a\r", "", isText},
		{"markup", col(columnar.Text), text(`<b>&amp;"x"</b>]]>`), `<b>&amp;"x"</b>]]>`, "", isText},
		{"scripts", col(columnar.Text), text("रामलाल 日本 🧾 é"), "रामलाल 日本 🧾 é", "", isText},
		{"looks escaped", col(columnar.Text), text("_x0041_ _x000d_ _xZZZZ_ __x0041_"), "_x0041_ _x000d_ _xZZZZ_ __x0041_", "", isText},
		{"empty text", col(columnar.Text), text(""), "", "", isText},
		{"int", col(columnar.Int), long(-1234567), "-1234567", "-1234567", isNumber},
		{"int of 15 digits", col(columnar.Int), long(999_999_999_999_999), "999999999999999", "999999999999999", isNumber},
		{"int of 16 digits", col(columnar.Int), long(1_000_000_000_000_000), "1000000000000000", "", isText},
		{"negative int of 16 digits", col(columnar.Int), long(-1_000_000_000_000_000), "-1000000000000000", "", isText},
		{"smallest int", col(columnar.Int), long(math.MinInt64), "-9223372036854775808", "", isText},
		{"largest uint", col(columnar.Uint), long(-1), "18446744073709551615", "", isText},
		{"uint", col(columnar.Uint), long(7), "7", "7", isNumber},
		{"decimal", dec(14, 2), num("1234567.50", 2), "1234567.50", "1,234,567.50", isNumber},
		{"negative decimal", dec(14, 2), num("-0.05", 2), "-0.05", "-0.05", isNumber},
		{"decimal zero", dec(14, 2), num("0.00", 2), "0.00", "0.00", isNumber},
		{"15 digits", dec(18, 2), num("9999999999999.99", 2), "9999999999999.99", "9,999,999,999,999.99", isNumber},
		{"16 digits", dec(18, 2), num("10000000000000.01", 2), "10000000000000.0", "10,000,000,000,000.00", isNumber},
		{"negative of 16 digits", dec(18, 2), num("-10000000000000.05", 2), "-10000000000000.1", "", isNumber},
		{"zeros past the 15th digit", dec(38, 18), num("1.500000000000000000", 18), "1.500000000000000000", "", isNumber},
		{"-2^64", dec(38, 0), num("-18446744073709551616", 0), "-18446744073709551616", "", isText},
		{"38 digits", dec(38, 10), num("-1234567890123456789012345678.1234567891", 10), "-1234567890123460000000000000", "", isNumber},
		{"numeric", col(columnar.Numeric), text("1234.5678"), "1234.5678", "", isNumber},
		{"long numeric", col(columnar.Numeric), text("1234567890.1234567"), "1234567890.12346", "", isNumber},
		{"whole numeric of 16 digits", col(columnar.Numeric), text("1234567890123450"), "1234567890123450", "", isText},
		{"numeric with zeros for a fraction", col(columnar.Numeric), text("1234567890123450.00"), "1234567890123450.00", "", isNumber},
		{"numeric below every double", col(columnar.Numeric), text("0." + strings.Repeat("0", 320) + "1"), "0." + strings.Repeat("0", 320) + "1", "", isText},
		{"numeric above every double", col(columnar.Numeric), text(strings.Repeat("9", 400) + ".5"), strings.Repeat("9", 400) + ".5", "", isText},
		{"float", col(columnar.Float), float(0.1), "0.1", "0.1", isNumber},
		{"float of 17 digits", col(columnar.Float), float(math.Nextafter(0.3, 1)), "0.30000000000000004", "", isNumber},
		{"large float", col(columnar.Float), float(1e300), "1e+300", "", isNumber},
		{"denormal", col(columnar.Float), float(5e-324), "5e-324", "", isText},
		{"NaN", col(columnar.Float), float(math.NaN()), "NaN", "", isText},
		{"infinity", col(columnar.Float), float(math.Inf(-1)), "-Infinity", "", isText},
		{"float32", col(columnar.Float32), func(c *columnar.ColumnBuilder) { c.Float32(0.1) }, "0.1", "", isNumber},
		{"true", col(columnar.Bool), func(c *columnar.ColumnBuilder) { c.Bool(true) }, "1", "TRUE", isBool},
		{"false", col(columnar.Bool), func(c *columnar.ColumnBuilder) { c.Bool(false) }, "0", "FALSE", isBool},
		{"date", col(columnar.Date), days(2025, 4, 1), "45748", "2025-04-01", isNumber},
		{"first date", col(columnar.Date), days(1900, 3, 1), "61", "1900-03-01", isNumber},
		{"day before it", col(columnar.Date), days(1900, 2, 28), "1900-02-28", "", isText},
		{"last date", col(columnar.Date), days(9999, 12, 31), "2958465", "9999-12-31", isNumber},
		{"day after it", col(columnar.Date), days(10000, 1, 1), "10000-01-01", "", isText},
		{"timestamp", col(columnar.Timestamp), stamp("2025-04-01 12:00:00"), "45748.5", "2025-04-01 12:00:00", isNumber},
		{"midnight", col(columnar.Timestamp), stamp("2025-04-01 00:00:00"), "45748", "2025-04-01 00:00:00", isNumber},
		{"milliseconds", col(columnar.Timestamp), stamp("2025-04-01 23:59:59.125"), "45748.99998987268", "", isNumber},
		{"before 1970", col(columnar.Timestamp), stamp("1969-12-31 18:00:00"), "25568.75", "1969-12-31 18:00:00", isNumber},
		{"old timestamp", col(columnar.Timestamp), stamp("1899-12-31 01:02:03.5"), "1899-12-31 01:02:03.5", "", isText},
		{"microseconds past a double", col(columnar.Timestamp), stamp("2500-01-01 12:34:56.789011"), "2500-01-01 12:34:56.789011", "", isText},
		{"instant", col(columnar.Instant), stamp("2025-03-31 18:30:00"), "45748", "2025-04-01 00:00:00", isNumber},
		{"old instant", col(columnar.Instant), stamp("1850-01-01 00:00:00"), "1850-01-01 05:30:00+05:30", "", isText},
		{"time", col(columnar.Time), long(12*3600*1e6 + 30*60*1e6), "0.5208333333333334", "12:30:00", isNumber},
		{"time with milliseconds", col(columnar.Time), long(1_500_000), "0.00001736111111111111", "00:00:01.500", isNumber},
		{"time midnight", col(columnar.Time), long(0), "0", "00:00:00", isNumber},
		{"24:00", col(columnar.Time), long(columnar.MicrosPerDay), "24:00:00", "", isText},
		{"duration", col(columnar.Time), long(-(838*3600 + 59*60) * 1e6), "-838:59:00", "", isText},
		{"bytes", col(columnar.Binary), text("\x00\xffA"), "0x00ff41", "", isText},
	}
}

// TestCells holds invariant 9 for single values: text stays text, numbers are exact or text, dates are dates.
func TestCells(t *testing.T) {
	cases := cellCases()
	ist := time.FixedZone("IST", 5*3600+1800)
	cols := make([]columnar.Column, len(cases))
	for i, c := range cases {
		cols[i] = c.column
		cols[i].Name = c.name
	}
	batch := batchOf(t, cols, func(b *columnar.Builder) {
		for i, c := range cases {
			c.put(b.Column(i))
		}
		b.EndRow()
		for i := range cases {
			b.Column(i).Null()
		}
		b.EndRow()
	})
	q := encode(t, newEncoder(t, cols, xlsx.Options{Location: ist}), batch)
	var lost []string
	for _, l := range q.losses {
		lost = append(lost, fmt.Sprintf("%s: %d %s", l.Column, l.Cells, l.What))
	}
	if got, want := strings.Join(lost, "; "), "16 digits: 1 rounded to 15 digits; negative of 16 digits: 1 rounded to 15 digits; 38 digits: 1 rounded to 15 digits; long numeric: 1 rounded to 15 digits"; got != want {
		t.Errorf("losses: %s", got)
	}
	f := open(t, workbookOf(t, q.sheets(0, "Cells")...))
	for i, c := range cases {
		header, _ := excelize.CoordinatesToCellName(i+1, 1)
		cell, _ := excelize.CoordinatesToCellName(i+1, 2)
		null, _ := excelize.CoordinatesToCellName(i+1, 3)
		if got := raw(t, f, "Cells", header); got != c.name {
			t.Errorf("%s: the header is %q", c.name, got)
		}
		if got := raw(t, f, "Cells", cell); got != c.value {
			t.Errorf("%s: stored %q, want %q", c.name, got, c.value)
		}
		if kind, err := f.GetCellType("Cells", cell); err != nil || kind != c.kind {
			t.Errorf("%s: the cell's type is %v, want %v (%v)", c.name, kind, c.kind, err)
		}
		if c.shown != "" {
			if got, err := f.GetCellValue("Cells", cell); err != nil || got != c.shown {
				t.Errorf("%s: shown as %q, want %q (%v)", c.name, got, c.shown, err)
			}
		}
		if kind, _ := f.GetCellType("Cells", null); kind != excelize.CellTypeUnset || raw(t, f, "Cells", null) != "" {
			t.Errorf("%s: NULL is not an empty cell", c.name)
		}
	}
}

// TestMarkupNamesStyles holds the style numbers in the markup to the order of the style sheet.
func TestMarkupNamesStyles(t *testing.T) {
	for markup, style := range xlsx.MarkupStyles() {
		if want := `" s="` + strconv.Itoa(style) + `"`; !strings.HasPrefix(markup, want) {
			t.Errorf("%s should begin with %s", markup, want)
		}
	}
}

// TestExactNumber holds the rule for what may be a number: what it lets pass reads back digit for digit.
func TestExactNumber(t *testing.T) {
	for s, want := range map[string]bool{
		"0": true, "-0": true, "1.0": true, "0.000000000000001": true, "123456789012345": true, "0.123456789012345": true, "12345678.1234567": true,
		"123456789012.34500000000": true, "1234567890123456": false, "1000000000000000": false, "0.1234567890123456": false, "12345678.12345678": false,
		"007": false, "": false, "-": false, "1.": false, ".5": false, "+1": false, "1e5": false, "NaN": false, "1,5": false, "0x1": false, " 1": false,
		"0." + strings.Repeat("0", 310) + "1": false, "1.5x": false,
	} {
		if got := xlsx.ExactNumber([]byte(s)); got != want {
			t.Errorf("exactNumber(%q) is %v", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?[0-9]{1,18}(\.[0-9]{1,20})?`).Draw(t, "number")
		if !xlsx.ExactNumber([]byte(s)) {
			return
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		if back := strconv.FormatFloat(f, 'f', -1, 64); strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
			if back != s {
				t.Fatalf("%s reads back as %s", s, back)
			}
		} else if back != s {
			t.Fatalf("%s reads back as %s", s, back)
		}
	})
}

// TestFloats: the digits written read back as the same double.
func TestFloats(t *testing.T) {
	cols := []columnar.Column{{Name: "f", Kind: columnar.Float}}
	e := newEncoder(t, cols, xlsx.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.Float64().Draw(rt, "f")
		text, number := firstCell(t, e, batchOf(t, cols, func(b *columnar.Builder) { b.Column(0).Float(f); b.EndRow() }))
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) || number != (f == 0 || math.Abs(f) >= 0x1p-1022) {
			rt.Fatalf("%v became %s, a number: %v (%v)", f, text, number, err)
		}
	})
}

var valueOrText = regexp.MustCompile(`<c r="A2"[^>]*>(?:<v>(.*?)</v>|<is><t[^>]*>(.*?)</t></is>)</c>`)

// firstCell is the first data cell of a batch as it stands in the XML.
func firstCell(t testing.TB, e *xlsx.Encoder, b *columnar.Batch) (text string, number bool) {
	t.Helper()
	c, err := e.Encode(0, b)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	m := valueOrText.FindStringSubmatch(inflate(t, c.Pieces[0].Data))
	if m == nil {
		t.Fatal("no first cell")
	}
	return m[1] + m[2], m[1] != ""
}

// TestStampsAreExact: the double of every serial number is the time again, to the microsecond until 2079 and to the
// millisecond after that, where microseconds that a double cannot hold are text.
func TestStampsAreExact(t *testing.T) {
	cols := []columnar.Column{{Name: "at", Kind: columnar.Timestamp}}
	e := newEncoder(t, cols, xlsx.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1000, 1_000_000}).Draw(rt, "unit")
		until := rapid.SampledFrom([]string{"2079-06-05 00:00:00", "9999-12-31 23:59:59.999999"}).Draw(rt, "until")
		at := rapid.Int64Range(micros("1900-03-01 00:00:00")/unit, micros(until)/unit).Draw(rt, "at") * unit
		late := at >= micros("2079-06-05 00:00:00")
		text, number := firstCell(t, e, batchOf(t, cols, func(b *columnar.Builder) { b.Column(0).Long(at); b.EndRow() }))
		if !number {
			if want := string(columnar.AppendTimestamp(nil, at)); text != want || !late || at%1000 == 0 {
				rt.Fatalf("%s is text %q", want, text)
			}
			return
		}
		serial, err := strconv.ParseFloat(text, 64)
		if err != nil {
			rt.Fatal(err)
		}
		step := int64(1)
		if late && at%1000 == 0 {
			step = 1000
		}
		days := math.Floor(serial)
		back := (int64(days)-25569)*columnar.MicrosPerDay + int64(math.Round((serial-days)*float64(columnar.MicrosPerDay/step)))*step
		if back != at {
			rt.Fatalf("%d became %s, which is %d", at, text, back)
		}
	})
}

// One value that is no time, such as infinity, changes no other cell of its batch: neither type nor digits nor format.
func TestOddValueAmongTimes(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []columnar.Kind{columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant}
	rapid.Check(t, func(rt *rapid.T) {
		cols := []columnar.Column{{Name: "v", Kind: rapid.SampledFrom(kinds).Draw(rt, "kind")}}
		o := xlsx.Options{Location: zone}
		if rapid.Bool().Draw(rt, "format") {
			o.Formats, o.Layout = []string{"dd/mm/yyyy"}, []xlsx.Layout{{Format: "dd/mm/yyyy"}}
		}
		e, err := xlsx.NewEncoder(cols, o)
		if err != nil {
			t.Fatal(err)
		}
		b := columnar.NewBuilder(cols)
		c := b.Column(0)
		for range rapid.IntRange(1, 5).Draw(rt, "rows") {
			at := rapid.Int64Range(micros("1899-12-01 00:00:00"), micros("2262-01-01 00:00:00")).Draw(rt, "at")
			unit := rapid.SampledFrom([]int64{1, 1000, 1_000_000, columnar.MicrosPerDay}).Draw(rt, "unit")
			switch at = at / unit * unit; cols[0].Kind {
			case columnar.Date:
				c.Days(int32(at / columnar.MicrosPerDay))
			case columnar.Time:
				c.Moment(at%(2*columnar.MicrosPerDay), rapid.SampledFrom([]int64{0, 0, 100, 500, 900}).Draw(rt, "nanos"))
			default:
				c.Moment(at, rapid.SampledFrom([]int64{0, 0, 100, 500, 900}).Draw(rt, "nanos"))
			}
			b.EndRow()
		}
		sheet := func() (xml string, losses []xlsx.Loss) {
			chunk, err := e.Encode(0, decoded(t, b))
			if err != nil {
				t.Fatal(err)
			}
			defer chunk.Release()
			_, xml, _ = strings.Cut(inflate(t, chunk.Pieces[0].Data), "<sheetData>") // columns may be wider
			return xml, chunk.Losses
		}
		want, lost := sheet()
		if !c.Retype(columnar.Mixed) {
			rt.Fatal("not widened")
		}
		c.Mixed(columnar.ClassStray, []byte("infinity"))
		b.EndRow()
		got, lostThen := sheet()
		odd, ok := strings.CutPrefix(got, want)
		if !ok || !strings.Contains(odd, ">infinity<") || !slices.Equal(lost, lostThen) {
			rt.Fatalf("the cells were\n%s %v, are\n%s %v", want, lost, got, lostThen)
		}
	})
}

// TestLosses: what does not fit is cut between characters, counted and named, or refused.
func TestLosses(t *testing.T) {
	cols := []columnar.Column{{Name: "note", Kind: columnar.Text}, {Name: "blob", Kind: columnar.Binary}}
	long := "x" + strings.Repeat("🧾", 20_000) // 40,001 units: the cut falls into a surrogate pair
	fits := strings.Repeat("é", xlsx.MaxCellUnits)
	batch := batchOf(t, cols, func(b *columnar.Builder) {
		for _, s := range []string{fits, long, "a\xffb", long} {
			b.Column(0).String(s)
			b.Column(1).Bytes(make([]byte, len(s)*5/22))
			b.EndRow()
		}
	})
	q := encode(t, newEncoder(t, cols, xlsx.Options{}), batch)
	want := []xlsx.Loss{{Column: "note", What: xlsx.LossCut, Cells: 2}, {Column: "note", What: xlsx.LossUTF8, Cells: 1}, {Column: "blob", What: xlsx.LossCut, Cells: 2}}
	for i := range want {
		if len(q.losses) != len(want) || q.losses[i] != want[i] {
			t.Fatalf("losses are %v, want %v", q.losses, want)
		}
	}
	f := open(t, workbookOf(t, q.sheets(0, "L")...))
	if got := raw(t, f, "L", "A2"); got != fits {
		t.Errorf("a text of exactly the limit changed: %d bytes", len(got))
	}
	if got := raw(t, f, "L", "A3"); len(utf16.Encode([]rune(got))) != xlsx.MaxCellUnits || got != long[:len(got)] {
		t.Errorf("the cut left %d units", len(utf16.Encode([]rune(got))))
	}
	if got := raw(t, f, "L", "A4"); got != "a\uFFFDb" {
		t.Errorf("invalid UTF-8 became %q", got)
	}
	_, err := newEncoder(t, cols, xlsx.Options{FailOnLoss: true}).Encode(1000, batch)
	var loss *xlsx.LossError
	if !errors.As(err, &loss) || loss.Column != "note" || loss.Row != 1002 || loss.Length != 40_001 {
		t.Errorf("with FailOnLoss the error is %v", err)
	}
}

// TestWiderBatch: a batch whose column is of another type than declared is written by its own.
func TestWiderBatch(t *testing.T) {
	declared := []columnar.Column{{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}}
	e := newEncoder(t, declared, xlsx.Options{})
	f := open(t, workbookOf(t, encode(t, e,
		batchOf(t, declared, func(b *columnar.Builder) { b.Column(0).Decimal(decimal("1.50", 2)); b.EndRow() }),
		batchOf(t, []columnar.Column{{Name: "amount", Kind: columnar.Text}}, func(b *columnar.Builder) { b.Column(0).String("n/a"); b.EndRow() }),
	).sheets(0, "W")...))
	if a, b := raw(t, f, "W", "A2"), raw(t, f, "W", "A3"); a != "1.50" || b != "n/a" {
		t.Errorf("cells are %q and %q", a, b)
	}
	if _, err := e.Encode(0, texts(t)); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	if _, err := e.Encode(0, &columnar.Batch{Rows: 1}); err == nil {
		t.Error("a batch without the columns was accepted")
	}
}
