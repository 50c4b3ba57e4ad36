package columnar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Total is the sum of the numbers in one column. It is exact, and so does not depend on the order in which they were
// added nor on how they were cut into batches: decimals are summed as integers, doubles as the binary fractions that
// they are, and only Text rounds, once, where doubles took part. The zero Total is the sum of nothing. A Total is not
// safe for concurrent use.
type Total struct {
	exact  big.Int // of integers and decimals, times 10^scale
	scale  int
	binary big.Int // of doubles, times 2^binaryScale
	float  bool    // doubles took part
	others int64
}

// binaryScale makes an integer of every double: the smallest is 2^-1074.
const binaryScale = 1074

// Totalled reports whether a column is one of numbers, or may turn out to be: that of one that nobody declared counts
// if Others is 0 and it has a value.
func Totalled(k Kind) bool { return k.Number() || k == Unknown }

// NewTotal is the sum of nothing in a column of this type.
func NewTotal(c Column) (t Total) {
	if c.Kind == Decimal {
		t.scale = int(c.Scale)
	}
	t.float = c.Kind == Float || c.Kind == Float32
	return t
}

// Approximate reports whether doubles took part: the sum is right, but what was summed is seldom what people wrote
// down.
func (t *Total) Approximate() bool { return t.float }

// Others counts the values that are not numbers (NaN, infinities, texts), and so not in the sum.
func (t *Total) Others() int64 { return t.others }

// Scale is the number of decimals that Text has, unless the total is approximate.
func (t *Total) Scale() int { return t.scale }

// Add adds another total.
func (t *Total) Add(o *Total) {
	t.addExact(&o.exact, o.scale)
	t.binary.Add(&t.binary, &o.binary)
	t.float = t.float || o.float
	t.others += o.others
}

// addExact adds v / 10^scale. v is not changed.
func (t *Total) addExact(v *big.Int, scale int) {
	if scale > t.scale {
		t.exact.Mul(&t.exact, power10(scale-t.scale))
		t.scale = scale
	} else if scale < t.scale && v.Sign() != 0 {
		v = new(big.Int).Mul(v, power10(t.scale-scale))
	}
	t.exact.Add(&t.exact, v)
}

func power10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// Text is the sum as a decimal number: with all its digits, or, where doubles took part, in the fewest that read back
// as the double nearest to it. The sum of doubles may be past the largest of them, and has as many digits then.
func (t *Total) Text() string {
	if !t.float {
		return t.exactText()
	}
	sum := t.rat()
	f, _ := sum.Float64()
	if math.IsInf(f, 0) {
		const mantissa = 53 // bits of a double's
		return new(big.Float).SetPrec(mantissa).SetRat(sum).Text('e', -1)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func (t *Total) exactText() string {
	digits := t.exact.String()
	if t.scale == 0 {
		return digits
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if short := t.scale + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	point := len(digits) - t.scale
	return sign + digits[:point] + "." + digits[point:]
}

// totalJSON is a Total as it is stored: nothing is rounded.
type totalJSON struct {
	Sum    string `json:"sum"`
	Binary string `json:"binary,omitempty"` // hexadecimal, times 2^-1074 and shifted by the zeros after "p"
	Float  bool   `json:"float,omitempty"`
	Others int64  `json:"others,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (t Total) MarshalJSON() ([]byte, error) {
	out := totalJSON{Sum: t.exactText(), Float: t.float, Others: t.others}
	if t.binary.Sign() != 0 {
		zeros := t.binary.TrailingZeroBits()
		out.Binary = new(big.Int).Rsh(&t.binary, zeros).Text(16) + "p" + strconv.Itoa(int(zeros))
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Total) UnmarshalJSON(data []byte) error {
	var in totalJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*t = Total{float: in.Float, others: in.Others}
	if !t.addLong([]byte(in.Sum)) {
		return fmt.Errorf("%q is not the sum of a column", in.Sum)
	}
	if in.Binary == "" {
		return nil
	}
	mantissa, zeros, _ := strings.Cut(in.Binary, "p")
	shift, err := strconv.Atoi(zeros)
	if _, ok := t.binary.SetString(mantissa, 16); !ok || err != nil || shift < 0 || shift > 1<<16 {
		return errors.New("the sum of a column of doubles does not read")
	}
	t.binary.Lsh(&t.binary, uint(shift))
	return nil
}

// AddColumn adds a column of a batch. What it allocates does not depend on the number of rows.
func (t *Total) AddColumn(v *View, rows int) {
	switch v.Kind {
	case Int:
		t.addWide(sumLongs(v, rows, -1), 0)
	case Uint:
		t.addWide(sumLongs(v, rows, 0), 0)
	case Decimal:
		t.addWide(sumDecimals(v, rows), int(v.Scale))
	case Float, Float32:
		t.addFloats(v, rows)
	case Numeric:
		t.addTexts(v, rows)
	case Mixed:
		t.addMixed(v, rows)
	default: // no numbers, whatever they look like
		t.others += int64(rows - v.Nulls)
	}
}

// wide is an integer of 192 bits in two's complement, the lowest word first: the sum of 2^64 decimals of 38 digits
// fits.
type wide [3]uint64

func (t *Total) addWide(w wide, scale int) {
	if w == (wide{}) {
		t.addExact(new(big.Int), scale)
		return
	}
	negative := w[2]>>63 != 0
	if negative {
		w = w.negate()
	}
	var b [24]byte
	for i, word := range w {
		for k := range 8 {
			b[23-8*i-k] = byte(word >> (8 * k))
		}
	}
	sum := new(big.Int).SetBytes(b[:])
	if negative {
		sum.Neg(sum)
	}
	t.addExact(sum, scale)
}
