package screen_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"fanmill/internal/screen"
	"fanmill/pipeline/dead"
)

// A body is shown as text where it is one, unpacked, and in bytes where it is none. Nothing of it reaches the terminal
// raw.
func TestBeginning(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body, encoding, want string
		more                 bool
	}{
		{`{"a":"é"}`, "", `{"a":"é"}`, false},
		{packed.String(), "gzip", `{"a":1}`, false},
		{"no gzip", "gzip", "no gzip", false},
		{"a\x1b[31m\r\n\tb", "", "a [31m\n b", false},
		{strings.Repeat("x", 3000), "", strings.Repeat("x", 2048), true},
		{"x" + strings.Repeat("é", 2000), "", "x" + strings.Repeat("é", 1023), true},
		{"", "", "", false},
	} {
		if got, more := screen.Beginning(strings.NewReader(c.body), c.encoding); got != c.want || more != c.more {
			t.Errorf("%.20q is shown as %.40q, %v", c.body, got, more)
		}
	}
	if got, more := screen.Beginning(strings.NewReader("\xff\xfe\x00"), ""); !strings.HasPrefix(got, "00000000  ff fe 00") || more {
		t.Errorf("%q", got)
	}
}

func TestLettersView(t *testing.T) {
	l := dead.Standing{Letter: dead.Letter{Key: "abcdefghijklmnopqrst", Job: "gst", Destination: "erp", Connection: "conn_3", Rows: 5000, Length: 2048, Error: "422: no\x1b such", Time: at}, State: dead.Refused}
	out := text(t, screen.LettersView{Letters: []dead.Standing{l}}, screen.Page{Width: 120})
	for _, want := range []string{"abcdefghijkl ", "conn_3", "5,000", "2.0 KB", "refused", `422: no\x1b such`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if out := text(t, screen.LettersView{Job: "gst"}, screen.Page{Width: 120}); !strings.Contains(out, "no dead requests of job gst") {
		t.Errorf("%s", out)
	}
}
