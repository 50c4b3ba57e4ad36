package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// answer is a session of queries that return texts in numeric columns: each query's rows by its text.
type answer map[string][][]string

func (a answer) Open(_ context.Context, r pipeline.Request) (pipeline.Session, error) {
	for _, q := range r.Queries {
		if strings.HasPrefix(q.SQL, "refused") {
			return nil, pipeline.Permanent(fmt.Errorf("%s: no such column", q.Name))
		}
	}
	return &answered{a, r}, nil
}

func (answer) Host(string) string { return "" }

type answered struct {
	answer
	r pipeline.Request
}

func (s *answered) Columns(q int) (out []columnar.Column) {
	for i := range s.answer[s.r.Queries[q].SQL][0] {
		out = append(out, columnar.Column{Name: fmt.Sprint("c", i), Kind: columnar.Numeric})
	}
	return out
}

func (s *answered) Stream(_ context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	for _, row := range s.answer[s.r.Queries[q].SQL] {
		for i, v := range row {
			switch v {
			case "NULL":
				b.Column(i).Null()
			case "gone":
				return pipeline.Transient(errors.New("the connection was lost"))
			case "failed":
				return pipeline.Permanent(errors.New("division by zero"))
			default:
				b.Column(i).String(v)
			}
		}
		b.EndRow()
		if due(b) {
			if err := emit(b); err != nil {
				return err
			}
		}
	}
	return emit(b)
}

func (s *answered) Server() string { return "fake" }
func (s *answered) Close() error   { return nil }

// asks runs an attempt's control totals over three rows of the columns c0 and c1: what the eof says of them, and how
// each control query was opened.
func asks(t *testing.T, a answer, v *pipeline.Verify, last bool) ([]pipeline.Control, error) {
	t.Helper()
	a["rows"] = [][]string{{"0.10", "n/a"}, {"NULL", "n/a"}, {"99999999999999999999.90", "NULL"}}
	kind := &pipeline.DatabaseKind{Name: "fake", Label: "Fake", Driver: a, Control: func(sql string, v *pipeline.Verify) (pipeline.ControlQuery, error) {
		if sql != "rows" {
			return pipeline.ControlQuery{}, errors.New("not this one")
		}
		q := pipeline.ControlQuery{SQL: "control"}
		if v.Count {
			q.Shifts = append(q.Shifts, []uint{0})
		}
		for range v.Sum {
			q.Shifts = append(q.Shifts, []uint{4, 0})
		}
		return q, nil
	}}
	at := &attempt{worker: &Worker{}, m: &pipeline.Manifest{}, conn: &pipeline.Connection{Queries: []pipeline.Query{{SQL: "rows", Verify: v}}}, last: last, rows: []int64{3}}
	s, err := at.open(t.Context(), kind, "")
	if err != nil {
		t.Fatal(err)
	}
	at.controls.find([][]columnar.Column{s.Columns(0)})
	b := columnar.NewBuilder(s.Columns(0))
	err = s.Stream(t.Context(), 0, b, func(*columnar.Builder) bool { return true }, func(b *columnar.Builder) error {
		if b.Rows() == 0 {
			return nil
		}
		body, err := b.Encode()
		if err != nil {
			return err
		}
		b.Reset()
		return at.controls.add(0, slices.Clone(body))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := at.askControls(t.Context(), s); err != nil {
		return nil, err
	}
	return at.controls.compare(at.rows), nil
}

// The sums of what was read, and what the database says, are compared exactly, also where neither fits a double; each
// kind of difference is said, with both values.
func TestControlsCompare(t *testing.T) {
	sums := &pipeline.Verify{Count: true, Sum: []string{"C0"}}
	for _, c := range []struct {
		name  string
		v     *pipeline.Verify
		row   [][]string
		state pipeline.Verified
		said  string
	}{
		{"equal", sums, [][]string{{"3", "6250000000000000000", "0"}}, pipeline.VerifiedEqual, ""},
		{"a cent", sums, [][]string{{"3", "6250000000000000000", "0.01"}}, pipeline.VerifiedDiffers,
			"the sum of C0: the database says 100000000000000000000.01, delivered were 100000000000000000000.00"},
		{"a row", sums, [][]string{{"4", "6250000000000000000", "0"}}, pipeline.VerifiedDiffers, "the number of rows: the database says 4, delivered were 3"},
		{"no sum", sums, [][]string{{"3", "NULL", "NULL"}}, pipeline.VerifiedDiffers, "the database says 0, delivered"},
		{"no number", sums, [][]string{{"3", "NaN", "0"}}, pipeline.VerifiedUnknown, "the sum of C0 is not verified: what the database says is no number"},
		{"texts", &pipeline.Verify{Sum: []string{"c1"}}, [][]string{{"0", "0"}}, pipeline.VerifiedUnknown, "the sum of c1 is not verified: it has no numbers"},
		{"no column", &pipeline.Verify{Sum: []string{"total"}}, [][]string{{"0", "0"}}, pipeline.VerifiedUnknown, "the query returns no column total; it returns c0, c1"},
		{"two rows", sums, [][]string{{"3", "0", "0"}, {"3", "0", "0"}}, pipeline.VerifiedUnknown, "returned more than one row"},
		{"two columns", sums, [][]string{{"3", "0"}}, pipeline.VerifiedUnknown, "returns 2 columns, and has to return 3"},
		{"it fails", sums, [][]string{{"3", "failed", "0"}}, pipeline.VerifiedUnknown, "the control totals are not verified: division by zero"},
		{"it is refused", &pipeline.Verify{Count: true, Query: "refused"}, nil, pipeline.VerifiedUnknown, "the control totals are not verified: control totals: no such column"},
		{"of its own", &pipeline.Verify{Count: true, Sum: []string{"c0"}, Query: "own"}, nil, pipeline.VerifiedEqual, ""},
	} {
		got, err := asks(t, answer{"control": c.row, "own": {{"3", "100000000000000000000"}}}, c.v, false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		said := strings.Join(got[0].Faults(), "; ")
		if got[0].Verified() != c.state || !strings.Contains(said, c.said) || (said == "") != (c.state == pipeline.VerifiedEqual) {
			t.Errorf("%s: %s, %q: %+v", c.name, got[0].Verified(), said, got)
		}
	}
}

// A database that is lost while it is asked for control totals is asked again from the beginning, as long as an attempt
// is left; the last one keeps the rows, which are not verified then.
func TestControlsOfALostDatabase(t *testing.T) {
	v := &pipeline.Verify{Count: true}
	lost := func() answer { return answer{"control": {{"gone"}}} }
	if _, err := asks(t, lost(), v, false); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("the attempt ends with %v", err)
	}
	got, err := asks(t, lost(), v, true)
	if err != nil || got[0].Verified() != pipeline.VerifiedUnknown || !strings.Contains(got[0].Error, "the connection was lost") {
		t.Errorf("%+v, %v", got, err)
	}
}
