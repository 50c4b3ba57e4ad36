//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

// SyncDir makes the entries of a folder durable: files that were made, renamed or removed in it.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) { // some network file systems cannot
		err = nil
	}
	return errors.Join(err, d.Close())
}
