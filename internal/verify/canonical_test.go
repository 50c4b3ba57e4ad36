package verify_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"math/big"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/internal/verify"
)

func TestDecimals(t *testing.T) {
	for _, c := range []struct {
		in    string
		scale int
		want  string
	}{
		{"1", 2, "1.00"}, {"1.50", 2, "1.50"}, {"-0.00", 2, "0.00"}, {".5", 2, "0.50"}, {"+007.10", 1, "7.1"}, {"1.255", 2, "1.255"},
		{"1.5E3", 2, "1500.00"}, {"25e-2", 2, "0.25"}, {"12345678901234567890123456789012345678", 0, "12345678901234567890123456789012345678"},
		{"n/a", 2, "n/a"}, {"", 2, ""}, {"-", 2, "-"}, {"1/2", 2, "1/2"}, {"0x10", 2, "0x10"}, {"1e999999999", 2, "1e999999999"}, {"NaN", 2, "NaN"},
	} {
		if got := verify.AppendDecimal(c.in, c.scale); got != c.want {
			t.Errorf("%s at scale %d: got %s, want %s", c.in, c.scale, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		unscaled, scale := rapid.Int64().Draw(t, "unscaled"), rapid.IntRange(0, 9).Draw(t, "scale")
		r := new(big.Rat).SetFrac(big.NewInt(unscaled), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		want := r.FloatString(scale)
		for _, spelt := range []string{want, r.FloatString(scale + 3)} {
			if got := verify.AppendDecimal(spelt, scale); got != want {
				t.Fatalf("%s at scale %d: got %s, want %s", spelt, scale, got, want)
			}
		}
	})
}

func TestSerials(t *testing.T) {
	for _, c := range []struct {
		kind     verify.Kind
		in, want string
	}{
		{verify.Date, "45383", "2024-04-01"}, {verify.Date, "61", "1900-03-01"}, {verify.Date, "2958465", "9999-12-31"},
		{verify.Timestamp, "45383.5", "2024-04-01 12:00:00"}, {verify.Timestamp, "45383", "2024-04-01 00:00:00"},
		{verify.Timestamp, "45382.99999999999999999", "2024-04-01 00:00:00"},
		{verify.Date, "45383.5", "\x00number 45383.5"}, {verify.Date, "60", "\x00number 60"}, {verify.Date, "2958466", "\x00number 2958466"},
		{verify.Date, "-1", "\x00number -1"}, {verify.Timestamp, "4.5e4", "\x00number 4.5e4"}, {verify.Timestamp, "", "\x00number "},
	} {
		if got := verify.Serial(c.kind, c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
	// To the microsecond until 2079, where a double's steps become more than one, whichever digits stand for the
	// double; to the millisecond after that.
	const layout = "2006-01-02 15:04:05.999999"
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.Int64Range(61, 2958465).Draw(t, "days")
		micros := rapid.Int64Range(0, 86400_000_000-1).Draw(t, "micros")
		if days >= 1<<16 {
			micros -= micros % 1000
		}
		want := epoch.AddDate(0, 0, int(days)).Add(time.Duration(micros) * time.Microsecond).Format(layout)
		r := new(big.Rat).SetFrac64(micros, 86400_000_000)
		r.Add(r, new(big.Rat).SetInt64(days))
		f, _ := r.Float64()
		spelt := []string{r.FloatString(17), strconv.FormatFloat(f, 'f', -1, 64)}
		if days >= 1<<16 {
			want = want[:min(len(want), len("2006-01-02 15:04:05.999"))]
		}
		for _, s := range spelt {
			got := verify.Serial(verify.Timestamp, s)
			if days >= 1<<16 {
				got = toMilliseconds(t, got)
			}
			if got != want {
				t.Fatalf("%s: got %s, want %s", s, got, want)
			}
		}
	})
}

func toMilliseconds(t *rapid.T, s string) string {
	v, err := time.Parse("2006-01-02 15:04:05.999999", s)
	if err != nil {
		t.Fatal(err)
	}
	return v.Round(time.Millisecond).Format("2006-01-02 15:04:05.999")
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a_x000D_b": "a\rb", "_x005F_x0041_": "_x0041_", "_x0041": "_x0041", "_xD83D__xDE42_": "🙂", "_xZZZZ_": "_xZZZZ_", "__x0041_": "_A",
	} {
		if got := verify.Unescape(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// A workbook has decimals of more than 15 digits rounded to these, as numbers; whole numbers of more digits, and they
// alone, are texts.
func TestDecimalsOfAWorkbook(t *testing.T) {
	money, rounded, id := &verify.Column{Kind: verify.Decimal, Scale: 2}, &verify.Column{Kind: verify.Decimal, Scale: 2, Rounded: true}, &verify.Column{Kind: verify.Integer}
	for _, c := range []struct {
		column      *verify.Column
		value, cell string
		isText      bool
		right       bool
	}{
		{money, "1234567.5", "1234567.50", false, true},
		{money, "1234567.5", "1234567.50", true, false},
		{money, "1234567890123456.78", "1234567890123456.78", true, false},
		{money, "1234567890123456.78", "1234567890123456.78", false, false},
		{money, "NaN", "NaN", true, true},
		{rounded, "1234567890123456.78", "1234567890123460", false, true},
		{rounded, "-1234567890123465", "-1234567890123470.00", false, true},
		{rounded, "9999999999999999.99", "10000000000000000", false, true},
		{rounded, "0.000012345678901234549999", "0.0000123456789012345", false, true},
		{rounded, "1234567890123456.78", "1234567890123456.78", true, false},
		{id, "1234567890123456", "1234567890123456", true, true},
		{id, "1234567890123456", "1234567890123456", false, false},
		{id, "123456789012345", "123456789012345", true, false},
	} {
		if want, got := c.column.Canonical(c.value), c.column.Cell(c.cell, c.isText); (want == got) != c.right {
			t.Errorf("%s is %q, and the cell %s, a text: %v, is %q", c.value, want, c.cell, c.isText, got)
		}
	}
}

// The scanner reads what encoding/xml reads, of everything that both accept.
func FuzzXMLScanner(f *testing.F) {
	for _, s := range []string{"<a>x</a>", "<a b='>'/>", "<?xml version=\"1.0\"?><a><!-- - --><b>1&lt;2&#10;&#x41;</b></a>\n", "<a>\r\n\r</a>", "<a></b>", "<a", "&", "<a>&amp", "<a>\x00</a>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := verify.ScanText(doc)
		d := xml.NewDecoder(bytes.NewReader(doc))
		var want []byte
		for {
			tok, errXML := d.RawToken()
			if errXML == io.EOF {
				break
			}
			if errXML != nil {
				return // the scanner may be more generous: what it reads is ours, and is compared by its values
			}
			if c, ok := tok.(xml.CharData); ok {
				want = append(want, c...)
			}
		}
		if err == nil && got != string(want) {
			t.Fatalf("%q: got %q, want %q", doc, got, want)
		}
	})
}

func TestScannerDecodesWhatIsEscaped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("<>&\"'\r\n\t ]; x#1🙂ா"))).Draw(t, "text")
		var b bytes.Buffer
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			t.Fatal(err)
		}
		got, err := verify.ScanText([]byte("<c a=\">\"><v>" + b.String() + "</v></c>"))
		if err != nil || got != s {
			t.Fatalf("%q: got %q, %v", s, got, err)
		}
	})
}
