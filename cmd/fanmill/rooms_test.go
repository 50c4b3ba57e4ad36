package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pipelineRooms are the packages below pipeline that carry runs out, each with those that it may import besides
// pipeline and its leaves. All other packages below pipeline are leaves: they know of no run.
var pipelineRooms = map[string][]string{
	"memory":     nil,
	"spec":       {"checkpoint"},
	"view":       {"checkpoint"},
	"query":      {"checkpoint", "spec", "memory", "view"},
	"deliver":    {"checkpoint", "spec", "memory", "view"},
	"coordinate": {"checkpoint", "spec", "memory", "view"},
	"trigger":    {"checkpoint", "spec", "memory", "view", "coordinate"},
	"notices":    {"checkpoint", "view"},
	"process":    {"checkpoint", "spec", "memory", "view", "query", "deliver", "coordinate", "trigger", "notices"},
}

// otherRooms are the parts of the module outside pipeline. A part may import its own packages.
var otherRooms = map[string][]string{
	"checkpoint": nil,
	"stages":     nil,
	"sinks":      nil,
	"nats":       nil,
	"internal":   {"checkpoint", "view", "memory"}, // what people see reads what there is
}

// roomOf is the room of a package, and whether what is outside a room may not know of it.
func roomOf(path string) string {
	path = strings.TrimPrefix(path, "fanmill/")
	first, rest, _ := strings.Cut(path, "/")
	if first != "pipeline" {
		return first
	}
	if _, ok := pipelineRooms[rest]; ok {
		return rest
	}
	if rest != "" {
		return "leaf"
	}
	return "pipeline"
}

// References run one way: pipeline <- checkpoint <- {spec, memory, view} <- {query, deliver, coordinate} <- trigger <-
// process <- cmd; stages, sinks and nats know pipeline only. Tests may use what they like.
func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "fanmill/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	seen := map[string]bool{}
	for _, line := range lines {
		names := strings.Fields(line)
		from := roomOf(names[0])
		seen[from] = true
		for _, name := range names[1:] {
			if from != "nats" && from != "internal" && strings.HasPrefix(name, "github.com/nats-io/nats.go") {
				t.Errorf("%s imports %s: only package nats knows NATS", names[0], name)
			}
			if from != "nats" && strings.HasPrefix(name, "github.com/ThreeDotsLabs/watermill") {
				t.Errorf("%s imports %s: only package nats knows Watermill", names[0], name)
			}
			if names[0] != "fanmill/internal/telemetry" && strings.HasPrefix(name, "go.opentelemetry.io/") {
				t.Errorf("%s imports %s: only package telemetry knows OpenTelemetry", names[0], name)
			}
			if strings.HasPrefix(name, "fanmill/") && !mayImport(names[0], from, roomOf(name)) {
				t.Errorf("%s imports %s", names[0], name)
			}
		}
	}
	for room := range pipelineRooms {
		if !seen[room] {
			t.Errorf("there is no package fanmill/pipeline/%s", room)
		}
	}
}

func mayImport(importer, from, to string) bool {
	switch {
	case from == to, from == "cmd", slices.Contains(harness, importer), to == "leaf":
		return true
	case from == "leaf":
		return false
	case to == "pipeline":
		return true
	}
	return slices.Contains(pipelineRooms[from], to) || slices.Contains(otherRooms[from], to)
}

// harness are what measures or tests the product, and uses it as cmd does.
var harness = []string{"fanmill/internal/bench", "fanmill/sinks/sinktest"}

// A method sees the fields of its struct, and of one that it embeds: not of what that embeds in turn.
func TestEmbeddingIsOneDeep(t *testing.T) {
	embeds := map[string][]string{} // by package and name
	collectEmbedded(t, filepath.Join("..", ".."), embeds)
	if len(embeds) < 5 {
		t.Fatalf("%d structs that embed others were found", len(embeds))
	}
	for outer, all := range embeds {
		for _, inner := range all {
			for _, innermost := range embeds[inner] {
				t.Errorf("%s embeds %s, which embeds %s", outer, inner, innermost)
			}
		}
	}
}

// collectEmbedded adds what the structs below a folder embed, by package and name.
func collectEmbedded(t *testing.T, root string, embeds map[string][]string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for name, fields := range embeddedIn(file) {
			for _, field := range fields {
				if !strings.Contains(field, ".") {
					field = file.Name.Name + "." + field
				}
				key := file.Name.Name + "." + name
				embeds[key] = append(embeds[key], field)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// embeddedIn are the structs of a file that embed others, with the names of these.
func embeddedIn(file *ast.File) map[string][]string {
	out := map[string][]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range gen.Specs {
			typ, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			st, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range st.Fields.List {
				if len(field.Names) > 0 {
					continue
				}
				x := field.Type
				if star, ok := x.(*ast.StarExpr); ok {
					x = star.X
				}
				if generic, ok := x.(*ast.IndexExpr); ok {
					x = generic.X
				}
				switch x := x.(type) {
				case *ast.Ident:
					out[typ.Name.Name] = append(out[typ.Name.Name], x.Name)
				case *ast.SelectorExpr:
					if pkg, ok := x.X.(*ast.Ident); ok {
						out[typ.Name.Name] = append(out[typ.Name.Name], pkg.Name+"."+x.Sel.Name)
					}
				}
			}
		}
	}
	return out
}
