//go:build unix

package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// refusal is why the system would not let this user put another file in the place of this one.
func refusal(path string, info fs.FileInfo) error {
	if mounted(path) {
		return fmt.Errorf("%s is a mount point, such as a single file that a container is given, and nothing can take its place; mount its folder instead", path)
	}
	if flag := pinned(path); flag != "" {
		return fmt.Errorf("%s has the attribute %q, and nothing can take its place; clear it (chattr -%c), or choose another path", path, flag, flag[0])
	}
	dir := filepath.Dir(path)
	folder, err := os.Stat(dir)
	if err != nil || folder.Mode()&fs.ModeSticky == 0 {
		return nil
	}
	file, isUnix := info.Sys().(*syscall.Stat_t)
	parent, alsoUnix := folder.Sys().(*syscall.Stat_t)
	me := uint32(os.Geteuid())
	if isUnix && alsoUnix && me != 0 && me != file.Uid && me != parent.Uid && !overridesOwner() {
		return fmt.Errorf("%s is another user's file (uid %d) in a folder with the sticky bit, where only its owner can replace it; let that user remove it, or choose another path", path, file.Uid)
	}
	return nil
}

// Explain says what an error of the file system is about where its own words do not. stays says that trying again
// will most likely bring the same.
func Explain(err error) (hint string, stays bool) {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "; free space on that disk (or inodes: df -i), what is committed is safe", false
	case errors.Is(err, unix.EDQUOT):
		return "; this user's quota on that disk is used up: free space, or have the quota raised; what is committed is safe", false
	case errors.Is(err, unix.EROFS):
		return "; that file system is read-only: mount it writable, or choose another path", true
	case errors.Is(err, unix.ENOTDIR):
		return "; a part of the path is a file and no folder: choose another path", true
	case errors.Is(err, unix.EISDIR):
		return "; a folder stands where a file is to be: remove it, or choose another path", true
	case errors.Is(err, unix.ENAMETOOLONG):
		return "; the file system holds no name of this length: choose a shorter one", true
	case errors.Is(err, unix.ELOOP):
		return "; links of the path lead to each other: choose another path", true
	case errors.Is(err, unix.EFBIG):
		return "; the file system, or a limit of this process (ulimit -f), holds no file of this size: choose another disk, or a file for each connection", true
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EILSEQ):
		return "; the file system may not hold a name of these characters", true
	case errors.Is(err, fs.ErrPermission):
		return "; let this user write to that folder", true
	}
	return "", false
}
