package sinks_test

import (
	"testing"

	"fanmill/sinks"
)

// A text in a job file's "type" names one kind.
func TestNamesOfKindsAreUnique(t *testing.T) {
	owner := map[string]string{}
	for name, kind := range sinks.Kinds() {
		for _, spelling := range append([]string{name}, kind.Aliases...) {
			if other, taken := owner[spelling]; taken {
				t.Errorf("%s names both %s and %s", spelling, other, name)
			}
			owner[spelling] = name
		}
	}
	if len(owner) == 0 {
		t.Error("there are no kinds")
	}
}
