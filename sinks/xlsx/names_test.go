package xlsx_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/sinks/xlsx"
)

// TestSheetNames shows what becomes of names.
func TestSheetNames(t *testing.T) {
	long := strings.Repeat("Branch of the long name ", 3)
	got := xlsx.SheetNames([]string{"Summary"}, []string{"Branch_001", "branch_001", "a/b:c", "'quoted'", "", " ", "history", "summary", long, long, strings.Repeat("🧾", 20), "_x0041_", "tab\there"})
	want := []string{"Branch_001", "branch_001_2", "a_b_c", "quoted", "Sheet", "Sheet_2", "history_", "summary_2",
		"Branch of the long name Branch", "Branch of the long name Branc_2", strings.Repeat("🧾", 15), "-x0041_", "tab_here"}
	if !slices.Equal(got, want) {
		t.Errorf("names are\n%q, want\n%q", got, want)
	}
}

// TestNamesHold: whatever people call their branches, Excel accepts every name, no two are alike, those of earlier
// branches do not depend on later ones, and no sheet that a roll-over adds takes a name.
func TestNamesHold(t *testing.T) {
	part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"Name", "NAME", "Name (2)", "Name_2", "name (3)", "History", "'", "a long name that has to be cut somewhere", "a long name that has to be cut elsewhere", "a long name that has (2)", "K", "\u212a"}))
	rapid.Check(t, func(t *rapid.T) {
		bases := rapid.SliceOfN(part, 1, 12).Draw(t, "bases")
		names := xlsx.SheetNames(nil, bases)
		n := rapid.IntRange(0, len(bases)).Draw(t, "earlier")
		if !slices.Equal(xlsx.SheetNames(nil, bases[:n]), names[:n]) || !slices.Equal(xlsx.SheetNames(names[:n], bases[n:]), names[n:]) {
			t.Fatal("a name depends on later ones")
		}
		seen := map[string]bool{}
		for ordinal := range 12 {
			for i := range names {
				name := xlsx.RollOver(names, i, ordinal)
				if err := xlsx.CheckName(name); err != nil {
					t.Fatal(err)
				}
				if seen[xlsx.FoldName(name)] {
					t.Fatalf("%q twice, from %q", name, names)
				}
				seen[xlsx.FoldName(name)] = true
			}
		}
	})
}

// TestRollOverName shows the names of further sheets.
func TestRollOverName(t *testing.T) {
	names := []string{"Name", "name (2)", strings.Repeat("x", 31), strings.Repeat("x", 30) + "y"}
	for _, c := range []struct {
		i, ordinal int
		want       string
	}{{0, 0, "Name"}, {0, 1, "Name (2-2)"}, {0, 2, "Name (3)"}, {1, 1, "name (2) (2)"},
		{2, 1, strings.Repeat("x", 27) + " (2)"}, {3, 1, strings.Repeat("x", 25) + " (2-2)"}, {2, 99, strings.Repeat("x", 25) + " (100)"}} {
		if got := xlsx.RollOver(names, c.i, c.ordinal); got != c.want {
			t.Errorf("sheet %d of %q is %q, want %q", c.ordinal, names[c.i], got, c.want)
		}
	}
}
