package screen_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write what is seen as what is wanted")

// golden compares what is seen with testdata/<name>.golden.
func golden(t *testing.T, name string, seen []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, seen, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")) // of a checkout on Windows
	if !bytes.Equal(seen, want) {
		t.Errorf("%s is not as %s has it (go test -update accepts it). Seen:\n%s", name, file, seen)
	}
}
