package pipeline

import (
	"strings"
)

// MatchNames finds for each name its place among others; -1 if it has none. Names that are equal are matched, by their
// order where a name stands more than once: as often on both sides, or not at all, since nobody knows which one is
// missing. What is left is matched by names that differ in case alone, where each side has one: databases spell id, ID
// and Id.
func MatchNames(names, others []string) []int {
	return matchNames(names, counts(others), others)
}

// matchNames is MatchNames among others of which each is one of times that its name stands in its own list.
func matchNames(names []string, times []int, others []string) []int {
	type twin struct {
		name  string
		times int
	}
	free := make(map[twin][]int, len(others))
	for k, name := range others {
		t := twin{name, times[k]}
		free[t] = append(free[t], k)
	}
	at := make([]int, len(names))
	rest := 0
	mine := counts(names)
	for i, name := range names {
		t := twin{name, mine[i]}
		if places := free[t]; len(places) > 0 {
			at[i], free[t] = places[0], places[1:]
		} else {
			at[i] = -1
			rest++
		}
	}
	if rest == 0 {
		return at
	}
	alone := map[string]int{}
	for _, name := range names {
		alone[strings.ToLower(name)]++
	}
	folded := map[string][]int{}
	for k, name := range others {
		key := strings.ToLower(name)
		folded[key] = append(folded[key], k)
	}
	for i, name := range names {
		key := strings.ToLower(name)
		if at[i] < 0 && alone[key] == 1 && len(folded[key]) == 1 {
			at[i] = folded[key][0]
		}
	}
	return at
}

// counts are how often each name stands in the list.
func counts(names []string) []int {
	n := make(map[string]int, len(names))
	for _, name := range names {
		n[name]++
	}
	out := make([]int, len(names))
	for i, name := range names {
		out[i] = n[name]
	}
	return out
}
