package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf16"

	"fanmill/pipeline/outfile"
)

// artifacts looks at the files of all destinations: their paths, whether two have the same one, whether they can be
// written.
func (d *decoder) artifacts() {
	j := &d.out
	at := func(i int) string { return fmt.Sprintf("destinations[%d].filePath", i) }
	failed := map[int]bool{}
	for i := range j.Destinations {
		path := j.Destinations[i].FilePath
		expanded, err := d.expand(path)
		if err != nil || path == "" {
			continue // reported below
		}
		if strings.HasSuffix(expanded, "/") {
			d.errorf(at(i), "names a folder; add the file's name, such as %s{jobName}.xlsx", path)
			failed[i] = true
		}
		if j.Destinations[i].Place == "" && drive(expanded) && d.o.OS != "windows" && !d.o.Elsewhere {
			d.warnf(at(i), "is a path of Windows: this host runs no such job, a Windows host does")
		}
	}
	// Any run will do: two files that differ by the run in one run differ in all.
	outs, bad := outputs(j, d.o.Destinations, d.o.Bounds.base(), "run", time.Now(), d.expand, d.o.OS)
	f := newFolders(d.o.OS)
	bad = append(bad, f.clashes(outs)...)
	bad = append(bad, d.o.Bounds.outside(outs)...)
	for _, e := range bad {
		d.errorf(at(e.of), "%s", e.err)
		failed[e.of] = true
	}
	if d.o.OS != runtime.GOOS || d.o.Elsewhere {
		return
	}
	if d.o.OS == "windows" {
		d.longPaths(outs, at)
	}
	for i := range outs {
		for _, file := range outs[i].paths() {
			if failed[outs[i].of] || file == "" || outs[i].Place != "" { // of a place its claimer looks
				continue
			}
			if err := f.writable(file); err != nil {
				d.errorf(at(outs[i].of), "%s", err)
				failed[outs[i].of] = true
			}
		}
	}
}

// windowsPath is what most programs of Windows open at most, in UTF-16 units. fanmill itself writes longer ones.
const windowsPath = 259

// longPaths warns of files that fanmill can write and others cannot open.
func (d *decoder) longPaths(outs []output, at func(int) string) {
	said := map[int]bool{}
	for i := range outs {
		if outs[i].Place != "" {
			continue
		}
		most := windowsPath
		if kind := d.o.Destinations[outs[i].Type]; kind != nil && kind.Traits.LongestPath > 0 {
			most = kind.Traits.LongestPath
		}
		for _, file := range outs[i].paths() {
			if n := len(utf16.Encode([]rune(file))); n > most && !said[outs[i].of] {
				said[outs[i].of] = true
				d.warnf(at(outs[i].of), "the path %s has %d characters; fanmill writes it, but most programs of Windows open none of more than %d; choose a shorter one", file, n, most)
			}
		}
	}
}

// folders remembers what was found out about folders: a thousand files are in a few.
type folders struct {
	goos   string
	real   map[string]string
	probed map[string]error
}

func newFolders(goos string) *folders {
	return &folders{goos, map[string]string{}, map[string]error{}}
}

// clashes reports destinations that would write the file of another one.
func (f *folders) clashes(outs []output) (bad []outputError) {
	first, said := map[string]int{}, map[[2]int]bool{}
	for i := range outs {
		for _, file := range outs[i].paths() {
			if file == "" {
				continue
			}
			key := f.key(file)
			if outs[i].Place != "" {
				key = placeKey(outs[i].Place, file)
			}
			k, twice := first[key]
			if !twice {
				first[key] = outs[i].of
				continue
			}
			pair := [2]int{k, outs[i].of}
			if said[pair] {
				continue
			}
			said[pair] = true
			if k == outs[i].of {
				bad = append(bad, outputError{k, fmt.Errorf("two of its files would be the same (%s); give the queries or connections names that differ in more than signs", file)})
			} else {
				bad = append(bad, outputError{outs[i].of, fmt.Errorf("is the file of destinations[%d] as well (%s); give each destination its own", k, file)})
			}
		}
	}
	return bad
}

// key is the same for two ways to one file.
func (f *folders) key(file string) string {
	file = filepath.Clean(file)
	dir, base := filepath.Split(file)
	key := filepath.Join(f.follow(filepath.Clean(dir)), base)
	if f.goos == "windows" || f.goos == "darwin" { // their file systems tell no a from A unless told to
		key = fold(strings.ReplaceAll(key, `\`, "/"))
	}
	return key
}

// follow follows the links in as much of a folder as exists.
func (f *folders) follow(dir string) string {
	if real, ok := f.real[dir]; ok {
		return real
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
		if parent := filepath.Dir(dir); parent != dir {
			real = filepath.Join(f.follow(parent), filepath.Base(dir))
		}
	}
	f.real[dir] = real
	return real
}

// writable tries whether a file could be made at this path: it makes one, of another name, in the nearest folder that
// exists, and removes it. Asking for permissions instead would miss read-only disks and Windows' access lists.
func (f *folders) writable(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; add the file's name", file)
	}
	if err := outfile.Refusal(file); err != nil {
		return err
	}
	return f.probe(filepath.Dir(file))
}

func (f *folders) probe(dir string) error {
	if err, ok := f.probed[dir]; ok {
		return err
	}
	err := f.probeNow(dir)
	f.probed[dir] = err
	return err
}

func (f *folders) probeNow(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is a file, so there can be no folder of this name; choose another path", dir)
	case err == nil:
		return makeProbe(dir)
	case filepath.Dir(dir) == dir:
		return fmt.Errorf("%s does not exist on this machine; connect the drive, or choose another path", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the folder %s cannot be read: %w; give this user the right to, or choose another", dir, cause(err))
	case !errors.Is(err, fs.ErrNotExist):
		if hint, stays := outfile.Explain(err); stays {
			return fmt.Errorf("the folder %s cannot be made: %w%s", dir, cause(err), hint)
		}
	}
	return f.probe(filepath.Dir(dir))
}

func makeProbe(dir string) error {
	probe, err := os.CreateTemp(dir, ".fanmill-probe-*")
	if err != nil {
		hint, _ := outfile.Explain(err)
		if hint == "" || errors.Is(err, fs.ErrPermission) {
			hint = "; give this user the right to, or choose another"
		}
		return fmt.Errorf("the folder %s cannot be written: %w%s", dir, cause(err), hint)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	// What a process that was killed just here has left.
	left, _ := filepath.Glob(filepath.Join(dir, ".fanmill-probe-*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
	return nil
}

// cause is what the system said, without the name of the file.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
