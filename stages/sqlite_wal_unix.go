//go:build unix

package stages

import (
	"os"
	"path/filepath"
	"syscall"
)

// shareWAL lets the database's own user write to the files that reading has made beside it: whoever may make files in their folder may write to
// them. Where this process belongs to that user, they are its own.
func (t *sqliteTarget) shareWAL() {
	me := uint32(os.Geteuid())
	owner := func(path string) (os.FileInfo, uint32) {
		st, err := os.Stat(path)
		if err != nil {
			return nil, me
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			return st, sys.Uid
		}
		return nil, me
	}
	if st, uid := owner(t.path); st == nil || uid == me {
		return
	}
	folder, err := os.Stat(filepath.Dir(t.path))
	if err != nil {
		return
	}
	for _, path := range t.walFiles() {
		if st, uid := owner(path); st != nil && uid == me {
			_ = os.Chmod(path, st.Mode().Perm()|folder.Mode().Perm()&0o022)
		}
	}
}
