package process_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
)

func columns(spec string) (out []pipeline.OpeningColumn) {
	for _, c := range strings.Fields(spec) {
		name, typ, _ := strings.Cut(c, ":")
		out = append(out, pipeline.OpeningColumn{Name: name, Type: typ})
	}
	return out
}

func spelled(s pipeline.Schema) string {
	var b strings.Builder
	for _, c := range s.Columns {
		b.WriteString(c.Name + ":" + c.Type + " ")
	}
	return strings.TrimSpace(b.String())
}

// The union has every column once, and one that stands twice in some connections apart from that of those where it
// stands once, in the order of first appearance, as wide as the widest, and says how each connection differs.
func TestUnion(t *testing.T) {
	u := pipeline.Union([]pipeline.Described{
		{Connection: "a", Columns: columns("id:int amount:decimal(14,2) x:text")},
		{Connection: "b", Columns: columns("amount:text id:int")},
		{Connection: "c", Columns: columns("id:int amount:decimal(14,2) x:text note:text x:int")},
	})
	if got, want := spelled(u), "id:int amount:text x:text x:text note:text x:int"; got != want {
		t.Errorf("union is %q, want %q", got, want)
	}
	for id, want := range map[string]string{
		"a": "lacks x, note, x; amount is decimal(14,2), not text; x stands once here, and not as often elsewhere: which is which cannot be told",
		"b": "lacks x, x, note, x",
		"c": "lacks x; amount is decimal(14,2), not text; x stands 2 times here, and not as often elsewhere: which is which cannot be told",
	} {
		if u.Drift[id] != want {
			t.Errorf("%s: %q, want %q", id, u.Drift[id], want)
		}
	}
}

// Databases spell names in different cases. Where it is clear which one is meant they are the same.
func TestMatchNames(t *testing.T) {
	for _, c := range []struct {
		names, others string
		want          []int
	}{
		{"id amount", "ID Amount", []int{0, 1}},
		{"Amount ID", "id amount", []int{1, 0}},
		{"a A", "A a", []int{1, 0}}, // exactly, first
		{"a A", "a", []int{0, -1}},
		{"a", "A", []int{0}},
		{"a", "A A", []int{-1}}, // which one?
		{"a A", "aa AA b", []int{-1, -1}},
		{"b B", "c Bb", []int{-1, -1}},
		{"x x", "x X", []int{-1, -1}}, // which of them is X?
		{"x X", "x x", []int{-1, -1}},
		{"x", "x x", []int{-1}},
		{"x x", "x", []int{-1, -1}},
		{"x y x", "x x y", []int{0, 2, 1}},
		{"x x x", "x x", []int{-1, -1, -1}},
		{"Id id", "id ID", []int{-1, 0}}, // Id may be another than ID
		{"a a", "a a", []int{0, 1}},
		{"Straße", "STRASSE", []int{-1}}, // letters are counted as they are
		{"ÄMNE", "ämne", []int{0}},
		{"a", "", []int{-1}},
	} {
		if got := pipeline.MatchNames(strings.Fields(c.names), strings.Fields(c.others)); !slices.Equal(got, c.want) {
			t.Errorf("%s among %s: %v, want %v", c.names, c.others, got, c.want)
		}
	}
}

// What most connections have is common; of as many, what comes first in the job.
func TestCommon(t *testing.T) {
	odd, even := columns("id:int"), columns("no:int")
	c := pipeline.Common([]pipeline.Described{{Connection: "a", Columns: odd}, {Connection: "b", Columns: even}, {Connection: "c", Columns: even}})
	if spelled(c) != "no:int" || c.Drift["a"] != "lacks no; has also id" || len(c.Drift) != 1 {
		t.Errorf("common is %q, drift %v", spelled(c), c.Drift)
	}
	if c := pipeline.Common([]pipeline.Described{{Connection: "a", Columns: odd}, {Connection: "b", Columns: even}}); spelled(c) != "id:int" {
		t.Errorf("of as many, %q is common", spelled(c))
	}
}

// Whatever connections have, in whatever order they stand: each of their columns has a place of its own in the union,
// of its own name, and none is paired with one of a connection that has the name another number of times.
func TestUnionPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []pipeline.Described
		for c := range rapid.IntRange(1, 5).Draw(t, "connections") {
			names := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "X", "y", "x ", "é", "e\u0301"}), 0, 5).Draw(t, "names")
			d := pipeline.Described{Connection: string(rune('a' + c))}
			for _, name := range names {
				d.Columns = append(d.Columns, pipeline.OpeningColumn{Name: name, Type: "int"})
			}
			all = append(all, d)
		}
		u := pipeline.Union(all)
		users := make([]map[int]bool, len(u.Columns)) // how often the name stands where the column is used
		for _, d := range all {
			seen := map[int]bool{}
			for i, k := range u.Place(d.Columns) {
				if k < 0 || seen[k] || !strings.EqualFold(u.Columns[k].Name, d.Columns[i].Name) {
					t.Fatalf("%q of %v is at %d of %v", d.Columns[i].Name, d.Columns, k, u.Columns)
				}
				seen[k] = true
				if users[k] == nil {
					users[k] = map[int]bool{}
				}
				n := 0
				for _, c := range d.Columns {
					if c.Name == d.Columns[i].Name {
						n++
					}
				}
				users[k][n] = true
			}
		}
		for k, n := range users {
			if len(n) != 1 {
				t.Fatalf("column %d of %v is used by connections that have it %v times", k, u.Columns, n)
			}
		}
	})
}

// What looks alike and is not the same is shown between quotes, with what cannot be seen spelled out, and said to be
// so.
func TestDriftOfLookalikes(t *testing.T) {
	of := func(names ...string) (out []pipeline.OpeningColumn) {
		for _, name := range names {
			out = append(out, pipeline.OpeningColumn{Name: name, Type: "int"})
		}
		return out
	}
	usual := pipeline.Schema{Columns: of("amount", "net total", "caf\u00e9", "शाखा", "id")}
	for _, c := range []struct {
		columns []pipeline.OpeningColumn
		want    string
	}{
		{of("amount ", "net total", "caf\u00e9", "शाखा", "id"), `lacks "amount"; has also "amount "; "amount " and "amount" look alike and are not the same`},
		{of("amount", "net\u00a0total", "caf\u00e9", "शाखा", "id"), `lacks "net total"; has also "net\u00a0total"; "net\u00a0total" and "net total" look alike and are not the same`},
		{of("amount", "nettotal", "caf\u00e9", "शाखा", "id"), `lacks "net total"; has also "nettotal"; "nettotal" and "net total" look alike and are not the same`},
		{of("amount", "net total", "cafe\u0301", "शाखा", "id"), `lacks "caf\u00e9"; has also "cafe\u0301"; "cafe\u0301" and "caf\u00e9" look alike and are not the same`},
		{of("amount", "net total", "caf\u00e9", "शा\u200bखा", "id"), `lacks "शाखा"; has also "शा\u200bखा"; "शा\u200bखा" and "शाखा" look alike and are not the same`},
		{of("\ufeffamount", "net total", "caf\u00e9", "शाखा", "id"), `lacks "amount"; has also "\ufeffamount"; "\ufeffamount" and "amount" look alike and are not the same`},
		{of("amount", "net total", "caf\u00e9", "शाखा", "no\t"), `lacks id; has also "no\t"`},
		{of("Amount", "NET total", "caf\u00c9", "शाखा", "ID"), ""},
		{of("amount", "amount", "net total", "caf\u00e9", "शाखा", "id"), "lacks amount; has also amount, amount; amount stands 2 times here, and not as often elsewhere: which is which cannot be told"},
	} {
		if got := usual.Differs(c.columns); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.columns, got, c.want)
		}
	}
}

// Names of one list that can be taken for one are named.
func TestTwins(t *testing.T) {
	for names, want := range map[string]string{
		"id|amount|note":     "",
		"id|id|x|id":         "id stands 3 times",
		"Id|id|ID":           "Id, id and ID differ by case alone",
		"id|id|ID":           "id stands 2 times; id and ID differ by case alone",
		"a b|ab|a\u00a0b":    `"a b", "ab" and "a\u00a0b" look alike and are not the same`,
		"\u00e9|e\u0301":     `"\u00e9" and "e\u0301" look alike and are not the same`,
		" | ":                `" " stands 2 times`,
		"शाखा|क्\u200dष|क्ष": `"क्\u200dष" and "क्ष" look alike and are not the same`,
		"x|x|y|y":            "x stands 2 times; y stands 2 times",
	} {
		if got := strings.Join(pipeline.Twins(strings.Split(names, "|")), "; "); got != want {
			t.Errorf("%q: %s, want %s", names, got, want)
		}
	}
}

// A type that a database does not say is at odds with none, and never the one that others are compared with.
func TestUnknownType(t *testing.T) {
	unknown, text, whole := columns("x:unknown id:int"), columns("id:int X:text"), columns("x:int id:int")
	for _, c := range []struct {
		all           []pipeline.Described
		common, union string
		drift         map[string]string
	}{
		{[]pipeline.Described{{Connection: "a", Columns: unknown}, {Connection: "b", Columns: text}}, "x:text id:int", "x:text id:int", nil},
		{[]pipeline.Described{{Connection: "a", Columns: text}, {Connection: "b", Columns: unknown}, {Connection: "c", Columns: unknown}}, "id:int x:text", "id:int x:text", nil},
		{[]pipeline.Described{{Connection: "a", Columns: unknown}, {Connection: "b", Columns: unknown}}, "x:unknown id:int", "x:unknown id:int", nil},
		{[]pipeline.Described{{Connection: "a", Columns: unknown}, {Connection: "b", Columns: whole}, {Connection: "c", Columns: text}, {Connection: "d", Columns: text}}, "x:text id:int", "x:text id:int", map[string]string{"b": "x is int, not text"}},
		{[]pipeline.Described{{Connection: "a", Columns: whole}, {Connection: "b", Columns: unknown}, {Connection: "c", Columns: text}}, "x:int id:int", "x:text id:int", map[string]string{"c": "x is text, not int"}},
		{[]pipeline.Described{{Connection: "a", Columns: columns("x:unknown y:int")}, {Connection: "b", Columns: columns("x:text y:unknown")}}, "x:text y:int", "x:text y:int", nil},
		{[]pipeline.Described{{Connection: "a", Columns: columns("x:unknown")}, {Connection: "b", Columns: text}, {Connection: "c", Columns: text}}, "id:int x:text", "x:text id:int", map[string]string{"a": "lacks id"}},
	} {
		common, union := pipeline.Common(c.all), pipeline.Union(c.all)
		if got := strings.ToLower(spelled(common)); got != c.common || !maps.Equal(common.Drift, c.drift) {
			t.Errorf("%v: common is %q, drift %v", c.all, got, common.Drift)
		}
		if got := strings.ToLower(spelled(union)); got != c.union {
			t.Errorf("%v: union is %q", c.all, got)
		}
	}
}

func TestWidest(t *testing.T) {
	for _, c := range [][3]string{
		{"int", "int", "int"}, {"int", "uint", "decimal(20,0)"}, {"int", "decimal(14,2)", "decimal(21,2)"},
		{"decimal(14,2)", "decimal(10,4)", "decimal(16,4)"}, {"decimal(38,0)", "decimal(38,10)", "numeric"}, {"float", "int", "numeric"},
		{"float32", "float", "float"}, {"date", "timestamp", "timestamp"}, {"date", "int", "text"}, {"numeric", "int", "numeric"},
		{"text", "int", "text"}, {"binary", "text", "text"}, {"timestamp", "timestamptz", "text"}, {"strange", "int", "text"},
		{"unknown", "text", "text"}, {"unknown", "decimal(14,2)", "decimal(14,2)"}, {"unknown", "unknown", "unknown"},
	} {
		if got := pipeline.Widest(c[0], c[1]); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
		if got := pipeline.Widest(c[1], c[0]); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
}

func driftWorld(t *testing.T, onDrift string) *world {
	w := newWorld(t, 8*mb)
	w.node.Sinks["flat"] = w.disk.kind(pipeline.Traits{OneSchema: true})
	w.job.OnDrift = onDrift
	usual, odd := of(10, 10), of(10, 10)
	usual.columns, odd.columns = []string{"id", "body"}, []string{"id", "corps"}
	w.connect("a", usual)
	w.connect("odd", odd)
	w.connect("c", usual)
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "flat", Type: "flat", FilePath: "flat"})
	return w
}

// The columns of all connections are known before anything is written, and the manifest has them.
func TestDriftUnion(t *testing.T) {
	w := driftWorld(t, "")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, out.Run)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Schemas) != 1 || spelled(m.Schemas[0]) != "id:int body:binary corps:binary" {
		t.Errorf("schemas are %+v", m.Schemas)
	}
}

// Of several queries it is said which one differs.
func TestDriftOfOneQuery(t *testing.T) {
	w := driftWorld(t, pipeline.DriftFail)
	for i := range w.job.Connections {
		w.job.Connections[i].Queries = []pipeline.Query{{Name: "sales", SQL: "1"}, {Name: "returns", SQL: "2"}}
	}
	_, err := w.run(t.Context(), pipeline.Trigger{})
	if err == nil || !strings.Contains(err.Error(), "ODD, query returns: lacks body; has also corps") {
		t.Errorf("the run ends with %v", err)
	}
}

func TestDriftFail(t *testing.T) {
	w := driftWorld(t, pipeline.DriftFail)
	_, err := w.run(t.Context(), pipeline.Trigger{})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "ODD lacks body; has also corps") {
		t.Errorf("the run ends with %v", err)
	}
	w.exact("flat")
}

// Who could not be compared has its columns looked at when it is asked: it is left out, as the others have been
// written.
func TestDriftFailOfALateOne(t *testing.T) {
	w := driftWorld(t, pipeline.DriftFail)
	odd := of(10, 10)
	odd.columns = []string{"id", "corps"}
	odd.open = func(attempt int) error {
		if attempt == 1 {
			return pipeline.Transient(errBroken)
		}
		return nil
	}
	w.rescript("odd", odd)
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("flat", "a", "c")
	if c := out.Reports[0].Connections[1]; c.State != pipeline.ReportRejected || !strings.Contains(c.Error, "onDrift says fail: lacks body") {
		t.Errorf("the odd one is reported as %+v", c)
	}
}

func TestDriftSkip(t *testing.T) {
	w := driftWorld(t, pipeline.DriftSkip)
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("flat", "a", "c")
	if c := out.Reports[0].Connections[1]; c.State != pipeline.ReportRejected || !strings.Contains(c.Error, "lacks body; has also corps") {
		t.Errorf("the odd one is reported as %+v", c)
	}
}

// Sequence 20: where differences are to count, a run of several connections does not begin when none of them can be
// described. Else the columns of whichever is first would be everybody's, and the job's word would be off, in silence.
func TestDriftThatNobodyKnows(t *testing.T) {
	for _, onDrift := range []string{pipeline.DriftFail, pipeline.DriftSkip, pipeline.DriftUnion} {
		t.Run(onDrift, func(t *testing.T) {
			w := driftWorld(t, onDrift)
			for _, id := range []string{"a", "odd", "c"} {
				away := of(10, 10)
				away.open = func(int) error { return pipeline.Transient(errBroken) }
				w.rescript(id, away)
			}
			w.job.Retry.Attempts = 1
			out, err := w.run(t.Context(), pipeline.Trigger{})
			if onDrift == pipeline.DriftUnion {
				if err != nil || out.State != pipeline.RunFailed {
					t.Errorf("it ends with %+v, %v", out, err)
				}
				return
			}
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "none of the 3 connections could be described") || !strings.Contains(err.Error(), "onDrift: "+onDrift) {
				t.Errorf("it ends with %v", err)
			}
			if keys, err := w.node.Stores.Runs.Keys(t.Context(), "*.manifest"); err != nil || len(keys) > 0 {
				t.Errorf("there is a run: %v, %v", keys, err)
			}
			w.exact("flat")
		})
	}
}
