package sinktest

import (
	"errors"
	"syscall"
)

const errLockViolation = syscall.Errno(33)

// isLocked reports whether a file cannot be read because another process, or this one, has locked it.
func isLocked(err error) bool { return errors.Is(err, errLockViolation) }

// canLimit says that the system can bound the size of files.
const canLimit = false

// limitFiles is never called: Windows has no bound on the size of one process's files.
func limitFiles(int64) (restore func() error, err error) { return nil, errors.ErrUnsupported }
