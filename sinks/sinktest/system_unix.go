//go:build unix

package sinktest

import (
	"os/signal"
	"syscall"
)

// isLocked reports whether a file cannot be read because another process, or this one, has locked it.
func isLocked(error) bool { return false }

// canLimit says that the system can bound the size of files.
const canLimit = true

// limitFiles lets no file of this process grow past a size until restore is called: a write past it is cut short, and
// ends with an error, as on a full disk.
func limitFiles(bytes int64) (restore func() error, err error) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return nil, err
	}
	signal.Ignore(syscall.SIGXFSZ)
	now := was
	now.Cur = uint64(bytes)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
		return nil, err
	}
	return func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was) }, nil
}
