package artifact_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"fanmill/pipeline"
)

// meanwhile is what a user does to the public file between a crash and the next claim.
var meanwhile = map[string]func(w *world) (users string){
	"nothing": func(*world) string { return "" },
	"deletes": func(w *world) string {
		_ = os.Remove(w.path)
		return ""
	},
	"renames another over it": func(w *world) string {
		w.put("the user's own file")
		return "the user's own file"
	},
	"saves into it":   func(w *world) string { return w.saveInto("", "a remark") },
	"saves all of it": func(w *world) string { return w.saveInto("a remark", "") },
}

// Invariants 2 and 3, for a death between any two operations on files: the public file is whole before anything runs
// again, the resumed run ends with the same bytes, an earlier file is kept until then, and nothing of a user's is lost.
func TestDeathAtEveryStep(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		for _, compact := range []bool{false, true} {
			for name, act := range meanwhile {
				t.Run(fmt.Sprintf("links=%t,compact=%t,user %s", !noLinks, compact, name), func(t *testing.T) {
					t.Parallel()
					lost := 0
					for n := 1; ; n++ {
						w := newWorld(t)
						w.noLinks, w.compact = noLinks, compact
						if !deathAt(w, n, act, name == "nothing", name == "saves all of it", &lost) {
							if n < 30 {
								t.Fatalf("only %d steps were reached", n)
							}
							break
						}
						_ = os.RemoveAll(w.dir)
					}
					// A change in place can only cost the committed bytes between their publication and the
					// completion of the second copy; where publication is a copy, never.
					if most := 4 * len(newWorld(t).commits); lost > most || noLinks && lost > 0 {
						t.Errorf("the committed bytes were lost at %d steps", lost)
					}
					t.Logf("lost at %d steps", lost)
				})
			}
		}
	}
}

func deathAt(w *world, n int, act func(*world) string, untouched, inPlace bool, lost *int) bool {
	const earlier = "last month's file"
	w.earlier(earlier)
	step, dead, err := w.dieAt(n)
	if err != nil {
		w.t.Fatalf("before step %d: %v", n, err)
	}
	if !dead {
		return false
	}
	w.t.Logf("died at step %d, %q", n, step)
	w.wantReadable(earlier)
	if w.record != nil && w.found() == "" {
		w.t.Fatalf("died at step %d, %q: neither nonce of the record is there", n, step)
	}
	before, _ := os.ReadFile(w.path)
	users := act(w)

	_, _, err = w.dieAt(0)
	if errors.Is(err, pipeline.ErrLost) && inPlace {
		*lost++
		w.record = nil
		_, _, err = w.dieAt(0)
	}
	if err != nil {
		w.t.Fatalf("resume after step %d (%s): %v", n, step, err)
	}
	w.wantFile(w.path, w.whole())
	if users != "" && !w.holds(users) {
		w.t.Fatalf("step %d (%s): the user's file is gone; there are %q", n, step, w.names())
	}
	if (untouched || string(before) != earlier) && !w.holds(earlier) {
		w.t.Fatalf("step %d (%s): the earlier file was not kept; there are %q", n, step, w.names())
	}
	clean := w.open()
	if _, err := clean.Clean(false); err != nil {
		w.t.Fatal(err)
	}
	if err := clean.Close(); err != nil {
		w.t.Fatal(err)
	}
	want := []string{"sales.csv", "sales.csv.manifest.json"}
	if users != "" && w.holds(users) {
		want = append(want, "sales (edited).csv")
	}
	w.wantNames(want...)
	return true
}
