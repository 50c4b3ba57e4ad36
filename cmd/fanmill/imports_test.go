package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A property test whose values nobody chose fails in somebody else's change.
func TestPropertyTestsDrawTheSame(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}`, "fanmill/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := false
	for line := range strings.Lines(string(out)) {
		names := strings.Fields(line)
		if !slices.Contains(names, "pgregory.net/rapid") {
			continue
		}
		found = true
		if !slices.Contains(names, "fanmill/internal/sameseed") {
			t.Errorf("the tests of %s use rapid and do not import fanmill/internal/sameseed", names[0])
		}
	}
	if !found {
		t.Error("no package uses rapid")
	}
}
