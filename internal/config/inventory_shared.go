package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// templates looks at what all branches share: which columns it mentions, and whether there are such.
func (d *decoder) templates(inv *inventory) {
	for _, key := range connectionKeys {
		if n := inv.shared[key]; n != nil && !isQuery(key) {
			d.template(inv, inv.key(key), n)
			inv.wrapped[key] = mentions(n.text, key)
		}
	}
	for column := range inv.mentioned {
		inv.secret[column] = inv.secret[column] || d.isSecret(inv, column)
	}
	for _, c := range inv.list.columns { // a slip in a column's name would make a label of it
		like := Closest(c, connectionKeys)
		if like != "" && !strings.EqualFold(like, c) && inv.shared[like] == nil && !inv.list.has(like) && !inv.mentioned[strings.ToLower(c)] {
			d.warnf(inv.key("file"), "its column %q is a label; did you mean %q?", c, like)
		}
	}
	for _, key := range []string{"id", "driver"} {
		if inv.shared[key] == nil && !inv.list.has(key) && !d.slips[inv.key(key)] {
			d.errorf(inv.key("file"), `has no column %q; add one, or give %[1]q here for all branches, such as "{code}"`, key)
			d.slips[inv.key(key)] = true
		}
	}
}

// template collects the columns of a value. A query is never a template: values reach it as parameters.
func (d *decoder) template(inv *inventory, path string, n *node) {
	for _, m := range n.members {
		d.pos[path+"."+m.name] = m.value.position
		d.template(inv, path+"."+m.name, m.value)
	}
	if n.kind != stringNode {
		return
	}
	names, err := templateColumns(n.text)
	if err != nil {
		d.errorf(path, "%s", err)
		n.kind, n.text = nullNode, "" // nothing more is said of it
	}
	for _, name := range names {
		inv.mentioned[strings.ToLower(name)] = true
		if !inv.list.has(name) {
			d.errorf(path, "{%s} is not a column of the inventory; %s", name, inv.likely("{%s}", name))
		}
	}
}

func isQuery(key string) bool { return key == "query" || key == "queries" }

var secretWord = regexp.MustCompile(`(?i)passw|pwd|secret|token|^pw|pw$`)

// mentions reports whether a template has the column.
func mentions(template, column string) bool {
	names, _ := templateColumns(template)
	return slices.ContainsFunc(names, func(c string) bool { return strings.EqualFold(c, column) })
}

// isSecret reports whether the templates have a column where a password stands, outside the name of a variable.
func (d *decoder) isSecret(inv *inventory, column string) bool {
	const cell = "\x01" // in no text of a person's
	literal := func(key, text string) bool {
		out, _ := fillTemplate(text, func(c string) string {
			if strings.EqualFold(c, column) {
				return cell
			}
			return "${_}"
		})
		if key == "password" || secretWord.MatchString(key) {
			return strings.Contains(anyReference.ReplaceAllString(out, ""), cell)
		}
		return pipeline.LiteralPassword(out, d.o.Databases)
	}
	for key, n := range inv.shared {
		if n.kind == stringNode && mentions(n.text, column) && literal(key, n.text) {
			return true
		}
		for _, m := range n.members {
			if m.value.kind == stringNode && mentions(m.value.text, column) && literal(m.name, m.value.text) {
				return true
			}
		}
	}
	return false
}

// fill is a shared value with the branch's cells in its templates; nil if nothing is left of it.
func (d *decoder) fill(path string, n *node, b branch) *node {
	switch n.kind {
	case nullNode:
		d.slips[path] = true // reported where all share it
		return nil
	case objectNode:
		out := &node{position: n.position, kind: objectNode}
		for _, m := range n.members {
			if v := d.fill(path+"."+m.name, m.value, b); v != nil {
				out.members = append(out.members, member{m.position, m.name, v})
			}
		}
		return out
	case stringNode:
		names, _ := templateColumns(n.text)
		text, empty := fillTemplate(n.text, b.text)
		if empty != "" {
			d.report(b.position, path, false, fmt.Sprintf("{%s} is empty in this line", empty))
		}
		switch {
		case text == "" && len(names) > 0:
			return nil
		case len(names) > 0:
			return &node{position: b.position, kind: stringNode, text: text}
		}
		return &node{position: n.position, kind: stringNode, text: text}
	}
	return n
}

// labels are the columns of a branch that are neither keys of a connection nor passwords.
func (inv *inventory) labels(b branch) map[string]string {
	labels := map[string]string{}
	for _, column := range inv.list.columns {
		key := strings.ToLower(column)
		if v := b.text(column); v != "" && !slices.Contains(connectionKeys, key) && !inv.secret[key] && !secretWord.MatchString(key) {
			labels[column] = v
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}
