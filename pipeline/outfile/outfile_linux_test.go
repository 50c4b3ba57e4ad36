package outfile

import (
	"os"
	"path/filepath"
	"testing"
)

// Where something is mounted is known without trying to replace it.
func TestMounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sales.csv")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if mounted(path) || mounted(filepath.Dir(path)) || mounted("/nowhere") || !mounted("/proc") {
		t.Errorf("a file %t, a folder %t, nothing %t, /proc %t", mounted(path), mounted(filepath.Dir(path)), mounted("/nowhere"), mounted("/proc"))
	}
}
