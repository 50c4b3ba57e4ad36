//go:build unix

package artifact

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncDir makes the names in a folder durable. Some network file systems cannot, and keep names in order anyway.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// inUse reports whether an operation was refused because a program holds the file open.
func inUse(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ETXTBSY) }

// countNames counts the hard links to a file.
func countNames(path string) (int, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return int(st.Nlink), err
}

// hide does nothing: the name's dot does.
func hide(string) {}
