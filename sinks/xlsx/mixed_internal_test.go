package xlsx

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a number of too many digits is rounded to is the nearest of 15 digits, of two the one farther from zero.
func TestRounded(t *testing.T) {
	for in, want := range map[string]string{
		"6.6666666666666667": "6.66666666666667", "1.000000000000005": "1.00000000000001", "-1.000000000000005": "-1.00000000000001",
		"1.0000000000000049": "1.00000000000000", "9.999999999999999": "10.00000000000000", "-99999999999999.95": "-100000000000000.0",
		"999999999999999.5": "1000000000000000", "123456789012345.4": "123456789012345", "123456789012345678.901": "123456789012346000",
		"1234567890123456789012345678.0123456789": "1234567890123460000000000000", "0.00012345678901234567": "0.000123456789012346",
		"1000000000000000.00": "1000000000000000.00", "12345678901234567890": "12345678901234600000", "0.9999999999999999": "1.000000000000000",
		"4.5000000000000000": "4.5000000000000000", "0.0000000000000000": "0.0000000000000000", "1234567890123450.000": "1234567890123450.000",
	} {
		got, changed := appendRounded(nil, []byte(in))
		a, _ := new(big.Rat).SetString(in)
		b, _ := new(big.Rat).SetString(string(got))
		if string(got) != want || changed != (a.Cmp(b) != 0) {
			t.Errorf("%s became %s, changed %v; want %s", in, got, changed, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.StringMatching(`0|[1-9][0-9]{0,30}`).Draw(t, "whole")
		in := whole + "." + rapid.StringMatching(`[0-9]{1,40}`).Draw(t, "fraction")
		if rapid.Bool().Draw(t, "negative") {
			in = "-" + in
		}
		before := "12"
		out, changed := appendRounded([]byte(before), []byte(in))
		got := strings.TrimPrefix(string(out), before)
		exact, _ := new(big.Rat).SetString(in)
		is, ok := new(big.Rat).SetString(got)
		if !ok {
			t.Fatalf("%s became %s", in, got)
		}
		// big.Float rounds to bits: the unit of the last digit kept is found from the text instead.
		digits := strings.TrimLeft(strings.Replace(strings.TrimPrefix(in, "-"), ".", "", 1), "0")
		power := len(digits) - maxDigits - len(in[strings.IndexByte(in, '.')+1:]) // of that unit
		unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, 0))), nil))
		if power < 0 {
			unit.SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-power)), nil))
		}
		off := new(big.Rat).Sub(is, exact)
		twice := new(big.Rat).Mul(new(big.Rat).Abs(off), big.NewRat(2, 1))
		if cmp := twice.Cmp(unit); cmp > 0 || cmp == 0 && off.Sign() != exact.Sign() {
			t.Fatalf("%s became %s", in, got)
		}
		if n := new(big.Rat).Quo(is, unit); !n.IsInt() {
			t.Fatalf("%s became %s, which has more digits than %d", in, got, maxDigits)
		}
		if changed != (off.Sign() != 0) {
			t.Fatalf("%s became %s: changed %v", in, got, changed)
		}
	})
}
