//go:build unix

package outfile_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fanmill/pipeline/outfile"
)

// What can never be replaced is refused by what it is; what can is not, and nothing is changed by looking.
func TestRefusal(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, make := range map[string]func(string) error{
		"file":   func(p string) error { return os.WriteFile(p, nil, 0o400) },
		"folder": func(p string) error { return os.Mkdir(p, 0o777) },
		"pipe":   func(p string) error { return unix.Mkfifo(p, 0o600) },
		"link":   func(p string) error { return os.Symlink("pipe", p) },
		"loop":   func(p string) error { return os.Symlink("loop", p) },
		"good":   func(p string) error { return os.Symlink("file", p) },
		"away":   func(p string) error { return os.Symlink("nowhere", p) },
	} {
		if err := make(at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		at("file"): "", at("good"): "", at("new"): "", at("away"): "", at("new/deep/er"): "",
		at("folder"): "is a folder", at("pipe"): "is a named pipe", at("link"): "is a named pipe", at("loop"): "lead to each other",
		at("file/x.csv"): "file is a file, so there can be no folder", at("file/x/y.csv"): "file is a file, so there can be no folder",
		os.DevNull:                          "is a device",
		at(strings.Repeat("x", 231)):        "",
		at(strings.Repeat("é", 116)):        "has 232 bytes",
		at(strings.Repeat("x", 300)):        "no name of this length",
		at("a/" + strings.Repeat("x", 240)): "has 240 bytes",
	} {
		err := outfile.Refusal(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v, want %q", path, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 {
		t.Errorf("there are %d entries, 7 were made: %v", len(entries), err)
	}
}

// nobody is a user that has nothing here.
const nobody = 65534

// In a folder with the sticky bit only the owner of a file, or of the folder, can replace it.
func TestRefusalOfAnothersFile(t *testing.T) {
	if path := os.Getenv("FANMILL_TEST_REFUSAL"); path != "" {
		fmt.Println("refusal:", outfile.Refusal(path))
		return
	}
	if os.Geteuid() != 0 {
		return // who is not root can make no file of somebody else
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "sales.csv")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self := filepath.Join(dir, "test")
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		self, text = os.Args[0], nil
	} else if err := os.WriteFile(self, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode       os.FileMode
		folder     int // its owner
		file       int
		wantNobody bool // whether nobody is refused
	}{
		{0o777 | os.ModeSticky, 0, 0, true}, {0o777 | os.ModeSticky, 0, nobody, false}, {0o777 | os.ModeSticky, nobody, 0, false}, {0o777, 0, 0, false},
	} {
		for name, uid := range map[string]int{dir: c.folder, path: c.file} {
			if err := os.Chown(name, uid, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run", "^TestRefusalOfAnothersFile$")
		cmd.Env = append(os.Environ(), "FANMILL_TEST_REFUSAL="+path)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := strings.Contains(string(out), "another user's file (uid 0) in a folder with the sticky bit"); got != c.wantNobody {
			t.Errorf("%+v: %s", c, out)
		}
		if err := outfile.Refusal(path); err != nil {
			t.Errorf("root is refused: %v", err)
		}
	}
}
