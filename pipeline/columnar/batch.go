package columnar

import "github.com/apache/arrow-go/v18/arrow/decimal128"

// Batch is a decoded batch of rows. A column's type may be wider than what the attempt's open frame declared: a branch
// whose "amount" holds the text "n/a" in one row sends that one batch with a Mixed column.
type Batch struct {
	Rows int
	Cols []View
}

// View is one column of a batch as slices; which one holds the values follows from Kind. It shares the batch's memory
// and is never written to.
type View struct {
	Column
	Valid    []byte // a bit per row, nil when no value is NULL
	Nulls    int    // how many values are NULL
	Bits     []byte // Bool: a bit per row
	Longs    []int64
	Ints     []int32          // Date: days; Float32: IEEE bits
	Decimals []decimal128.Num // unscaled
	Offsets  []int32          // Text, Binary, Numeric, Mixed: row i is Data[Offsets[i]:Offsets[i+1]]
	Data     []byte
	Classes  []Class // Mixed: of each row
}

// Null reports whether row i is NULL.
func (v *View) Null(i int) bool { return v.Valid != nil && v.Valid[i>>3]&(1<<uint(i&7)) == 0 }

// Bool is the value of row i of a Bool column.
func (v *View) Bool(i int) bool { return v.Bits[i>>3]&(1<<uint(i&7)) != 0 }

// Bytes is the value of row i of a Text, Binary or Numeric column, and its text in a Mixed one.
func (v *View) Bytes(i int) []byte { return v.Data[v.Offsets[i]:v.Offsets[i+1]] }
