package screen

import (
	"strings"
	"testing"
	"time"
)

// The line of a bar says how far it is, of which file, and fits the terminal.
func TestBarText(t *testing.T) {
	b := &Bar{total: 200, paint: &painter{look: look{plain: true}}}
	b.Add(50)
	b.At(2, 3, "D/GST.csv")
	if got, want := b.text(100, 10*time.Second), "#####---------------  25 %  10s  about 30s left  2/3  GST.csv"; got != want {
		t.Errorf("it is %q, not %q", got, want)
	}
	b.Add(1000)
	if got := b.text(100, 10*time.Second); !strings.HasPrefix(got, strings.Repeat("#", 20)+" 100 %") || strings.Contains(got, "left") {
		t.Errorf("beyond its end it is %q", got)
	}
	if got := b.text(12, time.Second); width(got) > 12 {
		t.Errorf("in 12 cells it is %q", got)
	}
	if got := (&Bar{paint: &painter{}}).text(80, 0); !strings.Contains(got, "0 %") {
		t.Errorf("of nothing it is %q", got)
	}
}
