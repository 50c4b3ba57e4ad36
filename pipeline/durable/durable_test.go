package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"fanmill/pipeline/durable"
)

// A file is replaced whole, and nothing else stays in its folder.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "place.json")
	for _, text := range []string{"first", "second"} {
		if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("the file has %q (%v), want %q", got, err, text)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %d entries (%v), want the file alone", len(left), err)
	}
}

// What cannot take the file's place leaves the old one, and no temporary file.
func TestWriteFileOverAFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "place.json")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %d entries (%v), want the one that was there", len(left), err)
	}
}
