package artifact

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// marker is the content of run.json: whose the private folder is. A path says nothing about that: another host has
// another disk behind it, with the files of another run or store, or none.
type marker struct {
	StoreID string   `json:"storeId"`
	Run     string   `json:"run"`
	Homes   []string `json:"homes"` // of the processes that have claimed the file for this run: Spec.Home
}

const markerName = "run.json"

func (a *Artifact) markerPath() string { return filepath.Join(a.base, markerName) }

// readMarker reads whose the folder is; nil if nobody has said so.
func (a *Artifact) readMarker() (*marker, error) {
	text, err := os.ReadFile(a.markerPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, a.trouble("read", a.markerPath(), err)
	}
	var m marker
	if json.Unmarshal(text, &m) != nil {
		return nil, nil
	}
	return &m, nil
}

// marks reports whether the folder is that of this store and run.
func (a *Artifact) marks(m *marker) bool {
	return m != nil && m.StoreID == a.spec.StoreID && m.Run == a.spec.Run
}

// mark makes the folder this run's. That comes before anything of the claim is in it: who removes a run's files lists
// them first, and then looks once more whether the folder is still that run's. So it needs no lock, which two hosts
// that share a disk may not have.
func (a *Artifact) mark(token string) error {
	m, err := a.readMarker()
	if err != nil {
		return err
	}
	own := marker{StoreID: a.spec.StoreID, Run: a.spec.Run}
	if a.marks(m) {
		own.Homes = m.Homes
		if slices.Contains(m.Homes, a.spec.Home) {
			return nil
		}
	}
	own.Homes = append(own.Homes, a.spec.Home)
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	tmp := a.markerPath() + "." + token
	if err := a.create(tmp, a.access, func(f *os.File) error { _, err := f.Write(append(text, '\n')); return err }); err != nil {
		return a.trouble("write", tmp, err)
	}
	a.step("marker written")
	if err := a.move(tmp, a.markerPath()); err != nil {
		return err
	}
	a.step("marked")
	return nil
}

// unmark removes nonces and marker if nothing else is left in the folder but the lock, which is held.
func (a *Artifact) unmark() {
	entries, err := os.ReadDir(a.base)
	if err != nil {
		return
	}
	var markers []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, markerName), strings.HasPrefix(name, noncePrefix): // these come first
			markers = append(markers, filepath.Join(a.base, name))
		case name != "lock":
			return
		}
	}
	if m, err := a.readMarker(); err != nil || m != nil && !a.marks(m) {
		return
	}
	for _, path := range markers {
		_ = os.Remove(path)
	}
}
