package sinks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// TestExcelCheck: problems of the configuration are told before a run, all at once, each at its key and with what to
// write instead.
func TestExcelCheck(t *testing.T) {
	check := sinks.Kinds()["excel"].Check
	good := `{"onLoss":"fail","summary":false,"columns":{"amount":{"format":"#,##0.00","width":14.5,"hide":false,"rename":"Amount (INR)","order":1},"Amount":{"order":2},"day":{}}}`
	if err := check(&pipeline.Destination{FilePath: "D:/Reports/{jobName}.XLSX", Mode: "replace", Options: json.RawMessage(good)}); err != nil {
		t.Error(err)
	}
	bad := `{"columns":{"a":{"format":"0 kg","rename":" "},"b":{"order":2},"d":{"order":2}}}`
	err := check(&pipeline.Destination{FilePath: "sales.xls", Options: json.RawMessage(bad)})
	var keys []string
	for _, e := range flat(err) {
		var keyed interface{ Key() string }
		if !errors.As(e, &keyed) {
			t.Errorf("no key: %v", e)
			continue
		}
		keys = append(keys, keyed.Key())
	}
	slices.Sort(keys)
	want := []string{"columns.a.format", "columns.a.rename", "columns.d.order", "filePath"}
	if !slices.Equal(slices.Compact(keys), want) {
		t.Errorf("problems at\n%q, want\n%q\n%v", keys, want, err)
	}
	for _, says := range []string{".xlsx", "put text in quotes", `order 2 is that of "b"`} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v\ndoes not say %s", err, says)
		}
	}
	if err := check(&pipeline.Destination{}); err == nil || !strings.Contains(err.Error(), "filePath is missing") {
		t.Errorf("without a path: %v", err)
	}
}

// flat are the errors that were joined.
func flat(err error) (out []error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, flat(e)...)
		}
		return out
	}
	return append(out, err)
}

// TestExcelColumns: options find columns by the database's name, the exact one first; the order of the others stays;
// names that no query returns are noted.
func TestExcelColumns(t *testing.T) {
	w := newExcelWorld(t, `{"columns":{"AMOUNT":{"rename":"upper","order":2},"amount":{"rename":"lower","order":1},"party":{"order":3,"width":40},"id":{"hide":true},"amuont":{"width":9},"zip":{}}}`, "A")
	w.cols = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "day", Kind: columnar.Date}, {Name: "AMOUNT", Kind: columnar.Int}, {Name: "amount", Kind: columnar.Int}, {Name: "PARTY", Kind: columnar.Text}}
	w.claim()
	p := w.open(0)
	b := columnar.NewBuilder(w.cols)
	b.Column(0).Long(1)
	b.Column(1).Days(20_000)
	b.Column(2).Long(2)
	b.Column(3).Long(3)
	b.Column(4).String("x")
	b.EndRow()
	w.write(p, 0, 0, decoded(t, b))
	w.finishPart(p)
	w.commit(p)
	f := w.openPublic()
	rows, err := f.GetRows("A")
	if want := "[[lower upper PARTY id day] [3 2 x 1 2024-10-04]]"; err != nil || fmt.Sprint(rows) != want {
		t.Errorf("rows are %q, want %q (%v)", rows, want, err)
	}
	if shown, err := f.GetColVisible("A", "D"); err != nil || shown {
		t.Errorf("id is in sight (%v)", err)
	}
	if notes := w.record.Settled[0].Notes; fmt.Sprint(notes) != "[the options name columns that it does not return: amuont, zip]" {
		t.Errorf("notes are %q", notes)
	}
	summary, _ := w.summary()
	if got := strings.Join(summary[4], "|"); got != "Connection|State|Rows|Attempts|Duration|Error|Losses and notes|lower|upper" {
		t.Errorf("the Summary has %s", got)
	}
}
