package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fanmill/pipeline/outfile"
)

// placeNames are the names that a folder may be offered under: they are in subjects.
var placeNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// CheckPlace reports why a place cannot have this name.
func CheckPlace(name string) error {
	if !placeNames.MatchString(name) {
		return fmt.Errorf("the place %q has another name than letters, digits, _ and - make, at most 64 of them; give it one such as reports", name)
	}
	return nil
}

// Places reads what a process offers: NAME=FOLDER each. Folders become absolute.
func Places(offers []string) (map[string]string, error) {
	all := map[string]string{}
	var bad []error
	for _, offer := range offers {
		name, folder, ok := strings.Cut(offer, "=")
		name, folder = strings.TrimSpace(name), strings.TrimSpace(folder)
		if !ok || folder == "" {
			bad = append(bad, fmt.Errorf("%q is no place; write NAME=FOLDER, such as reports=D:/Reports", offer))
			continue
		}
		if err := CheckPlace(name); err != nil {
			bad = append(bad, err)
			continue
		}
		abs, err := filepath.Abs(folder)
		if err != nil {
			bad = append(bad, fmt.Errorf("place %s: %w", name, err))
			continue
		}
		if was, twice := all[name]; twice && was != abs {
			bad = append(bad, fmt.Errorf("the place %s is two folders, %s and %s; give each a name of its own", name, was, abs))
			continue
		}
		all[name] = abs
	}
	return all, errors.Join(bad...)
}

// inPlace resolves the path of a file inside of a place. It is the same whatever system the process that claims it runs
// on: so the rules are those of Windows, on every system.
func inPlace(file string, v tokenValues) (string, error) {
	switch {
	case drive(file):
		return "", fmt.Errorf("%s has a drive, and a file of a place lies inside of it; write folders and a name only, or leave out place", file)
	case strings.HasPrefix(file, "/"), strings.HasPrefix(file, `\`):
		return "", fmt.Errorf("%s is absolute, and a file of a place lies inside of it; write folders and a name only, or leave out place", file)
	case strings.Contains(file, `\`):
		return "", fmt.Errorf("%s has a backslash; in a place write / between folders, on every system", file)
	}
	out, err := resolve(file, v, "windows")
	if err != nil {
		return "", err
	}
	parts := strings.Split(out, "/")
	switch {
	case slices.Contains(parts, ".."):
		return "", fmt.Errorf("%s leads out of its place by ..; write folders and a name only", file)
	case slices.ContainsFunc(parts, func(part string) bool { return strings.EqualFold(part, ".fanmill") }):
		return "", fmt.Errorf("%s names a folder .fanmill, where fanmill keeps its own; choose another name", file)
	case len(out) > outfile.MaxPath:
		return "", fmt.Errorf("the path has %d bytes; at most %d can be opened everywhere: choose a shorter one", len(out), outfile.MaxPath)
	}
	return path.Clean(out), nil
}

// placeKey is the same for two ways to one file of a place. Some system that offers it tells no a from A.
func placeKey(place, file string) string { return place + ":" + fold(path.Clean(file)) }
