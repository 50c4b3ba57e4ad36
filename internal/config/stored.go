package config

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// A job of the store depends on no folder: its inventory is stored with it. What it refers to, ${VAR} and ${file:PATH},
// is looked up where it is run.

// Inventory is the inventory of a job as it was read.
type Inventory struct {
	File string // as the job spells it
	Text []byte
}

// Stored is a job as the store has it.
type Stored struct {
	Job       string // its id, as StoredPath spells it in problems
	Name      string // of the file that it was put from, without its folder: says whether the text is JSON or YAML
	Text      []byte
	Inventory *Inventory // nil if the job has none
}

// storedPrefix marks a job of the store where a path of a job file may stand.
const storedPrefix = "store:"

// StoredPath names a job of the store where others name a file.
func StoredPath(job string) string { return storedPrefix + job }

// StoredJob is the id in a StoredPath. ./store:gst is a file.
func StoredJob(path string) (job string, ok bool) { return strings.CutPrefix(path, storedPrefix) }

// LoadStored reads a job of the store, as Load reads a file. dir is the folder of the .env that has what the
// environment lacks, and where relative paths of ${file:PATH} begin.
func LoadStored(s Stored, dir string, o Options) (*File, error) {
	env := filepath.Join(dir, ".env")
	dotenv, err := DotEnv(env)
	if err != nil {
		return nil, &unusable{Problems{{File: env, Line: 1, Column: 1, Text: err.Error()}}, []string{env}}
	}
	f, problems := parse(source{path: StoredPath(s.Job) + "/" + s.Name, data: s.Text, dir: dir, dotenv: dotenv, inventory: s.Inventory}, o)
	f.inputs = []string{env}
	if problems != nil {
		return nil, &unusable{problems, f.inputs}
	}
	f.Path = StoredPath(s.Job)
	return f, nil
}

// Inventory is the inventory that a job read with Options.Elsewhere has, or that it came with; nil if there is none.
func (f *File) Inventory() *Inventory { return f.inventory }

// ReadForStore reads a job file that is to be put into the store. Nothing that it refers to is looked up, and what
// looks like a secret is a problem: the store is read by many.
func ReadForStore(file string, o Options) (*File, []byte, error) {
	data, err := readSmall(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read job file: %w", err)
	}
	o.Elsewhere = true
	f, problems := parse(source{path: file, data: data, dir: filepath.Dir(file)}, o)
	if problems != nil {
		return nil, nil, problems
	}
	return f, data, nil
}

// CheckStored reads a job of the store as ReadForStore reads a file.
func CheckStored(s Stored, o Options) (*File, error) {
	o.Elsewhere = true
	f, problems := parse(source{path: StoredPath(s.Job) + "/" + s.Name, data: s.Text, inventory: s.Inventory}, o)
	if problems != nil {
		return nil, problems
	}
	return f, nil
}

// inventoryOf takes the inventory that came with the job.
func (d *decoder) inventoryOf(inv *inventory, file string) bool {
	if d.inventoryText.File != file {
		d.errorf(inv.key("file"), "the inventory %s did not come with the job: put the job into the store again", file)
		return false
	}
	_, base := path.Split(strings.ReplaceAll(file, `\`, "/"))
	return d.readList(inv, path.Join(path.Dir(d.file), base), d.inventoryText.Text)
}

// standIns puts a stand-in where a reference stands: one for each name, so that two stay two.
func standIns(text string) (string, error) {
	var b strings.Builder
	err := scan(text, func(literal string) error {
		b.WriteString(literal)
		return nil
	}, func(r reference) error {
		if b.WriteString(r.name); r.name == "" {
			b.WriteString(strings.TrimSuffix(filepath.Base(r.file), filepath.Ext(r.file)))
		}
		return nil
	})
	return b.String(), err
}
