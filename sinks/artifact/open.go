package artifact

import (
	"os"
	"path/filepath"
)

// Open opens a published file to read it. A link out of its folder is not followed; and on Windows a file that is
// opened so can be replaced meanwhile.
func Open(path string) (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.Base(path))
}

// InUse reports whether an error of Open may end once another program closes the file.
func InUse(err error) bool { return inUse(err) }

// Asides are the files beside an artifact that hold what somebody else has saved in its place.
func Asides(path string, dataset bool) (names []string) {
	for _, word := range []string{edited, notOurs} {
		for n := 1; ; n++ {
			name := asideOf(path, word, n, dataset)
			if !exists(name) {
				break
			}
			names = append(names, name)
		}
	}
	return names
}
