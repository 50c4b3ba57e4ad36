package textdiff

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestUnified(t *testing.T) {
	a := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n"
	b := "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15"
	want := "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -12,4 +12,4 @@\n 12\n 13\n 14\n-15\n+15\n\\ No newline at end of file\n"
	if got := Unified("a", a, "b", b); got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
	if got := Unified("a", "", "b", "x\n"); got != "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n" {
		t.Errorf("from nothing it is\n%s", got)
	}
	if got := Unified("a", a, "b", a); got != "" {
		t.Errorf("of one text it is\n%s", got)
	}
}

// A diff has all lines of both texts, in their order; texts that differ in too many lines, too.
func TestBothTextsAreInIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 500 {
		size, letters := 30, 4
		if n == 0 {
			size, letters = 3*maxEdits, 1<<30
		}
		var texts [2][]string
		for i := range texts {
			for range r.IntN(size) {
				texts[i] = append(texts[i], fmt.Sprintln(r.IntN(letters)))
			}
		}
		var a, b []string
		for _, o := range compare(texts[0], texts[1]) {
			if o.sign != '+' {
				a = append(a, o.line)
			}
			if o.sign != '-' {
				b = append(b, o.line)
			}
		}
		if strings.Join(a, "") != strings.Join(texts[0], "") || strings.Join(b, "") != strings.Join(texts[1], "") {
			t.Fatalf("%q to %q: lines are lost", texts[0], texts[1])
		}
	}
}
