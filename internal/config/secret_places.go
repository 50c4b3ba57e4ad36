package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// secrets reports whatever looks like a secret in a job that goes to the store: in values, queries, comments, and in
// the inventory. The secret itself is in no message.
func (d *decoder) secrets(root *node, text []byte) {
	d.secretsIn(place{"", root}, "", "", false)
	d.secretComments(d.file, text)
	if d.branches != nil {
		d.secretBranches()
		d.secretComments(d.branchesFile(), d.inventoryText.Text)
	}
	for i := range d.out.Connections {
		c, path := &d.out.Connections[i], connectionPath(i)
		if pipeline.LiteralPassword(c.DSN, d.o.Databases) && !d.secretFoundOf(path, c.ID) {
			d.secret(d.nearest(path+".dsn"), path, c.ID, "password")
		}
	}
}

// secretsIn looks at a value and all within it. key is the key that it stands under, owner the id of what it belongs
// to.
func (d *decoder) secretsIn(p place, key, owner string, sql bool) {
	if id := p.n.member("id"); id != nil {
		owner = id.text
	}
	for _, m := range p.n.members {
		d.secretsIn(place{p.key(m.name), m.value}, m.name, owner, sql || isQuery(m.name) || m.name == "sql")
	}
	for i, item := range p.n.items {
		d.secretsIn(place{fmt.Sprintf("%s[%d]", p.path, i), item}, key, owner, sql)
	}
	if p.n.kind != stringNode && p.n.kind != numberNode {
		return
	}
	switch {
	case sql && secretStatement(p.n.text):
		d.report(p.n.position, p.path, false, "has what looks like a password in it, and a query has no variables: keep the login on the server (a linked server, a foreign server's user mapping), or bind the value as a param")
	case !sql && strings.HasPrefix(p.path, "params.") && (secretUnder(key, p.n.text) || SecretText(p.n.text)):
		d.report(p.n.position, p.path, false, "looks like a secret, and params are stored and shown: leave its value to who asks for the run, with a value that is none here")
	case !sql && (secretUnder(key, p.n.text) || SecretText(p.n.text)):
		d.secret(p.n.position, p.path, owner, key)
	}
}

// secret reports one, unless the table of its options has done so.
func (d *decoder) secret(at position, path, owner, key string) {
	for _, p := range d.problems {
		if !p.Warning && p.Path == path && (p.Text == literalText || strings.HasPrefix(p.Text, secretFound)) {
			return
		}
	}
	if key == "dsn" {
		key = "password"
	}
	name := envName(strings.Trim(owner+"_"+key, "_"))
	d.report(at, path, false, fmt.Sprintf(`%s: write "${%s}" in its place, and set %[2]s in the environment of whoever runs the job, or in the .env file of the folder --env-dir`, secretFound, name))
}

// secretFoundOf reports whether the secret in a connection's address was found where it stands.
func (d *decoder) secretFoundOf(path, id string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool {
		return strings.HasPrefix(p.Text, secretFound) && (strings.HasPrefix(p.Path, path+".") || strings.HasPrefix(p.Path, "connections.") || strings.HasSuffix(p.Path, " of "+id))
	})
}

// secretFound begins what is said of a secret.
const secretFound = "looks like a secret, and the store holds none"

// secretBranches looks at the cells of an inventory.
func (d *decoder) secretBranches() {
	for _, b := range d.branches.rows {
		owner := b.text("id")
		for _, column := range d.branches.columns {
			n := b.cells[strings.ToLower(column)]
			if n == nil || n.kind != stringNode && n.kind != numberNode {
				continue
			}
			if isQuery(strings.ToLower(column)) {
				if secretStatement(n.text) {
					d.report(n.position, "", false, fmt.Sprintf("column %s: the query has what looks like a password in it", column))
				}
				continue
			}
			named := d.secretColumns[strings.ToLower(column)] && !strings.Contains(n.text, "${")
			if named || secretUnder(column, n.text) || SecretText(n.text) || pipeline.LiteralPassword(n.text, d.o.Databases) {
				d.secret(n.position, fmt.Sprintf("%s of %s", column, owner), owner, column)
			}
		}
	}
}

// branchesFile names the inventory in problems.
func (d *decoder) branchesFile() string {
	if at := slices.IndexFunc(d.branches.rows, func(b branch) bool { return b.file != "" }); at >= 0 {
		return d.branches.rows[at].file
	}
	return d.inventoryText.File
}

// secretComments looks at the comments of YAML and CSV, which go to the store with the rest.
func (d *decoder) secretComments(file string, data []byte) {
	text, problem := decodeText(file, data)
	if problem != nil {
		return // reported
	}
	line := 0
	for l := range bytes.Lines(unixLines(text)) {
		line++
		at := bytes.IndexByte(l, '#')
		if at < 0 || at > 0 && l[at-1] != ' ' && l[at-1] != '\t' {
			continue
		}
		if comment := string(l[at:]); SecretText(comment) || secretStatement(comment) {
			d.report(position{file: file, line: line, column: at + 1}, "", false, "the comment has what looks like a secret in it: remove it")
		}
	}
}
