package verify

import (
	"strings"
	"testing"
)

// A JSON Lines file is read strictly: what a lenient reader would pass over is an error that names the line.
func TestJSONLIsStrict(t *testing.T) {
	columns := []Column{{Name: "branch"}, {Name: "n", Kind: Integer}}
	good := `{"branch":"A","n":1}` + "\n" + `{"branch":"A","n":null}` + "\n" + `{"branch":"B","n":3}` + "\n"
	d, err := readJSONL(strings.NewReader(good), columns, "branch")
	if err != nil || d["A"].Count != 2 || d["B"].Count != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	for text, says := range map[string]string{
		`{"branch":"A","n":1}`:                     "line 1", // no line end
		good + `{"n":3,"branch":"B"}` + "\n":       "line 4", // another order
		good + `{"branch":"A","n":4}` + "\n":       "after those of another",
		good + `{"branch":"B","n":4}{}` + "\n":     "more follows",
		good + `{"branch":"B","n":[4]}` + "\n":     "none of a column",
		good + `[1]` + "\n":                        "no object",
		good + `{"branch":7,"n":4}` + "\n":         "line 4",
		good + `{"branch":"B","n":{"a":1}}` + "\n": "none of a column",
		good + `{"branch":"B","n":01}` + "\n":      "line 4",
		good + "{\"branch\":\"\xff\",\"n\":1}\n":   "not UTF-8",
		good + "{\"branch\":\"B\",\"n\":1,}\n":     "line 4",
		`{"branch":"A",` + "\n" + `"n":1}` + "\n":  "line 1",
	} {
		if _, err := readJSONL(strings.NewReader(text), columns, "branch"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", text, err, says)
		}
	}

	escaped, err := readJSONL(strings.NewReader(`{ "br\u0061nch" : "A\\\"" , "n":1 , "x":"a\\" }`+" \n"), columns, "branch")
	plain, perr := readJSONL(strings.NewReader(`{"branch":"A\\\u0022","n":1,"x":"a\u005c"}`+"\n"), columns, "branch")
	if err != nil || perr != nil || escaped[`A\"`].Count != 1 || escaped[`A\"`].Hash != plain[`A\"`].Hash {
		t.Errorf("%+v, %+v, %v, %v", escaped, plain, err, perr)
	}
}
