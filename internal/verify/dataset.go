// Package verify compares what came out of fanmill with what was in the databases, value for value. Its readers share
// no code with the writers: a mistake in a sink would not be repeated here. Databases, CSV files and workbooks are
// read into the same form, a Dataset, in which every value has one canonical text whatever it was stored as: decimals
// with the scale of their column, dates and times as ISO 8601 writes them, Excel's serial numbers turned back. A
// Dataset is small whatever the number of rows: per table it keeps counts, sums and hashes that do not depend on the
// order of rows.
package verify

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Kind is what a column holds.
type Kind uint8

// The kinds.
const (
	Text Kind = iota
	Integer
	Decimal // exact, Scale digits after the point
	Float
	Bool
	Date
	Timestamp // a wall clock
	Instant   // a moment, compared as the wall clock of Location
	Blob
)

// Column is a column of the truth: what the database declares it to be.
type Column struct {
	Name     string
	Kind     Kind
	Scale    int            // of Decimal
	Rounded  bool           // of Decimal: to 15 significant digits, half away from zero, which is what a workbook holds of more
	Location *time.Location // of Instant; nil is UTC
}

// Dataset is what a workbook, a CSV file or a set of databases holds: a table per sheet, group or database.
type Dataset map[string]Table

// Table is the sum of its rows.
type Table struct {
	Columns []string // as found, in their order
	Count   int64
	// Hash is of the rows as a multiset: equal, and Count equal, means the same rows in some order.
	Hash Hash
	// Loose is Hash with NULL and the empty text taken for the same, for readers that cannot tell them apart.
	Loose Hash
	// Sums are the totals of the Decimal columns, exact.
	Sums map[string]string

	columnHash map[string]uint64
}

// Hash is a sum of row hashes.
type Hash [2]uint64

func (h *Hash) add(o Hash) { h[0], h[1] = h[0]+o[0], h[1]+o[1] }

// Add adds the rows of another table with the same columns, such as the sheet that one sheet rolled over into.
func (t *Table) Add(o Table) error {
	if !slices.Equal(t.Columns, o.Columns) {
		return fmt.Errorf("add tables: columns %s and %s differ", strings.Join(t.Columns, ", "), strings.Join(o.Columns, ", "))
	}
	t.Count += o.Count
	t.Hash.add(o.Hash)
	t.Loose.add(o.Loose)
	t.Sums, t.columnHash = maps.Clone(t.Sums), maps.Clone(t.columnHash)
	for name, h := range o.columnHash {
		t.columnHash[name] += h
	}
	for name, s := range o.Sums {
		sum, ok := new(big.Rat).SetString(t.Sums[name])
		add, okToo := new(big.Rat).SetString(s)
		if !ok || !okToo {
			return fmt.Errorf("add tables: the sums %q and %q of %s are no numbers", t.Sums[name], s, name)
		}
		_, frac, _ := strings.Cut(s, ".")
		t.Sums[name] = sum.Add(sum, add).FloatString(len(frac))
	}
	return nil
}

// Diff says how got differs from want, a line per finding; nothing if they hold the same. A table that is missing or
// that nobody asked for is a finding too.
func Diff(want, got Dataset) []string { return diff(want, got, false) }

// DiffLoose is Diff with NULL and the empty text taken for the same.
func DiffLoose(want, got Dataset) []string { return diff(want, got, true) }

func diff(want, got Dataset, loose bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		if !ok {
			out = append(out, fmt.Sprintf("%s: is missing", name))
			continue
		}
		for _, d := range want[name].diff(g, loose) {
			out = append(out, name+": "+d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			out = append(out, fmt.Sprintf("%s: should not be there", name))
		}
	}
	return out
}

func (t Table) diff(g Table, loose bool) []string {
	if !slices.Equal(t.Columns, g.Columns) {
		return []string{fmt.Sprintf("columns are %s, want %s", strings.Join(g.Columns, ", "), strings.Join(t.Columns, ", "))}
	}
	var out []string
	if t.Count != g.Count {
		out = append(out, fmt.Sprintf("%d rows, want %d", g.Count, t.Count))
	}
	for _, c := range t.Columns {
		if want, ok := t.Sums[c]; ok && want != g.Sums[c] {
			out = append(out, fmt.Sprintf("sum of %s is %s, want %s", c, g.Sums[c], want))
		}
	}
	if t.Loose == g.Loose && (loose || t.Hash == g.Hash) || t.Count != g.Count {
		return out
	}
	if t.Loose == g.Loose {
		return append(out, "NULL and the empty text are mixed up")
	}
	found := false
	for _, c := range t.Columns {
		if t.columnHash[c] != g.columnHash[c] {
			found = true
			out = append(out, fmt.Sprintf("the values of %s differ", c))
		}
	}
	if !found {
		out = append(out, "each column has its values, but not in the same rows")
	}
	return out
}

// tally sums up one table, row by row. Its cost per row is the bytes of the row: nothing is kept or allocated.
type tally struct {
	found  []string
	cols   []Column // those of found, by position; Text for one that the truth does not have
	strict []byte   // the row so far
	loose  []byte
	nulls  bool
	order  []int // the columns by name: the hash of a row does not depend on their order
	cells  [][]byte
	isNull []bool

	count      int64
	hash, soft Hash
	columnHash []uint64
	small      []int64 // sums since they were last added to sums
	sums       []*big.Int
}

// newTally sums up a table whose columns were found with these names. Those the truth knows are read by its kinds.
func newTally(found []string, truth []Column) *tally {
	t := &tally{found: slices.Clone(found), cols: make([]Column, len(found)), columnHash: make([]uint64, len(found)),
		small: make([]int64, len(found)), sums: make([]*big.Int, len(found)), cells: make([][]byte, len(found)), isNull: make([]bool, len(found))}
	used := map[int]bool{}
	for i, name := range found {
		t.cols[i] = Column{Name: name}
		for k, c := range truth {
			if c.Name == name && !used[k] { // two columns of one name: by occurrence
				used[k], t.cols[i] = true, c
				break
			}
		}
		if t.cols[i].Kind == Decimal {
			t.sums[i] = new(big.Int)
		}
	}
	for i := range found {
		t.order = append(t.order, i)
	}
	slices.SortStableFunc(t.order, func(a, b int) int { return strings.Compare(found[a], found[b]) })
	return t
}

// null sets the value of column i in the present row.
func (t *tally) null(i int) { t.isNull[i], t.cells[i] = true, t.cells[i][:0] }

// set gives the buffer for the canonical text of column i in the present row: the caller stores what it appended to.
func (t *tally) set(i int) []byte {
	t.isNull[i] = false
	return t.cells[i][:0]
}

// endRow adds the present row. The next begins with the same values: every column must be set again.
func (t *tally) endRow() {
	t.strict, t.loose, t.nulls = t.strict[:0], t.loose[:0], false
	for _, i := range t.order {
		text, mark := t.cells[i], byte(1)
		if t.isNull[i] {
			mark, t.nulls = 0, true
		}
		t.strict = append(binary.AppendUvarint(append(t.strict, mark), uint64(len(text))), text...)
		t.loose = append(binary.AppendUvarint(append(t.loose, 1), uint64(len(text))), text...)
		t.columnHash[i] += xxhash.Sum64(text)
		if t.sums[i] != nil && len(text) > 0 {
			t.addSum(i, text)
		}
	}
	h := hashRow(t.loose)
	t.soft.add(h)
	if t.nulls {
		h = hashRow(t.strict)
	}
	t.hash.add(h)
	t.count++
}

func hashRow(b []byte) Hash {
	return Hash{xxhash.Sum64(b), xxhash.Sum64(append(b, 0xA5))}
}

// addSum adds a canonical decimal. Text that is none (a value that could not be read as a number) adds nothing: its
// hash shows.
func (t *tally) addSum(i int, text []byte) {
	const limit = 1 << 60
	v, ok := unscaled(text)
	if ok && v < limit && v > -limit && t.small[i] < limit && t.small[i] > -limit {
		t.small[i] += v
		return
	}
	t.flush(i)
	if big, ok := new(big.Int).SetString(strings.Replace(string(text), ".", "", 1), 10); ok {
		t.sums[i].Add(t.sums[i], big)
	}
}

func (t *tally) flush(i int) {
	t.sums[i].Add(t.sums[i], big.NewInt(t.small[i]))
	t.small[i] = 0
}

// unscaled is the number that a canonical decimal would be without its point, if it has at most 18 digits.
func unscaled(text []byte) (v int64, ok bool) {
	neg := text[0] == '-'
	if neg {
		text = text[1:]
	}
	if len(text) > 19 {
		return 0, false
	}
	for _, c := range text {
		if c == '.' {
			continue
		}
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

// table is the sum of the rows so far.
func (t *tally) table() Table {
	out := Table{Columns: t.found, Count: t.count, Hash: t.hash, Loose: t.soft, Sums: map[string]string{}, columnHash: map[string]uint64{}}
	for i, c := range t.cols {
		out.columnHash[c.Name] += t.columnHash[i]
		if t.sums[i] != nil {
			t.flush(i)
			out.Sums[c.Name] = pointed(t.sums[i], c.Scale)
		}
	}
	return out
}

func pointed(v *big.Int, scale int) string {
	return new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}
