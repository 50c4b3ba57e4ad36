package pipeline_test

import (
	"slices"
	"strings"
	"testing"

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

// The union has every column once, in the order of first appearance, as wide as the widest, and says how each connection differs.
func TestUnion(t *testing.T) {
	u := pipeline.Union([]pipeline.Described{
		{Connection: "a", Columns: columns("id:int amount:decimal(14,2) x:text")},
		{Connection: "b", Columns: columns("amount:text id:int")},
		{Connection: "c", Columns: columns("id:int amount:decimal(14,2) x:text note:text x:int")},
	})
	if got, want := spelled(u), "id:int amount:text x:text note:text x:int"; got != want {
		t.Errorf("union is %q, want %q", got, want)
	}
	for id, want := range map[string]string{
		"a": "lacks note, x; amount is decimal(14,2), not text",
		"b": "lacks x, note, x",
		"c": "amount is decimal(14,2), not text",
	} {
		if u.Drift[id] != want {
			t.Errorf("%s: %q, want %q", id, u.Drift[id], want)
		}
	}
}

// What most connections have is common; of as many, what comes first in the job.
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
		{"x x", "x X", []int{0, 1}},
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

func TestCommon(t *testing.T) {
	odd, even := columns("id:int"), columns("no:int")
	c := pipeline.Common([]pipeline.Described{{"a", odd}, {"b", even}, {"c", even}})
	if spelled(c) != "no:int" || c.Drift["a"] != "lacks no; has also id" || len(c.Drift) != 1 {
		t.Errorf("common is %q, drift %v", spelled(c), c.Drift)
	}
	if c := pipeline.Common([]pipeline.Described{{"a", odd}, {"b", even}}); spelled(c) != "id:int" {
		t.Errorf("of as many, %q is common", spelled(c))
	}
}

func TestWidest(t *testing.T) {
	for _, c := range [][3]string{
		{"int", "int", "int"}, {"int", "uint", "decimal(20,0)"}, {"int", "decimal(14,2)", "decimal(21,2)"},
		{"decimal(14,2)", "decimal(10,4)", "decimal(16,4)"}, {"decimal(38,0)", "decimal(38,10)", "numeric"}, {"float", "int", "numeric"},
		{"float32", "float", "float"}, {"date", "timestamp", "timestamp"}, {"date", "int", "text"}, {"numeric", "int", "numeric"},
		{"text", "int", "text"}, {"binary", "text", "text"}, {"timestamp", "timestamptz", "text"}, {"strange", "int", "text"},
	} {
		if got := pipeline.Widest(c[0], c[1]); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
		if got := pipeline.Widest(c[1], c[0]); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
}

// oneSchema is a destination that has room for one set of columns.
type oneSchema struct{ *disk }

func (oneSchema) OneSchema(*pipeline.ManifestDestination) bool { return true }

func driftWorld(t *testing.T, onDrift string) *world {
	w := newWorld(t, 8*mb)
	w.node.Sinks["flat"] = oneSchema{w.disk}
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
	m, err := pipeline.LoadManifest(t.Context(), w.node.Stores.Runs, out.Run)
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

// Who could not be compared has its columns looked at when it is asked: it is left out, as the others have been written.
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
