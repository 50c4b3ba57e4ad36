package columnar

import (
	"math"
	"math/big"
	"strconv"
)

// Agrees reports whether two totals are of the same sum: exactly the same, unless doubles took part in one of them.
// Whoever adds doubles rounds each step, in an order of its own: those may be up to within apart.
func (t *Total) Agrees(o *Total, within float64) bool {
	difference := t.rat()
	difference.Sub(difference, o.rat())
	if !t.float && !o.float || difference.Sign() == 0 {
		return difference.Sign() == 0
	}
	bound := new(big.Rat)
	if bound.SetFloat64(within) == nil { // infinite: the values themselves are past all doubles
		return true
	}
	return difference.Abs(difference).Cmp(bound) <= 0
}

// rat is the sum as a fraction.
func (t *Total) rat() *big.Rat {
	sum := new(big.Rat).SetFrac(&t.exact, power10(t.scale))
	if t.binary.Sign() == 0 {
		return sum
	}
	return sum.Add(sum, new(big.Rat).SetFrac(&t.binary, new(big.Int).Lsh(big.NewInt(1), binaryScale)))
}

// Shift multiplies the sum by 2^n.
func (t *Total) Shift(n uint) {
	t.exact.Lsh(&t.exact, n)
	t.binary.Lsh(&t.binary, n)
}

// Magnitude is about the sum of the numbers of a column without their signs: what the rounding of a sum is measured by.
func (v *View) Magnitude(rows int) (sum float64) {
	add := func(f float64) {
		if f-f == 0 {
			sum += math.Abs(f)
		}
	}
	scale := math.Pow10(-int(v.Scale))
	for i := range rows {
		if v.Null(i) {
			continue
		}
		switch v.Kind {
		case Int:
			add(float64(v.Longs[i]))
		case Uint:
			add(float64(uint64(v.Longs[i])))
		case Float:
			add(math.Float64frombits(uint64(v.Longs[i])))
		case Float32:
			add(float64(math.Float32frombits(uint32(v.Ints[i]))))
		case Decimal:
			if d := v.Decimals[i]; d.HighBits() == int64(d.LowBits())>>63 { // 64 bits are enough: most are
				add(float64(int64(d.LowBits())) * scale)
			} else {
				add(d.ToFloat64(v.Scale))
			}
		case Numeric, Mixed:
			if v.Kind == Mixed && v.Classes[i] != ClassNumber && v.Classes[i] != ClassFloat {
				continue
			}
			if f, err := strconv.ParseFloat(string(v.Bytes(i)), 64); err == nil {
				add(f)
			}
		default:
			return 0
		}
	}
	return sum
}
