package sinktest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// image is a folder as the end of a process leaves it: the files with their times, and which names are one file.
type image map[string]imageFile

type imageFile struct {
	mode  fs.FileMode
	text  string
	mtime time.Time
	twin  string // an earlier name of the same file; "" if there is none
}

// maxLooks is how often in a row a folder may change while it is looked at.
const maxLooks = 10_000

// take makes an image of a folder to which other goroutines may write: it looks until two looks in a row agree.
func take(root string) (image, error) {
	last, err := look(root)
	for range maxLooks {
		if err != nil {
			return nil, err
		}
		var now image
		if now, err = look(root); err == nil && maps.Equal(last, now) {
			return now, nil
		}
		last = now
	}
	return nil, fmt.Errorf("%s does not rest", root)
}

// look reads a folder once. What vanishes meanwhile is not in it.
func look(root string) (image, error) {
	all := image{}
	var names []string
	infos := map[string]fs.FileInfo{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		info, err := e.Info()
		if err != nil {
			return gone(err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := imageFile{mode: info.Mode()}
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil { // vanished, or locked on Windows, where a lock file has nothing that anybody needs
				return gone(err)
			}
			f.text, f.mtime = string(text), info.ModTime()
			for _, n := range names {
				if os.SameFile(infos[n], info) {
					f.twin = n
					break
				}
			}
			names, infos[rel] = append(names, rel), info
		}
		all[rel] = f
		return nil
	})
	return all, err
}

// gone lets files vanish, and be locked.
func gone(err error) error {
	if os.IsNotExist(err) || isLocked(err) {
		return nil
	}
	return err
}

// put makes a folder what the image shows.
func (m image) put(root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	for _, rel := range slices.Sorted(maps.Keys(m)) {
		f, path := m[rel], filepath.Join(root, rel)
		var err error
		switch {
		case f.mode.IsDir():
			err = os.MkdirAll(path, f.mode.Perm())
		case f.twin != "":
			err = os.Link(filepath.Join(root, f.twin), path)
		case f.mode.IsRegular():
			if err = os.WriteFile(path, []byte(f.text), f.mode.Perm()); err == nil {
				err = os.Chtimes(path, f.mtime, f.mtime)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
