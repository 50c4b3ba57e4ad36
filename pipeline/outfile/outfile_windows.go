package outfile

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
)

// refusal is why the system would not let this user put another file in the place of this one.
func refusal(path string, info fs.FileInfo) error {
	if info.Mode()&0o200 == 0 {
		return fmt.Errorf("%s is read-only, and nothing can take its place; clear that attribute (attrib -r), or choose another path", path)
	}
	return nil
}

// Explain says what an error of the file system is about where its own words do not. stays says that trying again
// will most likely bring the same. A refused access does not: a program that scans files keeps them for a moment.
func Explain(err error) (hint string, stays bool) {
	switch {
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL):
		return "; free space on that disk, what is committed is safe", false
	case errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED):
		return "; this user's quota on that disk is used up: free space, or have the quota raised; what is committed is safe", false
	case errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return "; that disk is write-protected: choose another path", true
	case errors.Is(err, windows.ERROR_DIRECTORY):
		return "; a part of the path is a file and no folder: choose another path", true
	case errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE), errors.Is(err, windows.ERROR_BUFFER_OVERFLOW):
		return "; the path is too long for this system: choose a shorter one", true
	case errors.Is(err, windows.ERROR_INVALID_NAME), errors.Is(err, windows.ERROR_BAD_PATHNAME):
		return "; the path has characters that Windows does not allow: choose another one", true
	case errors.Is(err, windows.ERROR_FILE_TOO_LARGE):
		return "; the file system holds no file of this size: choose another disk, or a file for each connection", true
	case errors.Is(err, fs.ErrPermission):
		return "; let this user write to that folder", false
	}
	return "", false
}

// maxName is how long a name may be in the folder: NTFS counts 255 characters, of which none has less than a byte.
func maxName(string) int { return MaxName }
