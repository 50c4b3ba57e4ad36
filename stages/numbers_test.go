package stages

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// encodeNumeric is numeric_send of a plain decimal text: base-10000 digits without zeros at either end.
func encodeNumeric(text string) []byte {
	sign := uint16(0)
	if strings.HasPrefix(text, "-") {
		sign, text = numericNegative, text[1:]
	}
	whole, decimals, _ := strings.Cut(text, ".")
	scale := len(decimals)
	whole = strings.Repeat("0", (4-len(whole)%4)%4) + whole
	decimals += strings.Repeat("0", (4-len(decimals)%4)%4)
	weight := len(whole)/4 - 1
	all := whole + decimals
	var digits []uint16
	for i := 0; i < len(all); i += 4 {
		d, _ := strconv.ParseUint(all[i:i+4], 10, 16)
		digits = append(digits, uint16(d))
	}
	for len(digits) > 0 && digits[0] == 0 {
		digits, weight = digits[1:], weight-1
	}
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) == 0 {
		weight, sign = 0, 0
	}
	var b []byte
	for _, v := range append([]uint16{uint16(len(digits)), uint16(int16(weight)), sign, uint16(scale)}, digits...) {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// Every numeric has the text that it was made from, and as a decimal the same one, unless it has too many digits for
// that.
func TestNumericRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, 38).Draw(t, "scale")
		precision := rapid.IntRange(max(scale, 1), 38).Draw(t, "precision")
		digits := rapid.StringMatching(`[0-9]{1,45}`).Draw(t, "digits")
		if len(digits) <= scale {
			digits = strings.Repeat("0", scale-len(digits)+1) + digits
		}
		cut := len(digits) - scale
		text := strings.TrimLeft(digits[:cut], "0")
		if text == "" {
			text = "0"
		}
		if scale > 0 {
			text += "." + digits[cut:]
		}
		zero := strings.Trim(digits, "0") == ""
		if rapid.Bool().Draw(t, "negative") && !zero {
			text = "-" + text
		}
		wire := encodeNumeric(text)
		if got, ok := appendNumeric(nil, wire); !ok || string(got) != text {
			t.Fatalf("text %q, want %q", got, text)
		}
		fits := len(strings.TrimLeft(digits, "0")) <= precision
		for name, read := range map[string]func() (string, bool){
			"binary": func() (string, bool) {
				d, ok := numericDecimal(wire, int32(precision), int32(scale))
				return string(columnar.AppendDecimal(nil, d, scale)), ok
			},
			"text": func() (string, bool) {
				d, ok := parseDecimal([]byte(text), int32(precision), int32(scale))
				return string(columnar.AppendDecimal(nil, d, scale)), ok
			},
		} {
			got, ok := read()
			if ok != fits || ok && got != text {
				t.Fatalf("%s: decimal(%d,%d) %q, %v; want %q, %v", name, precision, scale, got, ok, text, fits)
			}
		}
	})
}

// A float becomes a decimal only if its shortest text has up to 15 digits and no more decimals than the column, and
// then it is that text.
func TestDecimalOfFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(
			rapid.Float64(),
			rapid.Map(rapid.Int64Range(-1<<56, 1<<56), func(n int64) float64 { return float64(n) / 100 }),
			rapid.Map(rapid.Int64Range(-1e15, 1e15), func(n int64) float64 { return float64(n) / 10000 }),
		).Draw(t, "v")
		scale := rapid.Int32Range(0, 20).Draw(t, "scale")
		got, ok := decimalOfFloat(v, 38, scale)
		shortest := strconv.FormatFloat(v, 'f', -1, 64)
		_, decimals, _ := strings.Cut(shortest, ".")
		want, exact := new(big.Rat).SetString(shortest)
		fits := exact && len(decimals) <= int(scale) && want.Cmp(new(big.Rat)) == 0 ||
			exact && len(decimals) <= int(scale) && math.Abs(v) < math.Pow10(38-int(scale))
		if fits = fits && significantDigits(shortest) <= 15 && math.Abs(v) < 1e15; ok != fits {
			t.Fatalf("%s as decimal(38,%d): %v", shortest, scale, ok)
		}
		if !ok {
			return
		}
		is, _ := new(big.Rat).SetString(string(columnar.AppendDecimal(nil, got, int(scale))))
		if is.Cmp(want) != 0 {
			t.Fatalf("%s became %s", shortest, is.FloatString(int(scale)))
		}
	})
}

// No bytes that a server sends crash the reader.
func FuzzRow(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255}, uint8(pgInt4))
	f.Add(append([]byte{0, 2, 255, 255, 255, 255, 0, 0, 0, 12}, encodeNumeric("12.34")...), uint8(pgDecimal))
	f.Fuzz(func(t *testing.T, body []byte, coding uint8) {
		kinds := []columnar.Kind{columnar.Text, columnar.Bool, columnar.Int, columnar.Int, columnar.Int, columnar.Int, columnar.Float32, columnar.Float, columnar.Decimal,
			columnar.Numeric, columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant, columnar.Text, columnar.Binary, columnar.Text}
		kind := kinds[int(coding)%len(kinds)]
		b := columnar.NewBuilder([]columnar.Column{{Kind: kind, Precision: 14, Scale: 2}, {Kind: kind, Precision: 14, Scale: 2}})
		r := rowReader{}
		for i := range 2 {
			r.cols = append(r.cols, rowColumn{coding: pgCoding(int(coding) % len(kinds)), declared: kind, precision: 14, scale: 2, to: b.Column(i)})
		}
		if r.row(body) == nil {
			b.EndRow()
			if err := b.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}

// What is read as a date or a time is written back as the same moment.
func FuzzISO(f *testing.F) {
	for _, s := range []string{"2024-02-29", "2024-02-29 12:00", "2024-02-29T12:00:01.5Z", "12:34:56.789", "9999-12-31 23:59:59.9999999", "2024-02-29 12:00:00 +05:30", "0000-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []columnar.Kind{columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant} {
			n, nanos, ok := parseISO([]byte(s), kind)
			if !ok {
				continue
			}
			b := columnar.NewBuilder([]columnar.Column{{Kind: kind}})
			b.Column(0).Retype(columnar.Text)
			if kind == columnar.Date {
				b.Column(0).Bytes(columnar.AppendDate(nil, n))
			} else {
				b.Column(0).Moment(n, nanos)
			}
			b.EndRow()
			body, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			batch, err := columnar.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			text := batch.Cols[0].Bytes(0)
			if year := string(text[:min(4, len(text))]); kind == columnar.Instant && (strings.HasPrefix(year, "-") || n > 253402300799_999_999) {
				continue // a zone took it out of the years that have four digits
			}
			if again, nanosAgain, ok := parseISO(text, kind); !ok || again != n || nanosAgain != nanos {
				t.Errorf("%q is %s %q, which is %d and %d ns, not %d and %d", s, kind, text, again, nanosAgain, n, nanos)
			}
		}
	})
}
