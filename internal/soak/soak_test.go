package soak_test

import (
	"slices"
	"testing"

	"fanmill/internal/soak"
)

func steps(name string, n int) (got []int) {
	for at := range soak.Steps(name, n) {
		if at > 20 {
			break
		}
		got = append(got, at)
	}
	return got
}

// All of a loop runs where all was asked for.
func TestFull(t *testing.T) {
	t.Setenv("FANMILL_SOAK", "1")
	if !soak.Full() || soak.Rounds(2, 9) != 9 {
		t.Error("not all rounds run")
	}
	if got := steps("a", 7); len(got) != 20 || got[0] != 1 || got[19] != 20 {
		t.Errorf("the steps are %v", got)
	}
	if got := soak.Some(3, []int{1, 1, 1, 2, 2, 2}, func(i int) int { return i }); len(got) != 6 {
		t.Errorf("some are %v", got)
	}
}

// The short form tries the same steps each time, others for another name, and every kind.
func TestShort(t *testing.T) {
	t.Setenv("FANMILL_SOAK", "")
	if soak.Full() || soak.Rounds(2, 9) != 2 {
		t.Error("not the few rounds run")
	}
	tried := map[int]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		got := steps(name, 5)
		if len(got) != 4 || got[0] < 1 || got[0] > 5 || got[1] != got[0]+5 || !slices.Equal(got, steps(name, 5)) {
			t.Errorf("the steps of %s are %v", name, got)
		}
		for _, at := range got {
			tried[at%5] = true
		}
	}
	if len(tried) != 5 {
		t.Errorf("the names differ in %d beginnings of 5", len(tried))
	}
	if got := soak.Some(3, []string{"a", "a", "b", "a", "c", "c", "c"}, func(s string) string { return s }); !slices.Equal(got, []string{"a", "b", "a", "c", "c"}) {
		t.Errorf("some are %v", got)
	}
}
