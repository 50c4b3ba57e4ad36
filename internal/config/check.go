package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// maxTokenBytes bounds an id as it is spelled in subjects, keys and file names, together with what they add to it.
const maxTokenBytes = 120

// check looks at the job as a whole: what no single value shows.
func (d *decoder) check() {
	j := &d.out
	d.timeZone()
	if len(pipeline.Token(j.ID)) > maxTokenBytes {
		d.errorf("id", "is too long; at most %d letters and digits fit, fewer of other characters", maxTokenBytes)
	}
	ids := map[string]string{}
	names := map[string]string{}
	for i := range j.Connections {
		c, path := &j.Connections[i], fmt.Sprintf("connections[%d]", i)
		d.id(ids, path, c.ID)
		if first, twice := names[c.Name]; twice && c.Name != c.ID {
			d.warnf(path+".name", "%q is the name of %s as well; logs and sheets will be hard to tell apart", c.Name, first)
		}
		names[c.Name] = path
		d.driver(path, c)
	}
	ids = map[string]string{}
	files := map[string]string{}
	for i := range j.Destinations {
		out, path := &j.Destinations[i], fmt.Sprintf("destinations[%d]", i)
		d.id(ids, path, out.ID)
		d.destinationType(path, out)
		d.artifact(files, path, out)
	}
}

func (d *decoder) timeZone() {
	zone := d.out.TimeZone
	if _, err := time.LoadLocation(zone); err != nil || strings.EqualFold(zone, "local") {
		d.errorf("timeZone", "%q is not a time zone; use an IANA name such as \"Asia/Kolkata\", or leave the key out for UTC", zone)
		d.out.TimeZone = ""
	}
}

// id reports ids that name the same thing. They become keys and file names, and some systems tell no a from A.
func (d *decoder) id(seen map[string]string, path, id string) {
	if id == "" {
		return // missing, and reported as such
	}
	at := path + ".id"
	if len(pipeline.Token(id)) > maxTokenBytes {
		d.errorf(at, "is too long; at most %d letters and digits fit, fewer of other characters", maxTokenBytes)
	}
	key := strings.ToLower(pipeline.Token(id))
	if first, twice := seen[key]; twice {
		d.errorf(at, "%q is the id of %s as well (case does not count); give each its own", id, first)
		return
	}
	seen[key] = path
}

func (d *decoder) driver(path string, c *pipeline.Connection) {
	if c.Driver == "" {
		return
	}
	driver, ok := d.o.Drivers[c.Driver]
	if !ok {
		d.errorf(path+".driver", "%s", unknown(c.Driver, "database", slices.Collect(maps.Keys(d.o.Drivers))))
		return
	}
	if driver.Check == nil || c.DSN == "" {
		return
	}
	expanded := *c
	var err error
	if expanded.DSN, err = Expand(c.DSN, d.lookup); err != nil {
		return // reported where the reference stands
	}
	if strings.TrimSpace(expanded.DSN) == "" {
		d.errorf(path+".dsn", "is empty once its variables have their values; look at what %s is set to", c.DSN)
		return
	}
	d.pluginErrors(path, "dsn", driver.Check(&expanded))
}

func (d *decoder) destinationType(path string, out *pipeline.Destination) {
	if out.Type == "" {
		return
	}
	t, ok := d.o.Destinations[out.Type]
	if !ok {
		d.errorf(path+".type", "%s", unknown(out.Type, "destination", slices.Collect(maps.Keys(d.o.Destinations))))
		return
	}
	if t.Check != nil {
		d.pluginErrors(path, "", t.Check(out))
	}
}

// pluginErrors reports what a driver or a destination found, at the key it names, else at the one given.
func (d *decoder) pluginErrors(path, key string, err error) {
	for _, e := range split(err) {
		at := path
		var keyed interface{ Key() string }
		if errors.As(e, &keyed) && keyed.Key() != "" {
			at = path + "." + keyed.Key()
		} else if key != "" {
			at = path + "." + key
		}
		d.errorf(at, "%s", e)
	}
}

// artifact looks at a destination's file: its path, whether another destination has it, whether it can be written.
func (d *decoder) artifact(files map[string]string, path string, out *pipeline.Destination) {
	if out.FilePath == "" {
		return
	}
	at := path + ".filePath"
	expanded, err := Expand(out.FilePath, d.lookup)
	if err == nil {
		// Any run will do: two files that differ by the run in one run differ in all.
		v := valuesOf(&d.out, "run", time.Now())
		expanded, err = resolve(expanded, v, d.o.OS)
	}
	if err != nil {
		for _, e := range split(err) {
			d.errorf(at, "%s", e)
		}
		return
	}
	file := filepath.Clean(expanded)
	if d.o.OS == runtime.GOOS {
		if file, err = filepath.Abs(expanded); err != nil {
			d.errorf(at, "%s", err)
			return
		}
	}
	if strings.HasSuffix(expanded, "/") {
		d.errorf(at, "names a folder; add the file's name, such as %s{jobName}.xlsx", out.FilePath)
		return
	}
	if drive(expanded) && d.o.OS != "windows" {
		d.warnf(at, "is a path of Windows; on this system the file will be %s", file)
	}
	key := realFolder(file)
	if d.o.OS == "windows" || d.o.OS == "darwin" { // their file systems tell no a from A unless told to
		key = strings.ToLower(key)
	}
	if first, twice := files[key]; twice {
		d.errorf(at, "is the file of %s as well (%s); give each destination its own", first, file)
		return
	}
	files[key] = path
	if d.o.OS != runtime.GOOS {
		return
	}
	if err := writable(file); err != nil {
		d.errorf(at, "%s", err)
	}
}

// realFolder follows the links in as much of a file's folder as exists, so that two ways to one file are seen.
func realFolder(file string) string {
	dir, rest := filepath.Dir(file), filepath.Base(file)
	for {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return file
		}
		dir, rest = parent, filepath.Join(filepath.Base(dir), rest)
	}
}

// writable tries whether a file could be made at this path: it makes one, of another name, in the nearest folder that
// exists, and removes it. Asking for permissions instead would miss read-only disks and Windows' access lists.
func writable(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; add the file's name", file)
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is a file, so there can be no folder of this name; choose another path", dir)
		case err == nil:
			probe, err := os.CreateTemp(dir, ".fanmill-probe-*")
			if err != nil {
				return fmt.Errorf("the folder %s cannot be written: %w; give this user the right to, or choose another", dir, cause(err))
			}
			_ = probe.Close()
			_ = os.Remove(probe.Name())
			// What a process that was killed just here has left.
			left, _ := filepath.Glob(filepath.Join(dir, ".fanmill-probe-*"))
			for _, name := range left {
				_ = os.Remove(name)
			}
			return nil
		case filepath.Dir(dir) == dir:
			return fmt.Errorf("%s does not exist on this machine; connect the drive, or choose another path", dir)
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("the folder %s cannot be read: %w; give this user the right to, or choose another", dir, cause(err))
		}
	}
}

// cause is what the system said, without the name of the probe.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
