package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/stages"
)

// A database's name is known to its driver alone: no text of the rest of the program has one, but for the job that
// demo writes.
func TestOnlyStagesNameDatabases(t *testing.T) {
	var names []string
	for name, kind := range stages.Kinds() {
		names = append(names, strings.ToLower(name), strings.ToLower(kind.Label))
	}
	texts := 0
	for _, dir := range []string{"internal/config", "internal/screen", "pipeline", "checkpoint", "nats", "cmd"} {
		for _, file := range goFiles(t, filepath.Join("..", "..", filepath.FromSlash(dir))) {
			if filepath.Base(file) == "demo.go" {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				text, ok := n.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING {
					return true
				}
				texts++
				for _, name := range names {
					if strings.Contains(strings.ToLower(text.Value), name) {
						t.Errorf("%s has the text %s", file, text.Value)
					}
				}
				return true
			})
		}
	}
	if texts < 1000 {
		t.Errorf("only %d texts were looked at", texts)
	}
}

// goFiles are the files below a folder that are built, without tests.
func goFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == "testdata":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
