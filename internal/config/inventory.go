package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// inventory is a job's connections as a list of branches in another file, and what they share.
type inventory struct {
	place
	list      *branchList
	shared    map[string]*node // keys of a connection, by name; their texts are templates
	mentioned map[string]bool  // columns in those, in lower case
	wrapped   map[string]bool  // keys whose own column is in their template: server: "{server}.local"
	secret    map[string]bool  // columns that end in a password, in lower case
	overrides map[string]*node // objects, by the id of a connection
}

// inventory reads connections: {file: ..., select: ..., overrides: ..., driver: ..., dsn: ...}. Every branch becomes
// an object such as a list of connections has, and is read as one: from the overrides, else from the columns that
// have the name of a key, else from what the job gives for all.
func (d *decoder) inventory(p place) {
	inv := &inventory{place: p, shared: map[string]*node{}, mentioned: map[string]bool{}, wrapped: map[string]bool{}, secret: map[string]bool{}, overrides: map[string]*node{}}
	var file, selection string
	rest, _ := d.object(p, connectionKeys,
		d.textField("file", &file),
		d.textField("select", &selection),
		field{"overrides", func(p place) { d.overrides(p, inv) }},
	)
	d.need(p, "file", `"branches.csv"`)
	for _, m := range rest {
		if slices.Contains(connectionKeys, m.name) {
			inv.shared[m.name] = m.value
		}
	}
	if file == "" || !d.readInventory(inv, file) {
		return
	}
	d.templates(inv)
	conditions, ok := d.conditions(inv, selection)
	if !ok {
		return // of the branches that were not meant nothing need be right
	}
	selected := 0
	known := map[string]bool{}
	for _, b := range inv.list.rows {
		id := inv.id(b)
		known[id] = true
		over := inv.overrides[id]
		b = b.with(over)
		if !slices.ContainsFunc(conditions, func(c condition) bool { return !c.holds(b.text(c.column)) }) {
			selected++
			d.branch(inv, b, over)
		}
	}
	if selected == 0 && len(inv.list.rows) > 0 {
		d.errorf(p.key("select"), "selects none of the %d branches%s", len(inv.list.rows), inv.values(conditions))
	}
	for id := range inv.overrides {
		if known[id] {
			continue
		}
		ids := make([]string, 0, len(known))
		for k := range known {
			ids = append(ids, k)
		}
		slices.Sort(ids)
		if like := Closest(id, ids); like != "" {
			d.errorf(p.key("overrides")+"."+id, "no branch has this id; did you mean %q?", like)
		} else {
			d.errorf(p.key("overrides")+"."+id, "no branch of %s has this id; correct it, or remove it", file)
		}
	}
}

func (d *decoder) overrides(p place, inv *inventory) {
	if p.n.kind != objectNode {
		d.errorf(p.path, `must be an object such as {"conn_7": {"port": 1444}}, not %s`, p.n.kind)
		return
	}
	d.entries(p, func(p place, id string) {
		if p.n.kind != objectNode {
			d.errorf(p.path, `must be an object such as {"port": 1444}, not %s`, p.n.kind)
			return
		}
		inv.overrides[id] = p.n
		d.entries(p, func(p place, key string) {
			if key == "id" {
				d.errorf(p.path, "an override cannot change the id; change it in the inventory")
			}
		})
	})
}

// readInventory reads the file, or takes the one that came with the job; a relative path begins in the folder of the
// job file.
func (d *decoder) readInventory(inv *inventory, file string) bool {
	at := inv.key("file")
	if d.inventoryText != nil {
		return d.inventoryOf(inv, file)
	}
	if d.o.Elsewhere && strings.Contains(file, "${") {
		d.errorf(at, "has a reference, and a job of the store takes its inventory along, which is read now; write the path itself")
		return false
	}
	path, err := d.expand(file)
	if err != nil {
		for _, e := range split(err) {
			d.errorf(at, "%s", e)
		}
		return false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	d.inputs = append(d.inputs, path)
	data, err := readSmall(path)
	if err != nil {
		d.errorf(at, "the inventory %s cannot be read: %s; correct the path, which begins in the folder of the job file", path, cause(err))
		return false
	}
	if d.o.Elsewhere {
		d.inventoryText = &Inventory{File: file, Text: data}
	}
	return d.readList(inv, path, data)
}

// readList reads the branches of an inventory. name is the file in problems.
func (d *decoder) readList(inv *inventory, name string, data []byte) bool {
	list, problems := readBranches(name, data)
	d.problems = append(d.problems, problems...)
	inv.list, d.branches, d.secretColumns = list, list, inv.secret
	return list != nil
}

// conditions reads the selection and checks that the inventory has its columns.
func (d *decoder) conditions(inv *inventory, selection string) (_ []condition, ok bool) {
	if selection == "" {
		return nil, true
	}
	at := inv.key("select")
	conditions, err := parseSelection(selection)
	if err != nil {
		d.errorf(at, "%s", err)
		return nil, false
	}
	ok = true
	for _, c := range conditions {
		if !inv.list.has(c.column) {
			d.errorf(at, "%q is not a column of the inventory; %s", c.column, inv.likely("%q", c.column))
			ok = false
		}
	}
	return conditions, ok
}

// likely is the column that was meant, or all there are.
func (inv *inventory) likely(form, column string) string {
	if like := Closest(column, inv.list.columns); like != "" {
		return fmt.Sprintf("did you mean "+form+"?", like)
	}
	return "it has " + strings.Join(inv.list.columns, ", ")
}

// values lists what there is in the columns of a selection that selects nothing.
func (inv *inventory) values(conditions []condition) string {
	const few = 12
	var b strings.Builder
	for _, c := range conditions {
		var seen []string
		for _, row := range inv.list.rows {
			if v := row.text(c.column); v != "" && !slices.Contains(seen, v) && len(seen) <= few {
				seen = append(seen, v)
			}
		}
		if len(seen) > 0 && len(seen) <= few && !inv.secret[strings.ToLower(c.column)] && !secretWord.MatchString(c.column) {
			fmt.Fprintf(&b, "; %s has %s", c.column, strings.Join(seen, ", "))
		}
	}
	return b.String()
}

// id is what a branch is called, before overrides.
func (inv *inventory) id(b branch) string {
	if !inv.wrapped["id"] && b.text("id") != "" {
		return b.text("id")
	}
	if n := inv.shared["id"]; n != nil {
		id, _ := fillTemplate(n.text, b.text)
		return id
	}
	return b.text("id")
}

// text is a cell's text; "" if it is empty.
func (b branch) text(column string) string {
	if n := b.cells[strings.ToLower(column)]; n != nil {
		return n.text
	}
	return ""
}

// with is the branch with what an override says in place of its cells.
func (b branch) with(over *node) branch {
	if over == nil {
		return b
	}
	cells := make(map[string]*node, len(b.cells)+len(over.members))
	for column, n := range b.cells {
		cells[column] = n
	}
	for _, m := range over.members {
		cells[strings.ToLower(m.name)] = m.value
	}
	return branch{b.position, cells}
}

// branch makes a branch's object and reads it.
func (d *decoder) branch(inv *inventory, b branch, over *node) {
	p := place{connectionPath(len(d.out.Connections)), &node{position: b.position, kind: objectNode}}
	d.pos[p.path] = b.position
	add := func(key string, n *node) { p.n.members = append(p.n.members, member{n.position, key, n}) }
	own := func(key string) bool { // the branch itself has it, as a key of the connection
		if inv.wrapped[key] || b.cells[key] == nil {
			return false
		}
		if slices.Contains(partKeys, key) && (inv.shared["dsn"] != nil || b.cells["dsn"] != nil) {
			// Beside an address in one piece, columns that are called as its parts only fill its template. An
			// override must have an effect: one that does not fill it, either, is found to be one address too many.
			return over != nil && over.member(key) != nil && !inv.mentioned[key]
		}
		return true
	}
	ownDSN, ownQuery := own("dsn"), own("query") || own("queries")
	for _, key := range connectionKeys {
		shared := inv.shared[key]
		switch {
		case own(key):
			add(key, b.cells[key])
		case shared == nil, ownDSN && slices.Contains(partKeys, key), ownQuery && isQuery(key):
		case isQuery(key):
			add(key, shared)
		default:
			if n := d.fill(p.key(key), shared, b); n != nil {
				add(key, n)
			}
		}
		if d.slips[inv.key(key)] {
			d.slips[p.key(key)] = true
		}
	}
	if over != nil {
		for _, m := range over.members {
			if !slices.Contains(connectionKeys, m.name) && !inv.list.has(m.name) {
				p.n.members = append(p.n.members, m) // of nobody: reported as any unknown key
			}
		}
	}
	d.connection(p)
	d.out.Connections[len(d.out.Connections)-1].Labels = inv.labels(b)
}
