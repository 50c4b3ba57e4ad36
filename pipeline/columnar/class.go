package columnar

import (
	"bytes"
	"unsafe"
)

// Class says what one value of a Mixed column is, whose text alone would leave it to be guessed: 42 may be a number
// or a text, and 0.30000000000000004 a decimal or a double.
type Class uint8

// The classes. A value's class depends on the value and its column, never on its neighbours.
const (
	ClassStray  Class = iota // what the column's kind has no room for, as a text
	ClassNull                // NULL
	ClassNumber              // an exact number: plain decimal digits
	ClassFloat               // a double or a float32: the shortest digits that read back as it, NaN, Infinity
	ClassBool                // true or false
	ClassMoment              // a date or a time of the column's kind; instants in UTC
	ClassText                // a text in a column of texts, bytes in one of bytes
)

// classOf is the class of a value in a column of this kind.
func classOf(k Kind) Class {
	switch k {
	case Int, Uint, Decimal, Numeric:
		return ClassNumber
	case Float32, Float:
		return ClassFloat
	case Bool:
		return ClassBool
	case Text, Binary:
		return ClassText
	default:
		return ClassMoment
	}
}

// Strays counts the values that a reader of their text does not take for one of the column's kind, and finds the
// first of them; -1 if there is none. These are the strays of a Mixed column, and of doubles those that are no
// number: NaN and the infinities.
func (v *View) Strays(rows int) (n int64, first int) {
	first = -1
	note := func(i int) {
		if n++; first < 0 {
			first = i
		}
	}
	const exponent, exponent32 = 0x7FF << 52, 0xFF << 23 // all ones in what is no number
	switch v.Kind {
	case Mixed:
		classes := v.Classes[:rows]
		for i := bytes.IndexByte(classBytes(classes), byte(ClassStray)); i >= 0 && i < rows; i++ {
			if classes[i] == ClassStray {
				note(i)
			}
		}
		for i, c := range classes {
			if c == ClassFloat && !finite(v.Bytes(i)) {
				note(i)
				first = min(first, i)
			}
		}
	case Float:
		for i, bits := range v.Longs[:rows] {
			if bits&exponent == exponent && !v.Null(i) {
				note(i)
			}
		}
	case Float32:
		for i, bits := range v.Ints[:rows] {
			if bits&exponent32 == exponent32 && !v.Null(i) {
				note(i)
			}
		}
	}
	return n, first
}

// finite reports whether the text of a ClassFloat is that of a number.
func finite(text []byte) bool { return len(text) > 0 && text[len(text)-1] <= '9' }

func classBytes(c []Class) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(c))), len(c))
}

// Tally counts what a column holds, over any number of batches.
type Tally struct {
	Filled int64 `json:"filled,omitempty"` // values that are not NULL
	Strays int64 `json:"strays,omitempty"` // those of them that the destination does not hold as the column's kind
	Long   int64 `json:"long,omitempty"`   // those of the strays that are whole numbers of more digits than the destination has
	First  int64 `json:"first,omitempty"`  // row of the first stray, from 1
	Of     Kind  `json:"of,omitempty"`     // kind of the column where it has strays; else 0
}

// Add counts what o has counted, whose rows follow.
func (t *Tally) Add(o *Tally) {
	t.Filled += o.Filled
	t.Strays += o.Strays
	t.Long += o.Long
	if t.First == 0 {
		t.First = o.First
	}
	if t.Of == 0 {
		t.Of = o.Of
	}
}

// AppendFloat appends the text of a Float: the shortest digits that read back as the same value.
func AppendFloat(dst []byte, v float64) []byte { return appendFloat(dst, v, 64) }

// fitsFloat is the magnitude below which an integer becomes a double when one joins it: up to 15 digits, which is
// what every reader of numbers has, so that an integer reads as the same in whatever batch.
const fitsFloat = 1_000_000_000_000_000
