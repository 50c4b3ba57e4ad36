// Package outfile says why no file of ours can stand at a path, before anybody is asked for rows: what stands there,
// what a file system can name, and which errors of a system stay however often something is tried. It changes
// nothing.
package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// MaxName is how long a name in a folder may be, in bytes. Windows and macOS count characters, of which no name
	// has more.
	MaxName = 255
	// Companions is what the longest name beside an artifact adds to its own, in bytes: " (not from fanmill 99)".
	Companions = 24
	// MaxPath is how long a path may be, in bytes, so that what stands in an artifact's private folder can still be
	// named on Linux (4,095).
	MaxPath = 3500
)

// Refusal is why a file at this path could not be made, or not be replaced; nil if nothing is known. Links are
// followed.
func Refusal(path string) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nameRefusal(path)
	case err != nil:
		if file := fileAsFolder(path); file != "" {
			return fmt.Errorf("%s is a file, so there can be no folder of this name; choose another path", file)
		}
		if hint, stays := Explain(err); stays {
			return fmt.Errorf("%s: %w%s", path, cause(err), hint)
		}
		return nil // it may pass
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s, and no file can take its place; give the destination the path of a file", path, Kind(info.Mode()))
	}
	if err := nameRefusal(path); err != nil {
		return err
	}
	return refusal(path, info)
}

// Kind names what is not an ordinary file.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "not an ordinary file"
}

// nameRefusal is why the folder's file system has no room for the name and those beside it.
func nameRefusal(path string) error {
	name := filepath.Base(path)
	dir := filepath.Dir(path)
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
	if most := maxName(dir); len(name)+Companions > most {
		return fmt.Errorf("the name %q has %d bytes; the file system of %s holds names of %d, and the files beside it (.manifest.json, .previous) need up to %d more; give it a shorter one",
			name, len(name), dir, most, Companions)
	}
	return nil
}

// fileAsFolder is the part of a path that is a file and is to be a folder; "" if there is none.
func fileAsFolder(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			if info.IsDir() {
				return ""
			}
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// cause is what the system said, without the name of the file.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
