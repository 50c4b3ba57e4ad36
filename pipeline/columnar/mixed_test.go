package columnar_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"fanmill/pipeline/columnar"
)

// decoded is the batch as a sink gets it.
func decoded(t interface{ Fatal(...any) }, b *columnar.Builder) *columnar.Batch {
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(append([]byte(nil), body...))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// classesOf are the classes that values have beside a stray, by the kind of their column.
var classesOf = map[columnar.Kind]columnar.Class{
	columnar.Bool: columnar.ClassBool, columnar.Int: columnar.ClassNumber, columnar.Uint: columnar.ClassNumber, columnar.Decimal: columnar.ClassNumber,
	columnar.Numeric: columnar.ClassNumber, columnar.Float: columnar.ClassFloat, columnar.Float32: columnar.ClassFloat, columnar.Text: columnar.ClassText,
	columnar.Binary: columnar.ClassText,
}

// A value beside a stray has the text that it has in a plain batch, its class tells what it is, and both come through
// the row log; the next batch has the declared type again.
func TestMixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 20).Draw(t, "rows")
		for _, col := range allColumns {
			plain, mixed := columnar.NewBuilder([]columnar.Column{col}), columnar.NewBuilder([]columnar.Column{col})
			for r := range rows {
				v := drawValue(t, col.Kind, fmt.Sprint(col.Name, r))
				for _, b := range []*columnar.Builder{plain, mixed} {
					put(b.Column(0), v)
					b.EndRow()
				}
			}
			want := decoded(t, plain).Cols[0]
			if !mixed.Column(0).Retype(columnar.Mixed) {
				t.Fatalf("%s does not mix", col.Type())
			}
			mixed.Column(0).Mixed(columnar.ClassStray, []byte("n/a"))
			mixed.EndRow()
			batch := decoded(t, mixed)
			got := batch.Cols[0]
			if got.Kind != columnar.Mixed || got.Of != col.Kind || got.Nulls != want.Nulls {
				t.Fatalf("%s became %+v with %d NULLs, want %d", col.Type(), got.Column, got.Nulls, want.Nulls)
			}
			class, known := classesOf[col.Kind]
			if !known {
				class = columnar.ClassMoment
			}
			odd, _ := want.Strays(rows) // NaN and the infinities
			for r := range rows {
				if want.Null(r) {
					if !got.Null(r) || got.Classes[r] != columnar.ClassNull {
						t.Fatalf("%s row %d is no NULL", col.Type(), r)
					}
					continue
				}
				text := string(want.AppendText(nil, r, new(columnar.Clock)))
				if string(got.Bytes(r)) != text || got.Classes[r] != class {
					t.Fatalf("%s row %d: %q of class %d, want %q of %d", col.Type(), r, got.Bytes(r), got.Classes[r], text, class)
				}
			}
			if n, first := got.Strays(batch.Rows); n != odd+1 || odd == 0 && first != rows {
				t.Fatalf("%s has %d strays, the first at %d", col.Type(), n, first)
			}
			mixed.Reset()
			if mixed.Column(0).Column != col {
				t.Fatalf("after Reset the column is %+v", mixed.Column(0).Column)
			}
		}
	})
}

// What is no number among doubles is found in a plain batch and in a mixed one.
func TestStraysOfFloats(t *testing.T) {
	for _, kind := range []columnar.Kind{columnar.Float, columnar.Float32} {
		b := columnar.NewBuilder([]columnar.Column{{Name: "f", Kind: kind}})
		for _, v := range []float64{1.5, math.NaN(), math.Inf(-1), 0, math.Inf(1), 1e30} {
			if kind == columnar.Float {
				b.Column(0).Float(v)
			} else {
				b.Column(0).Float32(float32(v))
			}
			b.EndRow()
		}
		b.Column(0).Null()
		b.EndRow()
		for _, mix := range []bool{false, true} {
			if mix {
				b.Column(0).Retype(columnar.Mixed)
			}
			batch := decoded(t, b)
			if n, first := batch.Cols[0].Strays(batch.Rows); n != 3 || first != 1 {
				t.Errorf("%s, mixed %v: %d strays, the first at %d", kind, mix, n, first)
			}
		}
	}
}

// A column that nobody declared begins with integers, and from the batch on in which it was found with what it was
// found to be.
func TestFound(t *testing.T) {
	b := columnar.NewBuilder([]columnar.Column{{Name: "x", Kind: columnar.Unknown}})
	c := b.Column(0)
	if c.Kind != columnar.Int || c.Declared().Kind != columnar.Unknown {
		t.Fatalf("it begins as %s, declared %s", c.Kind, c.Declared().Kind)
	}
	c.Null()
	b.EndRow()
	if !c.Retype(columnar.Binary) || c.Filled() != 0 {
		t.Fatal("NULLs do not become bytes")
	}
	c.Found(columnar.Column{Kind: columnar.Text})
	if c.Kind != columnar.Binary {
		t.Errorf("the batch under way became %s", c.Kind)
	}
	b.Reset()
	if c.Kind != columnar.Text || c.Name != "x" {
		t.Errorf("the next batch is %+v", c.Column)
	}
	c.String("t")
	b.EndRow()
	c.Retype(columnar.Mixed)
	if c.Of != columnar.Text {
		t.Errorf("beside a stray it is of %s", c.Of)
	}
	c.Mixed(columnar.ClassNumber, []byte("5"))
	b.EndRow()
	if c.Retype(columnar.Text); c.Kind != columnar.Text || string(decoded(t, b).Cols[0].Bytes(1)) != "5" {
		t.Errorf("as a text column it is %+v", c.Column)
	}
	b.Reset()
	c.Found(columnar.Column{Kind: columnar.Decimal, Precision: 5, Scale: 2})
	if c.Kind != columnar.Decimal || c.Name != "x" || c.Scale != 2 {
		t.Errorf("an empty batch is %+v", c.Column)
	}
}

// Tallies of parts add up whatever the order of those without strays.
func TestTally(t *testing.T) {
	var sum columnar.Tally
	for _, o := range []columnar.Tally{{Filled: 3}, {Filled: 2, Strays: 1, First: 5, Of: columnar.Int}, {Filled: 4, Strays: 2, Long: 1, First: 8, Of: columnar.Int}} {
		sum.Add(&o)
	}
	if want := (columnar.Tally{Filled: 9, Strays: 3, Long: 1, First: 5, Of: columnar.Int}); sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}
