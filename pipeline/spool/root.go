package spool

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"fanmill/pipeline/durable"
)

// Root is the spool of a process: a folder on a disk.
type Root struct {
	Dir   string
	Store string // names the store whose records say what in it counts
	Space *Space

	counted sync.Once
	mu      sync.Mutex
	place   Place // once it is known
}

// Place names the disk that a folder is on. Two hosts with one name, and one host with two names, are told apart by it.
type Place struct {
	ID   string `json:"id"`
	Host string `json:"host"` // for people
}

// marker is the file that makes a folder a place.
type marker struct {
	Place
	Store string `json:"store"`
}

// Place returns the place of this spool, which it makes when there is none. One that another store made is refused:
// what lies there is not ours to remove.
func (r *Root) Place() (Place, error) {
	r.counted.Do(func() { r.Space.Force(Size(r.Dir)) }) // what earlier processes left takes room, too
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.place.ID == "" {
		r.place, err = r.look()
	}
	return r.place, err
}

// look reads the marker, or makes it.
func (r *Root) look() (Place, error) {
	path := filepath.Join(r.Dir, "place.json")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := r.mark(path); err != nil {
			return Place{}, err
		}
		return r.look()
	case err != nil:
		return Place{}, err
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil || m.ID == "" {
		return Place{}, fmt.Errorf("read %s: it is not the marker of a spool; move the folder away if nothing is owed from it", path)
	}
	if m.Store != r.Store {
		return Place{}, fmt.Errorf("the spool %s belongs to another store (%s); give each store a folder of its own with FANMILL_SPOOL", r.Dir, m.Store)
	}
	return m.Place, nil
}

// mark makes the marker. Of several processes that do so at once one succeeds, and the others find its marker there.
func (r *Root) mark(path string) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	text, err := json.Marshal(marker{Place{ID: rand.Text(), Host: host}, r.Store})
	if err != nil {
		return err
	}
	own := path + "." + rand.Text()
	if err := durable.WriteFile(own, text, 0o600); err != nil {
		return err
	}
	defer os.Remove(own)
	switch err := os.Link(own, path); {
	case err == nil, errors.Is(err, os.ErrExist):
		return durable.SyncDir(r.Dir)
	}
	return durable.WriteFile(path, text, 0o600) // a file system without second names
}

// Runs lists the runs that have something here, by the names that Claim was given.
func (r *Root) Runs() (names []string, err error) {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Has reports whether a destination of a run has a folder here.
func (r *Root) Has(run, destination string) bool {
	_, err := os.Stat(filepath.Join(r.Dir, run, destination))
	return err == nil
}

// Remove removes what a run has here for a destination; for all if destination is "". Calling it again changes nothing.
func (r *Root) Remove(run, destination string) error {
	dir := filepath.Join(r.Dir, run, destination)
	size := Size(dir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	r.Space.Give(size)
	if destination != "" {
		_ = os.Remove(filepath.Join(r.Dir, run)) // of the last one; others stay in it
	}
	return nil
}

// Size is how many bytes the files below a folder have, as far as they can be read.
func Size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
