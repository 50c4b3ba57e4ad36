package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// Bounds are what a job may reach that somebody brings along in a message: its text comes from whoever may publish,
// and is carried out by this process, with this process's rights. What is not named here it does not reach: no
// variable and no secret's file, no inventory, no other folder, no other server.
type Bounds struct {
	root    string // of its artifacts; real and absolute
	folders []string
	hosts   []hostPattern
}

// NewBounds makes bounds. Artifacts are written below root, SQLite files read below folders, and databases reached on
// hosts: each a name, *.example.org for what is below one, an address, 10.1.0.0/16 for a network, or * for any; each
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

// database reports why a SQLite file is none that such a job may read.
func (b *Bounds) database(path string) error {
	if strings.HasPrefix(path, "file:") || strings.ContainsAny(path, "\x00") || path == ":memory:" {
		return errors.New("a job that is brought along names its SQLite file by its path alone")
	}
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

// boundOptions are what a connection may say beyond its address, by scheme. What is not here may name files of this
// machine, other servers, or other accounts.
var boundOptions = map[string][]string{
	"postgres":  {"sslmode", "application_name", "connect_timeout", "search_path", "statement_timeout", "client_encoding"},
	"mysql":     {"tls", "charset", "collation", "timeout", "time_zone", "tinyInt1isBit", "tlsmin"},
	"sqlserver": {"encrypt", "trustServerCertificate", "hostNameInCertificate", "tlsmin", "app name", "packet size", "connection timeout", "dial timeout"},
}

// bound checks the address of a connection, which is in parts: a DSN has too many ways to say where it leads.
func (d *decoder) bound(p place, c *pipeline.Connection, a *partsDraft) {
	b := d.o.Bounds
	if d.has(p, "dsn") {
		d.errorf(p.key("dsn"), "a job that is brought along gives its connections as server, port, database, user, password and options, or, for SQLite, database")
		c.DSN = ""
		return
	}
	if c.Driver == "sqlite" {
		if err := b.database(a.Database); err != nil && a.Database != "" {
			d.errorf(p.key("database"), "%s", err)
			c.DSN = ""
		}
		return
	}
	allowed, ok := boundOptions[scheme(c.Driver)]
	if !ok || a.Server == "" {
		if c.DSN != "" {
			d.errorf(p.key("server"), `is missing; add "server": "10.0.0.5"`)
		}
		c.DSN = ""
		return
	}
	for _, o := range a.Options {
		if !slices.ContainsFunc(allowed, func(name string) bool { return strings.EqualFold(name, o.name) }) {
			d.errorf(p.key("options")+"."+o.name, "is no option that a job that is brought along may have; it may have %s", strings.Join(allowed, ", "))
			c.DSN = ""
		}
	}
	if a.User == "" || a.Password == "" { // else those of this process's account would do
		d.errorf(p.key("user"), "a job that is brought along gives each connection a user and a password")
		c.DSN = ""
	}
	if err := b.host(scheme(c.Driver), a); err != nil {
		d.errorf(p.key("server"), "%s", err)
		c.DSN = ""
	}
	if c.DSN != "" && scheme(c.Driver) == "postgres" { // what its library would take from the account's own folder otherwise
		own := *a
		own.Options = append(slices.Clone(a.Options), option{"sslcert", ""}, option{"sslkey", ""}, option{"passfile", ""})
		c.DSN = own.url(c.Driver)
	}
}

// boundQueries lets SQLite do nothing but read its own file: it could attach others, and copy into them.
func (d *decoder) boundQueries() {
	for i := range d.out.Connections {
		c := &d.out.Connections[i]
		if d.o.Bounds == nil || c.Driver != "sqlite" {
			continue
		}
		for _, q := range c.Queries {
			if !slices.Contains([]string{"select", "with", "values"}, firstWord(q.SQL)) {
				d.errorf(connectionPath(i), "its query begins with neither select, with nor values, which a job that is brought along needs for SQLite")
			}
		}
	}
}

// firstWord is what a statement begins with, in lower case, after blanks and comments; "" if that is no word.
func firstWord(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f\ufeff")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		default:
			end := strings.IndexFunc(sql, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' })
			if end < 0 {
				end = len(sql)
			}
			return strings.ToLower(sql[:end])
		}
	}
}
