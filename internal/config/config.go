// Package config reads what people write for fanmill: job files in JSON or YAML, the .env file beside them, and the
// environment. A job file is read once and for all: Load returns a pipeline.Job in which nothing is left to guess, or
// every problem of the file at once, each with its line, column and the likely fix. Loading opens no database and
// writes no artifact; it does look whether the folders of the artifacts can be written.
//
// References ${VAR} stay references in the Job, so that it can be stored and sent; File.Expand turns one into its value
// at the moment it is used.
package config

import (
	"bytes"
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
	// Drivers are the databases by the name a connection gives as its driver.
	Drivers map[string]Driver
	// Destinations are the destinations by their type.
	Destinations map[string]Destination
	// Lookup finds a variable of the environment; nil is os.LookupEnv. What it does not have, the .env file beside the
	// job may have.
	Lookup func(name string) (string, bool)
	// OS is the operating system whose rules for file names hold; "" is this one's (runtime.GOOS).
	OS string
}

// Driver is what a job file must know of a database.
type Driver struct {
	// Check reports what is wrong with a connection, its dsn expanded, without touching anything. Several problems are
	// joined (errors.Join). nil checks nothing.
	Check func(*pipeline.Connection) error
}

// Destination is what a job file must know of a destination.
type Destination struct {
	// Keys are the destination's own keys, beyond id, type, filePath and mode.
	Keys []string
	// NoFile says that it needs no filePath.
	NoFile bool
	// Check reports what is wrong with a destination without touching anything, as Driver.Check does. An error with a
	// method Key() string is shown at that key's line. nil checks nothing.
	Check func(*pipeline.Destination) error
}

// File is a job file that was read and found good.
type File struct {
	Path     string // as given to Load
	Job      pipeline.Job
	Warnings []Problem

	lookup func(string) (string, bool)
	os     string
}

// Load reads a job file. If it cannot be used the error is Problems, warnings included, or says why it could not be read.
func Load(path string, o Options) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read job file: %w", err)
	}
	dotenv, err := DotEnv(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, dotenv, o)
}

// Parse reads a job that does not come from a file, such as one inside a message. name stands for the file in problems;
// whether the text is JSON or YAML is seen from the name's extension, else from its first byte. There is no .env file.
func Parse(name string, data []byte, o Options) (*File, error) { return parse(name, data, nil, o) }

func parse(path string, data []byte, dotenv map[string]string, o Options) (*File, error) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	if o.OS == "" {
		o.OS = runtime.GOOS
	}
	f := &File{Path: path, os: o.OS, lookup: func(name string) (string, bool) {
		if v, ok := o.Lookup(name); ok {
			return v, true
		}
		v, ok := dotenv[name]
		return v, ok
	}}
	d := &decoder{o: &o, file: path, lookup: f.lookup, pos: map[string]position{}, slips: map[string]bool{}}
	root, problem := parseTree(path, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	d.job(root)
	d.check()
	d.problems.sort()
	if d.problems.failed(o.Strict) {
		return nil, d.problems
	}
	f.Job, f.Warnings = d.out, d.problems
	return f, nil
}

// parseTree picks the parser.
func parseTree(path string, data []byte) (*node, *Problem) {
	if p := checkText(path, data); p != nil {
		return nil, p
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
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

// Lookup finds a variable: in the environment, else in the .env file beside the job.
func (f *File) Lookup(name string) (string, bool) { return f.lookup(name) }

// Expand replaces the references ${VAR} in s by their values; see the function Expand.
func (f *File) Expand(s string) (string, error) { return Expand(s, f.lookup) }

// Values are what the tokens of this job's paths stand for in the run that started at this moment.
func (f *File) Values(run string, started time.Time) Values {
	return valuesOf(&f.Job, run, started)
}

// ResolvePath is the absolute path of a destination's file in one run: references expanded, tokens replaced, relative
// to the working directory. It is "" for a destination without a file.
func (f *File) ResolvePath(d *pipeline.Destination, v Values) (string, error) {
	return resolvePath(d.FilePath, v, f.lookup, f.os)
}

func valuesOf(j *pipeline.Job, run string, started time.Time) Values {
	loc, err := time.LoadLocation(j.TimeZone)
	if err != nil {
		loc = time.UTC // Load has refused such a job
	}
	return Values{JobID: j.ID, JobName: j.Name, RunID: run, Date: started.In(loc)}
}

func resolvePath(path string, v Values, lookup func(string) (string, bool), goos string) (string, error) {
	if path == "" {
		return "", nil
	}
	s, err := Expand(path, lookup)
	if err != nil {
		return "", err
	}
	if s, err = resolve(s, v, goos); err != nil {
		return "", err
	}
	if goos != runtime.GOOS {
		return s, nil // another system's rules: the path means nothing here
	}
	if s, err = filepath.Abs(s); err != nil {
		return "", fmt.Errorf("resolve path %q: %w", path, err)
	}
	return s, nil
}
