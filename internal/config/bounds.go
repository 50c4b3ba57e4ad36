package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds are what a job may reach that somebody brings along in a message: its text comes from whoever may publish,
// and is carried out by this process, with this process's rights. What is not named here it does not reach: no
// variable and no secret's file, no inventory, no other folder, no other server.
type Bounds struct {
	root    string // of its artifacts; real and absolute
	folders []string
	hosts   []hostPattern
}

// NewBounds makes bounds. Artifacts are written below root, files of databases read below folders, and servers reached
// on hosts: each a name, *.example.org for what is below one, an address, 10.1.0.0/16 for a network, or * for any; each
// may end in :PORT. apart are folders that must not be reached through root: what is written there would be obeyed.
func NewBounds(root string, folders, hosts, apart []string) (*Bounds, error) {
	real, err := realFolder(root)
	if err != nil {
		return nil, fmt.Errorf("--artifact-root: %w", err)
	}
	b := &Bounds{root: real}
	for _, dir := range folders {
		if dir, err = realFolder(dir); err != nil {
			return nil, fmt.Errorf("--allow-folder: %w", err)
		}
		b.folders = append(b.folders, dir)
	}
	for _, dir := range slices.Concat(b.folders, apart) {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
		if dir = newFolders("").follow(dir); inside(real, dir) || inside(dir, real) {
			return nil, fmt.Errorf("--artifact-root %s and %s are one within the other; jobs that are brought along write there: choose a folder of its own", real, dir)
		}
	}
	for _, h := range hosts {
		p, err := parseHost(h)
		if err != nil {
			return nil, fmt.Errorf("--allow-host: %w", err)
		}
		b.hosts = append(b.hosts, p)
	}
	return b, nil
}

func realFolder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("%s: %w; make the folder first", dir, cause(err))
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a file; name a folder", dir)
	}
	return filepath.EvalSymlinks(abs)
}

// inside reports whether a real path is a folder or below it.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// artifact reports why a path is none that such a job may write. Where it leads is what counts, and so for its
// companions, which stand beside it.
func (b *Bounds) artifact(path string) error {
	dir := filepath.Dir(path)
	switch {
	case !inside(b.root, newFolders("").follow(dir)):
		return fmt.Errorf("%s is outside of %s, where jobs that are brought along may write; relative paths begin there", path, b.root)
	case slices.Contains(strings.Split(strings.ToLower(filepath.ToSlash(path)), "/"), ".fanmill"):
		return errors.New("names a folder .fanmill, where fanmill keeps its own; choose another name")
	}
	for _, file := range []string{path, filepath.Join(dir, ".fanmill")} {
		if info, err := os.Lstat(file); err == nil && info.Mode()&(os.ModeSymlink|os.ModeIrregular) != 0 {
			return fmt.Errorf("%s is a link; a job that is brought along writes through none", file)
		}
	}
	return nil
}

// base is where relative paths of artifacts begin; "" is the working directory.
func (b *Bounds) base() string {
	if b == nil {
		return ""
	}
	return b.root
}

// outside reports the destinations that would write where they may not.
func (b *Bounds) outside(outs []output) (bad []outputError) {
	if b == nil {
		return nil
	}
	for i := range outs {
		for _, file := range outs[i].paths() {
			if file == "" {
				continue
			}
			if err := b.artifact(file); err != nil {
				bad = append(bad, outputError{outs[i].of, err})
				break
			}
		}
	}
	return bad
}

// database reports why the file of a database is none that such a job may read.
func (b *Bounds) database(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	real := newFolders("").follow(abs)
	if !slices.ContainsFunc(b.folders, func(dir string) bool { return inside(dir, real) }) {
		return fmt.Errorf("%s is in no folder that jobs that are brought along may read; who serves names such folders with --allow-folder", path)
	}
	return nil
}

// references finds what would be replaced by variables or files of this process. A query has no references; what looks
// like one is its text.
func (b *Bounds) references(file string, n *node) (bad Problems) {
	for _, m := range n.members {
		if isQuery(m.name) || m.name == "sql" {
			continue
		}
		bad = append(bad, b.references(file, m.value)...)
		bad = append(bad, referenceIn(file, m.position, m.name)...)
	}
	for _, item := range n.items {
		bad = append(bad, b.references(file, item)...)
	}
	if n.kind == stringNode {
		bad = append(bad, referenceIn(file, n.position, n.text)...)
	}
	return bad
}

func referenceIn(file string, at position, text string) Problems {
	if !strings.Contains(strings.ReplaceAll(text, "$$", ""), "${") {
		return nil
	}
	return Problems{{File: file, Line: at.line, Column: at.column,
		Text: "has a reference ${...}: a job that is brought along gets no variable and no file of the process that serves; write the value itself, or serve the job from a file"}}
}
