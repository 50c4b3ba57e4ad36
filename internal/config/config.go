// Package config reads what people write for fanmill: job files in JSON or YAML, the .env file beside them, and the
// environment. A job file is read once and for all: Load returns a pipeline.Job in which nothing is left to guess, or
// every problem of the file at once, each with its line, column and the likely fix. Loading opens no database and
// writes no artifact; it does look whether the folders of the artifacts can be written.
//
// References ${VAR} and ${file:PATH} stay references in the Job, so that it can be stored and sent; File.Expand turns
// one into its value at the moment it is used.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	_ "time/tzdata" // Windows has no zone files of its own

	"fanmill/pipeline"
)

// Options says what a job file may name and how strictly it is read.
type Options struct {
	// Strict turns warnings into errors.
	Strict bool
	// Only are the ids of the connections that the job is loaded for; all if empty. What the others refer to need not
	// be there.
	Only []string
	// OthersAsk, OthersWrite: other processes ask the connections, or write the destinations. What addresses, or options,
	// refer to need not be there.
	OthersAsk, OthersWrite bool
	// Databases are the kinds of databases by the names that a connection may give as its driver.
	Databases map[string]*pipeline.DatabaseKind
	// Destinations are the kinds of destinations by name, the "type" in the file.
	Destinations map[string]*pipeline.SinkKind
	// Notify are the kinds of targets of notifications by name.
	Notify map[string]*pipeline.NotifyKind
	// Lookup finds a variable of the environment; nil is os.LookupEnv. What it does not have, the .env file beside the
	// job may have.
	Lookup func(name string) (string, bool)
	// Bounds are those of a job that somebody brings along in a message; nil is a job of this machine's owner.
	Bounds *Bounds
	// Elsewhere reads a job for other hosts than this one, as what puts it into the store does: references stay what they
	// are, no folder and no artifact of this host is looked at, and what looks like a secret is a problem.
	Elsewhere bool
	// OS is the operating system whose rules for file names hold; "" is this one's (runtime.GOOS).
	OS string
}

// File is a job file that was read and found good.
type File struct {
	Path     string // as given to Load
	Job      pipeline.Job
	Warnings []Problem

	kinds  map[string]*pipeline.SinkKind
	inputs []string
	expand func(string) (string, error)
	os     string
	bounds *Bounds

	inventory *Inventory
}

// Load reads a job file. If it cannot be used the error wraps Problems, warnings included, or says why it could not
// be read; Inputs tells of it which files were looked at.
func Load(path string, o Options) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read job file: %s is a folder; name the job file in it", path)
	}
	data, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("read job file: %w", err)
	}
	dotenv, err := DotEnv(path)
	if err != nil {
		return nil, err
	}
	f, problems := parse(source{path: path, data: data, dir: filepath.Dir(path), dotenv: dotenv}, o)
	f.inputs = append([]string{path, dotEnvPath(path)}, f.inputs...)
	if problems != nil {
		return nil, &unusable{problems, f.inputs}
	}
	return f, nil
}

// unusable is a job file with problems.
type unusable struct {
	problems Problems
	inputs   []string
}

func (u *unusable) Error() string { return u.problems.Error() }
func (u *unusable) Unwrap() error { return u.problems }

// Inputs are the files that were read, or looked for, before Load returned this error; nil if it is none of Load's. A
// change of one may make the job a good one.
func Inputs(err error) []string {
	var u *unusable
	if errors.As(err, &u) {
		return u.inputs
	}
	return nil
}

// Parse reads a job that does not come from a file, such as one inside a message. name stands for the file in
// problems, such as "inline job"; whether the text is JSON or YAML is seen from the name's extension, else from its
// first byte. There is no .env file, and relative paths begin in the working directory.
func Parse(name string, data []byte, o Options) (*File, error) {
	f, problems := parse(source{path: name, data: data, dir: filepath.Dir(name)}, o)
	if problems != nil {
		return nil, problems
	}
	return f, nil
}

// source is the text of a job and what belongs to it.
type source struct {
	path      string // stands for the text in problems; its extension says what it is written in
	data      []byte
	dir       string            // where relative paths of inventories and secrets' files begin
	dotenv    map[string]string // what the environment lacks
	inventory *Inventory        // takes the place of the file; nil reads the file
}

// parse returns the file also where there are problems: what was read beside it is known then.
func parse(s source, o Options) (*File, Problems) {
	path, dotenv := s.path, s.dotenv
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	if o.OS == "" {
		o.OS = runtime.GOOS
	}
	lookup := func(name string) (string, bool) {
		if v, ok := o.Lookup(name); ok {
			return v, true
		}
		v, ok := dotenv[name]
		return v, ok
	}
	f := &File{Path: path, kinds: o.Destinations, os: o.OS, bounds: o.Bounds, expand: func(text string) (string, error) { return Expand(text, lookup, s.dir) }}
	if o.Elsewhere {
		f.expand = standIns
	}
	d := &decoder{o: &o, file: path, dir: s.dir, inventoryText: s.inventory, expand: f.expand, pos: map[string]position{}, slips: map[string]bool{}}
	root, problem := parseTree(path, s.data)
	if problem != nil {
		return f, Problems{*problem}
	}
	if o.Bounds != nil {
		if bad := o.Bounds.references(path, root); len(bad) > 0 {
			return f, bad.sortedFor(path)
		}
	}
	d.job(root)
	d.check()
	if o.Elsewhere {
		d.secrets(root, s.data)
	}
	problems := d.problems.sortedFor(path)
	f.inputs, f.inventory = d.inputs, d.inventoryText
	if problems.failed(o.Strict) {
		return f, problems
	}
	f.Job, f.Warnings = d.out, problems
	return f, nil
}

// parseTree picks the parser.
func parseTree(path string, data []byte) (*node, *Problem) {
	data, p := decodeText(path, data)
	if p != nil {
		return nil, p
	}
	data = unixLines(data)
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return parseJSON(path, data)
	case ".yaml", ".yml":
		return parseYAML(path, data)
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] == '{' {
		return parseJSON(path, data)
	}
	return parseYAML(path, data)
}

// Inputs are the files that the job was read from, whether they were there or not: the job file, its .env and its
// inventory. A change of one may change the job.
func (f *File) Inputs() []string { return f.inputs }

// Expand replaces the references ${VAR} and ${file:PATH} in s by their values; see the function Expand. A relative
// PATH begins in the folder of the job file.
func (f *File) Expand(s string) (string, error) { return f.expand(s) }

// Params are the parameters of a run that a trigger asks for at this moment; see ResolveParams.
func (f *File) Params(given map[string]any, at time.Time) ([]pipeline.Arg, error) {
	return ResolveParams(&f.Job, given, at)
}

// Destinations are the destinations of the run that begins at this moment. Paths are absolute, relative ones
// beginning in the working directory, with references expanded and tokens replaced; that of a destination with a place
// stays relative to that. A destination with a file per
// query becomes one for each, with the id <id>.<query>; of one with a file per connection, Files follows the order of
// the job's connections. A path with a Windows drive is an error on any other system.
func (f *File) Destinations(run string, at time.Time) ([]pipeline.ManifestDestination, error) {
	outs, bad := outputs(&f.Job, f.kinds, f.bounds.base(), run, at, f.expand, f.os)
	bad = append(bad, newFolders(f.os).clashes(outs)...)
	bad = append(bad, f.bounds.outside(outs)...)
	bad = append(bad, f.elsewhere()...)
	var errs []error
	for _, e := range bad {
		errs = append(errs, fmt.Errorf("destination %s: %w", f.Job.Destinations[e.of].ID, e.err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	ds := make([]pipeline.ManifestDestination, len(outs))
	for i := range outs {
		ds[i] = outs[i].ManifestDestination
	}
	return ds, nil
}

// elsewhere names the destinations whose paths mean something on another system only. Here such a path would be a
// folder of that odd name in the working directory, which nobody would look for.
func (f *File) elsewhere() (bad []outputError) {
	for i := range f.Job.Destinations {
		path, err := f.expand(f.Job.Destinations[i].FilePath)
		// What cannot be expanded is named already.
		if err == nil && f.Job.Destinations[i].Place == "" && drive(path) && f.os != "windows" {
			bad = append(bad, outputError{i, fmt.Errorf("%s is a path of Windows, and this host has another system; run the job on a Windows host, or give filePath a path of this one", path)})
		}
	}
	return bad
}

func valuesOf(j *pipeline.Job, run string, started time.Time) tokenValues {
	loc, err := time.LoadLocation(j.TimeZone)
	if err != nil {
		loc = time.UTC // Load has refused such a job
	}
	return tokenValues{jobID: j.ID, jobName: j.Name, run: run, date: started.In(loc)}
}
