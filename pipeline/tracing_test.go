package pipeline_test

import (
	"strings"
	"testing"

	"fanmill/pipeline"
)

// Trace headers come from anybody. What [W3C Trace Context] 3.2 does not allow names no span.
func TestReadTraceContext(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct{ parent, state, want, wantState string }{
		{good, "", good, ""},
		{good, "a=1,b=2", good, "a=1,b=2"},
		{good, strings.Repeat("a", 513), good, ""},
		{good, "a=\n", good, ""},
		{"cc" + good[2:], "", good, ""},
		{"cc" + good[2:] + "-later", "", good, ""},
		{"cc" + good[2:] + "later", "", "", ""},
		{good + "-more", "", "", ""},
		{"ff" + good[2:], "a=1", "", ""},
		{strings.ToUpper(good), "", "", ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", "", "", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "", "", ""},
		{strings.Replace(good, "-", "_", 1), "", "", ""},
		{good[:54], "", "", ""},
		{"", "a=1", "", ""},
	} {
		if got := pipeline.ReadTraceContext(c.parent, c.state); got != (pipeline.TraceContext{Parent: c.want, State: c.wantState}) {
			t.Errorf("%q, %q: %+v", c.parent, c.state, got)
		}
	}
}
