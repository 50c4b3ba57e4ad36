//go:build unix

package artifact

import "syscall"

const errHeldOpen = syscall.EBUSY
