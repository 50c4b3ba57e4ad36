package nats_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"fanmill/nats"
)

// smallDisk makes disks of 64 MB that really become full; nil where nothing may be mounted.
func smallDisk(t *testing.T) func(*testing.T) (string, func(string) (int64, bool), func(*nats.Conn), func(*nats.Conn)) {
	try := t.TempDir()
	if unix.Mount("none", try, "tmpfs", 0, "size=1m") != nil {
		return nil
	}
	_ = unix.Unmount(try, unix.MNT_DETACH)
	return func(t *testing.T) (string, func(string) (int64, bool), func(*nats.Conn), func(*nats.Conn)) {
		dir, err := os.MkdirTemp("", "disk")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=64m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		filler := filepath.Join(dir, "filler")
		fill := func(*nats.Conn) {
			f, err := os.Create(filler)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			_ = f.Close()
		}
		return filepath.Join(dir, "data"), nil, fill, func(*nats.Conn) {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}
	}
}
