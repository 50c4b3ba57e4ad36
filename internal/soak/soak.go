// Package soak says how often tests repeat what they repeat: some rounds in `go test ./...`, which is to be done in
// minutes, and all of them where FANMILL_SOAK is 1: `task soak` and CI. What the short form leaves out are rounds,
// steps and seeds of a loop, never a kind of disturbance or a comparison.
package soak

import (
	"hash/fnv"
	"iter"
	"os"
)

// Full says whether all rounds run.
func Full() bool { return os.Getenv("FANMILL_SOAK") == "1" }

// Rounds is how many rounds a loop has.
func Rounds(short, full int) int {
	if Full() {
		return full
	}
	return short
}

// Steps are 1, 2, 3 and so on without an end: the steps of something that are disturbed one at a time. In the short
// form they are every n-th, from one that differs with the name: tests of a table try different ones, and always the
// same.
func Steps(name string, n int) iter.Seq[int] {
	first := 1
	if Full() {
		n = 1
	} else {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		first += int(h.Sum32() % uint32(n))
	}
	return func(yield func(int) bool) {
		for at := first; yield(at); at += n {
		}
	}
}

// Some are all elements, in their order. In the short form they are every n-th, and the first of each kind.
func Some[T any, K comparable](n int, all []T, kind func(T) K) (some []T) {
	if Full() {
		return all
	}
	seen := map[K]bool{}
	for i, one := range all {
		if k := kind(one); i%n == 0 || !seen[k] {
			seen[k] = true
			some = append(some, one)
		}
	}
	return some
}
