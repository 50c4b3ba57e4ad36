package proof

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fanmill/sinks/artifact"
)

// Target is a file and its report.
type Target struct {
	Path, Manifest string
	Dataset        bool // the file is one of a dataset, whose companions have names that begin with a point
}

// token is a part of a filePath as a job has it.
var token = regexp.MustCompile(`\{[^{}/\\]*\}`)

// Find lists the files that an argument names, by name: a file, its manifest, all in a folder and those below it, or a
// pattern with *, ? or a token such as {connection}. Of a folder and a pattern, files that should be there and are
// not are listed, too: they have a manifest.
func Find(arg string) ([]Target, error) {
	if strings.TrimSpace(arg) == "" {
		return nil, errors.New("the name of a file is empty")
	}
	arg = filepath.Clean(arg)
	if info, err := os.Stat(arg); err == nil && info.IsDir() {
		return inFolder(arg)
	}
	if t := single(arg); exists(t.Path) || exists(t.Manifest) {
		return []Target{t}, nil
	}
	if pattern := token.ReplaceAllString(arg, "*"); strings.ContainsAny(pattern, "*?[") {
		return matching(arg, pattern)
	}
	return []Target{single(arg)}, nil
}

// single is a file by its own name, or its manifest's.
func single(path string) Target {
	if artifact.IsReport(path) {
		return ofReport(path)
	}
	if !exists(artifact.ReportName(path, false)) {
		if exists(artifact.ReportName(path, true)) {
			return Target{path, artifact.ReportName(path, true), true}
		}
		// What stands behind a link is the artifact.
		if behind, err := filepath.EvalSymlinks(path); err == nil && exists(artifact.ReportName(behind, false)) {
			path = behind
		}
	}
	return Target{path, artifact.ReportName(path, false), false}
}

// ofReport is the file that a report of this name is on. That of a file in a dataset begins with a point, which the
// file's own name does not.
func ofReport(path string) Target {
	plain := artifact.Reported(path)
	dir, name := filepath.Split(plain)
	if rest, hidden := strings.CutPrefix(name, "."); hidden && rest != "" && !exists(plain) {
		return Target{dir + rest, path, true}
	}
	return Target{plain, path, false}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// inFolder lists the files of a folder, and of those below, that have a report.
func inFolder(folder string) (all []Target, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".fanmill":
			return filepath.SkipDir
		case !e.IsDir() && artifact.IsReport(path):
			all = append(all, ofReport(path))
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no file in the folder %s has a manifest (a name that ends in %s)", folder, artifact.ReportName("", false))
	}
	return sorted(all), err
}

// matching lists the files that a pattern names, and those of the manifests that it names.
func matching(arg, pattern string) (all []Target, err error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("the pattern %s cannot be read: %w", arg, err)
	}
	for _, hidden := range []bool{false, true} {
		reports, err := filepath.Glob(artifact.ReportName(pattern, hidden))
		if err != nil {
			return nil, fmt.Errorf("the pattern %s cannot be read: %w", arg, err)
		}
		files = append(files, reports...)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue
		}
		all = append(all, single(path))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no file has a name like %s", arg)
	}
	return sorted(all), nil
}

// sorted lists each file once, by name.
func sorted(all []Target) []Target {
	slices.SortFunc(all, func(a, b Target) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(all, func(a, b Target) bool { return a.Path == b.Path })
}
