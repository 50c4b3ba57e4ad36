package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"fanmill/internal/gst"
	"fanmill/internal/verify"
)

// The demo's workbook has a sheet for each of its 56 branches, and every sheet, as every branch in the CSV, has the rows, the sum of
// every money column and the values of its database. A second run of its job file ends the same.
func TestDemo(t *testing.T) {
	w := &world{t: t, dir: t.TempDir()}
	out := filepath.Join(w.dir, "demo")
	cmd, said := w.command(nil)
	cmd.Args = []string{cmd.Path, "demo", "--out", out}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v; it said:\n%s", err, said)
	}
	checkDemo(t, out)
	cmd, said = w.command(nil)
	cmd.Args = []string{cmd.Path, "run", filepath.Join(out, "gst.json"), "--data", filepath.Join(out, "data")}
	if err := cmd.Run(); err != nil {
		t.Fatalf("again: %v; it said:\n%s", err, said)
	}
	checkDemo(t, out)
}

func checkDemo(t *testing.T, dir string) {
	t.Helper()
	const branches = 56
	var sources []verify.Source
	for i := range branches {
		name := fmt.Sprintf("Branch_%03d", i+1)
		sources = append(sources, verify.Source{Name: name, Path: filepath.Join(dir, "branches", fmt.Sprintf("branch_%03d.db", i+1))})
	}
	truth, columns, err := verify.SQLite(t.Context(), sources, gst.Query)
	if err != nil {
		t.Fatal(err)
	}
	book, err := verify.Workbook(filepath.Join(dir, "GST Sale Data - All Branches.xlsx"), columns, "Summary")
	if err != nil {
		t.Fatal(err)
	}
	file, err := verify.CSV(filepath.Join(dir, "GST Sale Data - All Branches.csv"), verify.CSVOptions{Columns: columns, Key: "branch"})
	if err != nil {
		t.Fatal(err)
	}
	if len(book) != branches || len(file) != branches {
		t.Fatalf("%d sheets and %d branches in the CSV, want %d", len(book), len(file), branches)
	}
	for name, want := range truth {
		for what, got := range map[string]verify.Table{"sheet": book[name], "CSV": file[name]} {
			if got.Count != want.Count || got.Hash != want.Hash {
				t.Errorf("%s %s: %d rows with hash %x, the database has %d with %x", what, name, got.Count, got.Hash, want.Count, want.Hash)
			}
			for _, column := range gst.MoneyColumns() {
				if want.Sums[column] == "" || got.Sums[column] != want.Sums[column] {
					t.Errorf("%s %s: %s adds up to %q, in the database to %q", what, name, column, got.Sums[column], want.Sums[column])
				}
			}
		}
	}
}
