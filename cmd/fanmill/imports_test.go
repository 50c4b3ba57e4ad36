package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Imports run one way: pipeline <- {stages, sinks, checkpoint, nats, internal/*} <- cmd. A package may use its own subpackages; tests
// may use what they like.
func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "fanmill/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 10 {
		t.Fatalf("go list names only %d packages", len(lines))
	}
	for _, line := range lines {
		names := strings.Fields(line)
		from := area(names[0])
		for _, name := range names[1:] {
			to, ours := area(name), strings.HasPrefix(name, "fanmill/")
			switch {
			case from != "nats" && strings.HasPrefix(name, "github.com/nats-io/nats.go") && from != "internal":
				t.Errorf("%s imports %s: only package nats knows NATS", names[0], name)
			case !ours, from == "cmd", to == from:
			case to == "pipeline":
			case from == "internal" && slices.Contains(harness, names[0]):
			default:
				t.Errorf("%s imports %s", names[0], name)
			}
		}
	}
}

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

// harness are programs that measure the product from outside, as cmd uses it.
var harness = []string{"fanmill/internal/bench"}

// area is the part of the module that a package belongs to.
func area(name string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "fanmill/"), "/")
	return first
}
