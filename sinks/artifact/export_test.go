package artifact

import (
	"syscall"
	"time"
)

// NamesOf counts the names of a file.
var NamesOf = countNames

// OnStep calls f between every two operations on files.
func (a *Artifact) OnStep(f func(step string)) { a.hook = f }

// WithoutLinks makes hard links fail as they do on file systems that have none.
func (a *Artifact) WithoutLinks() {
	a.ops.link = func(string, string) error { return syscall.ENOTSUP }
}

// HoldOpen makes every rename onto path fail while held reports true, as it does on Windows while a program has it open.
func (a *Artifact) HoldOpen(path string, held func() bool) {
	rename := a.ops.rename
	a.ops.rename = func(from, to string) error {
		if to == path && held() {
			return errHeldOpen
		}
		return rename(from, to)
	}
}

// SetClock replaces the clock that spaces out reports and copies.
func (a *Artifact) SetClock(now func() time.Time) { a.clock = now }

// Die leaves the artifact as the end of its process does: handles and the lock are gone, nothing else happens.
func (a *Artifact) Die() {
	for p := range a.parts {
		_ = p.Close()
	}
	_ = a.unlock()
}
