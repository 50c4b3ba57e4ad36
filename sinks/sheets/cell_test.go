package sheets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

// column sends one column of values and returns its cells, its number format, and what the survey says.
func column(t *testing.T, c columnar.Column, o sheets.CellOptions, digits []string, values ...func(*columnar.ColumnBuilder)) (cells []any, format string, found *sheets.Found) {
	t.Helper()
	w := newWorld(t, sheetsfake.Options{})
	cfg := config(1)
	cfg.Cells = o
	d := w.doc(cfg)
	cols := []columnar.Column{c, {Name: "end", Kind: columnar.Bool}}
	b := batch(t, cols, len(values), func(b *columnar.Builder, row int) { values[row](b.Column(0)); b.Column(1).Bool(true) })
	conn := of(0, cols, b)
	conn.Tables[0].Digits = digits
	s, err := d.NewSurvey(conn.Tables)
	if err == nil {
		err = s.Add(0, b)
	}
	if err != nil {
		t.Fatal(err)
	}
	found = s.Done()
	w.must(d, conn)
	for _, row := range w.book.Values("B1")[1:] {
		cells = append(cells, row[0])
	}
	kind, pattern := w.book.Format("B1", 1, 0)
	return cells, strings.TrimSpace(kind + " " + pattern), found
}

func long(v int64) func(*columnar.ColumnBuilder) {
	return func(b *columnar.ColumnBuilder) { b.Long(v) }
}

func text(s string) func(*columnar.ColumnBuilder) {
	return func(b *columnar.ColumnBuilder) { b.String(s) }
}

func decimal(s string, precision, scale int32) func(*columnar.ColumnBuilder) {
	return func(b *columnar.ColumnBuilder) {
		n, err := decimal128.FromString(s, precision, scale)
		if err != nil {
			panic(err)
		}
		b.Decimal(n)
	}
}

// G8, R17: what a column's cells are goes by its type; nothing is parsed by Google; what a cell does not hold as it is,
// is counted.
func TestKindsOfCells(t *testing.T) {
	moment := func(s string) func(*columnar.ColumnBuilder) {
		at, err := time.Parse("2006-01-02 15:04:05.999999", s)
		if err != nil {
			t.Fatal(err)
		}
		return func(b *columnar.ColumnBuilder) { b.Long(at.UnixMicro()) }
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	wide := strings.Repeat("ä", 50_001)
	for name, c := range map[string]struct {
		column columnar.Column
		cells  sheets.CellOptions
		digits []string
		values []func(*columnar.ColumnBuilder)
		want   []any
		format string
		strays int64
		losses string
	}{
		"texts that look like others": {column: columnar.Column{Kind: columnar.Text}, values: []func(*columnar.ColumnBuilder){text("00123"), text("=1+1"), text("'x"), text("@SUM"), text("1-2"), text(""), text("a\"\\\n\t\x01ü😀")},
			want: []any{"00123", "=1+1", "'x", "@SUM", "1-2", "", "a\"\\\n\t\x01ü😀"}, format: "TEXT @"},
		"numbers": {column: columnar.Column{Kind: columnar.Int}, values: []func(*columnar.ColumnBuilder){long(0), long(-1), long(999_999_999_999_999)}, want: []any{0.0, -1.0, 999_999_999_999_999.0}, format: "NUMBER 0"},
		"one number of 16 digits": {column: columnar.Column{Kind: columnar.Int}, values: []func(*columnar.ColumnBuilder){long(1), long(1 << 53), long(0)},
			want: []any{"1", "9007199254740992", "0"}, format: "TEXT @"},
		"money": {column: columnar.Column{Kind: columnar.Decimal, Precision: 19, Scale: 4}, values: []func(*columnar.ColumnBuilder){decimal("12.3400", 19, 4), decimal("0", 19, 4), decimal("-0.0001", 19, 4)},
			want: []any{12.34, 0.0, -0.0001}, format: "NUMBER 0.0000"},
		"wide decimals": {column: columnar.Column{Kind: columnar.Decimal, Precision: 38, Scale: 2}, values: []func(*columnar.ColumnBuilder){decimal("12345678901234567890.12", 38, 2), decimal("1.50", 38, 2)},
			want: []any{"12345678901234567890.12", "1.50"}, format: "TEXT @"},
		"digits asked for": {column: columnar.Column{Name: "n", Kind: columnar.Int}, digits: []string{"n"}, values: []func(*columnar.ColumnBuilder){long(7)}, want: []any{"7"}, format: "TEXT @"},
		"no numbers": {column: columnar.Column{Kind: columnar.Float}, values: []func(*columnar.ColumnBuilder){
			func(b *columnar.ColumnBuilder) { b.Float(math.NaN()) }, func(b *columnar.ColumnBuilder) { b.Float(0.1) }, func(b *columnar.ColumnBuilder) { b.Float(math.Inf(-1)) }},
			want: []any{"NaN", 0.1, "-Infinity"}, strays: 2},
		"booleans":   {column: columnar.Column{Kind: columnar.Bool}, values: []func(*columnar.ColumnBuilder){func(b *columnar.ColumnBuilder) { b.Bool(false) }, func(b *columnar.ColumnBuilder) { b.Bool(true) }}, want: []any{false, true}},
		"dates":      {column: columnar.Column{Kind: columnar.Date}, values: []func(*columnar.ColumnBuilder){func(b *columnar.ColumnBuilder) { b.Days(20454) }, func(b *columnar.ColumnBuilder) { b.Days(-25569) }, func(b *columnar.ColumnBuilder) { b.Days(-25570) }}, want: []any{46023.0, 0.0, "1899-12-29"}, format: "DATE yyyy-mm-dd", strays: 1},
		"timestamps": {column: columnar.Column{Kind: columnar.Timestamp}, values: []func(*columnar.ColumnBuilder){moment("2026-01-01 06:00:00"), moment("2026-01-01 00:00:00.000001")}, want: []any{46023.25, 46023.0 + 1.0/86_400_000_000}, format: "DATE_TIME yyyy-mm-dd hh:mm:ss"},
		"instants":   {column: columnar.Column{Kind: columnar.Instant}, cells: sheets.CellOptions{Location: berlin}, values: []func(*columnar.ColumnBuilder){moment("2026-01-01 05:00:00")}, want: []any{46023.25}, format: "DATE_TIME yyyy-mm-dd hh:mm:ss"},
		"times":      {column: columnar.Column{Kind: columnar.Time}, values: []func(*columnar.ColumnBuilder){long(0), long(43_200_000_000), long(-1)}, want: []any{0.0, 0.5, "-00:00:00.000001"}, format: "TIME hh:mm:ss", strays: 1},
		"too long":   {column: columnar.Column{Name: "c", Kind: columnar.Text}, values: []func(*columnar.ColumnBuilder){text(wide), text(wide[:100_000])}, want: []any{wide[:100_000], wide[:100_000]}, format: "TEXT @", losses: "[{c cut to 50000 characters 1}]"},
		"not UTF-8":  {column: columnar.Column{Name: "c", Kind: columnar.Text}, values: []func(*columnar.ColumnBuilder){text("a\xed\xa0\x80b\xffc")}, want: []any{"a\uFFFDb\uFFFDc"}, format: "TEXT @", losses: "[{c bytes that are not UTF-8 replaced 1}]"},
		"bytes":      {column: columnar.Column{Kind: columnar.Binary}, values: []func(*columnar.ColumnBuilder){text("\x01\xff")}, want: []any{"0x01ff"}, format: "TEXT @"},
		"nobody declares": {column: columnar.Column{Kind: columnar.Unknown}, values: []func(*columnar.ColumnBuilder){
			func(b *columnar.ColumnBuilder) {
				b.Found(columnar.Column{Kind: columnar.Int})
				b.Long(3)
			}, long(4)}, want: []any{3.0, 4.0}, format: "NUMBER 0"},
		"a text among numbers": {column: columnar.Column{Kind: columnar.Int}, values: []func(*columnar.ColumnBuilder){long(3), func(b *columnar.ColumnBuilder) {
			b.Retype(columnar.Mixed)
			b.Mixed(columnar.ClassStray, []byte("n/a"))
		}}, want: []any{3.0, "n/a"}, format: "NUMBER 0", strays: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, format, found := column(t, c.column, c.cells, c.digits, c.values...)
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) || format != c.format {
				t.Errorf("cells %.300v of format %q, want %.300v of %q", got, format, c.want, c.format)
			}
			losses := ""
			if len(found.Losses) > 0 {
				losses = fmt.Sprint(found.Losses)
			}
			if n := found.Tables[0].Tally[0].Strays; n != c.strays || losses != c.losses {
				t.Errorf("%d strays, losses %s", n, losses)
			}
		})
	}
}

// onLoss "fail" turns the connection away, before anything is sent.
func TestFailOnLoss(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(1)
	c.Cells.FailOnLoss = true
	cols := columns[1:]
	conn := of(0, cols, batch(t, cols, 2, func(b *columnar.Builder, row int) { b.Column(0).String(strings.Repeat("x", 49_999+row*2)) }))
	r, err := w.doc(c).Send(context.Background(), []*sheets.Connection{conn})
	if err != nil || !strings.Contains(r.Rejected[0], `column "name", row 2: cut to 50000 characters`) || len(w.book.Batches()) > 0 {
		t.Errorf("%.200v %v", r, err)
	}
}

// G9: zero, false, "" and the tab of id 0 are in what is sent, and no range is without its ends.
func TestNothingIsLeftOut(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	cols := []columnar.Column{{Name: "n", Kind: columnar.Int}, {Name: "b", Kind: columnar.Bool}, {Name: "s", Kind: columnar.Text}, {Name: "null", Kind: columnar.Text}}
	fill := func(b *columnar.Builder, _ int) {
		b.Column(0).Long(0)
		b.Column(1).Bool(false)
		b.Column(2).String("")
		b.Column(3).Null()
	}
	w.must(w.doc(config(2)), of(0, cols, batch(t, cols, 1, fill)), of(1, cols))
	w.must(w.doc(run(config(2), 2)), of(0, cols), of(1, cols, batch(t, cols, 1, fill)))
	all := fmt.Sprintf("%s", w.sent())
	if want := `{"values":[{"userEnteredValue":{"numberValue":0}},{"userEnteredValue":{"boolValue":false}},{"userEnteredValue":{"stringValue":""}},{}]}`; strings.Count(all, want) != 2 {
		t.Errorf("not in what was sent: %s", want)
	}
	if got := w.book.Values("B1"); len(got) != 1 {
		t.Errorf("a run without rows leaves %v", got)
	}
	if got := w.book.Values("B2"); len(got) != 2 || fmt.Sprint(got[1]) != "[0 false ]" {
		t.Errorf("zeros: %v", got)
	}
	var check func(v any)
	check = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				check(e)
			}
		case map[string]any:
			if _, isRange := v["startRowIndex"]; isRange && (v["endRowIndex"] == nil || v["endColumnIndex"] == nil || v["sheetId"] == nil || v["endRowIndex"] == 0.0) {
				t.Errorf("a range without its end: %v", v)
			}
			for _, e := range v {
				check(e)
			}
		}
	}
	for _, body := range w.sent() {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		check(v)
	}
}

// Invariant 1: at every batch each visible tab has the rows of one run, all of them.
func TestHalfIsNeverVisible(t *testing.T) {
	for _, form := range []string{"replace", "tabs"} {
		w, c, conns := scene(t, forms[form])
		var seen atomic.Int32
		w.failBy(func(call sheetsfake.Call) sheetsfake.Fault {
			for i, want := range []map[int]string{{5: "old", 381: "a"}, {301: "old", 4: "b"}, {1: ""}, {351: "d"}} {
				v := w.book.Values(fmt.Sprintf("B%d", i+1))
				tag, known := want[len(v)]
				if v != nil && (!known || len(v) > 1 && !strings.HasPrefix(fmt.Sprint(v[len(v)-1][1]), tag+" ")) {
					t.Errorf("%s, write %d: tab %d has %d rows, the last %v", form, call.Number, i+1, len(v)-1, v[len(v)-1])
				}
				seen.Add(1)
			}
			return sheetsfake.Fault{}
		})
		w.must(w.doc(c), conns...)
		if seen.Load() < 20 {
			t.Errorf("looked %d times", seen.Load())
		}
	}
}

// A shared tab knows its columns before its first row: others are turned away, a missing one is empty.
func TestColumnsOfOneTab(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(3)
	c.All, c.Columns = "All", columns
	names := []columnar.Column{{Name: "name", Kind: columnar.Text}}
	other := []columnar.Column{{Name: "other", Kind: columnar.Text}}
	one := func(b *columnar.Builder, _ int) { b.Column(0).String("x") }
	r, err := w.doc(c).Send(context.Background(), []*sheets.Connection{of(0, names, batch(t, names, 1, one)), of(1, other, batch(t, other, 1, one)), connection(t, 2, 1, "y")})
	if err != nil || len(r.Settled) != 2 || !strings.Contains(r.Rejected[1], `no column "other"`) {
		t.Fatalf("%v %v", r, err)
	}
	if got := fmt.Sprint(w.book.Values("All")); got != "[[connection id name] [B1  x] [B3 1 y 1]]" {
		t.Errorf("%s", got)
	}
}

// Cancelling ends every wait: for a token, for an answer, for the quota.
func TestCancel(t *testing.T) {
	for _, kind := range []string{"token", "get", "batchUpdate", "quota"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, sheetsfake.Options{})
			ctx, cancel := context.WithCancel(context.Background())
			release := make(chan struct{})
			defer close(release)
			w.failBy(func(c sheetsfake.Call) sheetsfake.Fault {
				if c.Kind == kind {
					cancel()
					<-release
				}
				if kind == "quota" && c.Kind == "batchUpdate" {
					cancel()
					return sheetsfake.Fault{Status: 429, Reason: "RATE_LIMIT_EXCEEDED"}
				}
				return sheetsfake.Fault{}
			})
			r, err := w.doc(config(1)).Send(ctx, []*sheets.Connection{connection(t, 0, 1, "a")})
			if !errors.Is(err, context.Canceled) || len(r.Settled) > 0 {
				t.Errorf("%v %v", r, err)
			}
			cancel()
		})
	}
}

// Keys that are no service account's are refused, and no error quotes them.
func TestCredentials(t *testing.T) {
	for text, want := range map[string]string{
		"secret-text": "not the JSON of a service account",
		`{"type":"authorized_user","client_secret":"secret-text"}`:                                                             "service_account only",
		`{"type":"service_account","client_email":"a@b"}`:                                                                      "lacks client_email",
		`{"type":"service_account","client_email":"a@b","token_uri":"https://x","private_key":"secret-text"}`:                  "",
		`{"type":"external_account","credential_source":{"executable":{"command":"secret-text"}}}`:                             "external_account",
		`{"type":"service_account","client_email":"a@b","token_uri":"https://x","private_key":"secret-text","unknown":"fine"}`: "",
	} {
		_, err := sheets.ParseCredentials(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), "secret-text") {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	for text, want := range map[string]string{"https://docs.google.com/spreadsheets/d/1AbC_d-9/edit?usp=sharing#gid=0": "1AbC_d-9", "1AbC_d-9": "1AbC_d-9", "": "", "my sheet": ""} {
		if id, err := sheets.ParseSpreadsheet(text); id != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", text, id, err)
		}
	}
}
