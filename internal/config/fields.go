package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// decoder turns the tree of a job file into a Job and collects what is wrong on the way. It never stops at a problem.
type decoder struct {
	o         *Options
	file      string
	dir       string                       // where relative paths begin
	expand    func(string) (string, error) // replaces references
	out       pipeline.Job
	checkable []pipeline.Destination // the destinations without what is known to be wrong
	asked     []place                // the connections, as read
	scheduled []string               // the paths of the schedules, as read
	inputs    []string               // files read beside the job file
	// inventoryText is the inventory, where the job has one: as it was given, else as it was read.
	inventoryText *Inventory
	branches      *branchList
	secretColumns map[string]bool // of branches: those that end in a password, in lower case
	problems      Problems
	pos           map[string]position // of every value by its path
	slips         map[string]bool     // keys that another one was taken for: not missing, only misspelt
}

// place is a value and its path in the file.
type place struct {
	path string
	n    *node
}

func (p place) key(name string) string {
	if p.path == "" {
		return name
	}
	return p.path + "." + name
}

func (d *decoder) report(at position, path string, warning bool, text string) {
	d.problems = append(d.problems, Problem{File: cmp.Or(at.file, d.file), Line: max(at.line, 1), Column: max(at.column, 1), Path: path, Text: text, Warning: warning})
}

// errorf reports what is wrong with the value at path, or with the nearest value around it that the file has.
func (d *decoder) errorf(path, format string, args ...any) {
	d.report(d.nearest(path), path, false, fmt.Sprintf(format, args...))
}

func (d *decoder) warnf(path, format string, args ...any) {
	d.report(d.nearest(path), path, true, fmt.Sprintf(format, args...))
}

// errorCount counts what was found wrong so far.
func (d *decoder) errorCount() (n int) {
	for _, p := range d.problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

func (d *decoder) nearest(path string) position {
	for {
		if at, ok := d.pos[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// field is a key that an object may have.
type field struct {
	name string
	read func(place)
}

// object reads the keys of an object. Unknown keys are left to the caller's own set, if there is one, else reported:
// an error where one is close to a known key that the object lacks (a slip changes what the job does), else a warning
// (files made for other tools carry keys of theirs).
func (d *decoder) object(p place, own []string, fields ...field) (rest []member, ok bool) {
	d.pos[p.path] = p.n.position
	if p.n.kind != objectNode {
		d.errorf(p.path, "must be an object with %s, not %s", keyList(fields), p.n.kind)
		return nil, false
	}
	seen := map[string]position{}
	known := slices.Clone(own)
	for _, f := range fields {
		known = append(known, f.name)
	}
	for _, m := range p.n.members {
		path := p.key(m.name)
		if first, twice := seen[m.name]; twice {
			d.report(m.position, path, false, fmt.Sprintf("is here twice, first in line %d; remove one", first.line))
			continue
		}
		seen[m.name] = m.position
		d.pos[path] = m.value.position
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == m.name }); i >= 0 {
			fields[i].read(place{path, m.value})
			continue
		}
		rest = append(rest, m)
		if slices.Contains(own, m.name) {
			continue
		}
		if like := Closest(m.name, known); like != "" && p.n.member(like) != nil {
			d.report(m.position, path, false, fmt.Sprintf("is not a key fanmill knows here, and so close to %q, which is here too, that one may be meant for the other; remove it, or give it another name", like))
		} else if like != "" {
			d.report(m.position, path, false, fmt.Sprintf("is not a key fanmill knows here; did you mean %q?", like))
			d.slips[p.key(like)] = true
		} else if m.value.kind == nullNode && strings.Contains(m.name, " ") { // {sql: select a, b from sale}: the comma ended the text
			d.report(m.position, path, false, "stands after a comma and has no value; a text with commas within { } needs quotes around it")
		} else {
			d.report(m.position, path, true, "is not a key fanmill knows here; it is ignored")
		}
	}
	return rest, true
}

func keyList(fields []field) string {
	var names []string
	for _, f := range fields {
		if !strings.HasPrefix(f.name, "$") {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// entries reads an object whose keys are the user's own.
func (d *decoder) entries(p place, read func(p place, name string)) {
	d.pos[p.path] = p.n.position
	seen := map[string]position{}
	for _, m := range p.n.members {
		path := p.key(m.name)
		if first, twice := seen[m.name]; twice {
			d.report(m.position, path, false, fmt.Sprintf("is here twice, first in line %d; remove one", first.line))
			continue
		}
		seen[m.name] = m.position
		d.pos[path] = m.value.position
		read(place{path, m.value}, m.name)
	}
}

// list reads the items of a list that must have at least one.
func (d *decoder) list(p place, what string, read func(place)) {
	d.pos[p.path] = p.n.position
	if p.n.kind != listNode {
		d.errorf(p.path, "must be a list of %s, not %s", what, p.n.kind)
		return
	}
	if len(p.n.items) == 0 {
		d.errorf(p.path, "is empty; name at least one of its %s", what)
	}
	for i, item := range p.n.items {
		path := p.path + "[" + strconv.Itoa(i) + "]"
		d.pos[path] = item.position
		read(place{path, item})
	}
}

// text reads a text that is not empty. A number stands for the text it was written as: 007 is "007".
func (d *decoder) text(p place, dst *string) {
	switch {
	case p.n.kind != stringNode && p.n.kind != numberNode:
		d.errorf(p.path, "must be a text, not %s", p.n.kind)
	case strings.TrimSpace(p.n.text) == "":
		d.errorf(p.path, "is empty; write its value or remove the key")
	default:
		*dst = p.n.text
	}
}

// textField is a key whose value is a text.
func (d *decoder) textField(name string, dst *string) field {
	return field{name, func(p place) { d.text(p, dst) }}
}

// choiceField is a key whose value is one of a few words.
func (d *decoder) choiceField(name string, dst *string, words []string) field {
	return field{name, func(p place) {
		switch {
		case p.n.kind != stringNode:
			d.errorf(p.path, "must be %s, not %s", alternatives(words), p.n.kind)
		case !slices.Contains(words, p.n.text):
			d.errorf(p.path, "%s", notAllowed(p.n.text, words))
		default:
			*dst = p.n.text
		}
	}}
}

// boolField is a key whose value is true or false.
func (d *decoder) boolField(name string, dst *bool) field {
	return field{name, func(p place) {
		if p.n.kind != boolNode {
			d.errorf(p.path, "must be true or false, not %s", p.n.kind)
			return
		}
		*dst = p.n.text == "true"
	}}
}

// count reads a whole number between low and high.
func (d *decoder) count(p place, low, high int, dst *int) {
	v, err := strconv.Atoi(p.n.text)
	if p.n.kind != numberNode || err != nil || v < low || v > high {
		d.errorf(p.path, "must be a whole number from %d to %d", low, high)
		return
	}
	*dst = v
}

// unknown says that a name is not one of a set, and which one was likely meant.
func unknown(name, what string, set []string) string {
	if like := Closest(name, set); like != "" {
		return fmt.Sprintf("%q is not a %s fanmill knows; did you mean %q?", name, what, like)
	}
	if len(set) == 0 {
		return fmt.Sprintf("%q is not a %s fanmill knows", name, what)
	}
	slices.Sort(set)
	return fmt.Sprintf("%q is not a %s fanmill knows; it knows %s", name, what, strings.Join(set, ", "))
}

// Closest is the one of a set that a name is a slip of: the same but for case and separators, or a few keystrokes away;
// "" if there is none. The earliest of the nearest wins.
func Closest(name string, set []string) string {
	flat := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	best, found := 1<<30, ""
	for _, s := range set {
		a, b := flat(name), flat(s)
		allowed := min(2, min(len(a), len(b))/3)
		if dist := distance(a, b); dist <= allowed && dist < best {
			best, found = dist, s
		}
	}
	return found
}

// distance counts the keystrokes between two words: insert, delete, replace, swap two neighbours (optimal string
// alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(s); i++ {
		older, prev, cur := rows[0], rows[1], rows[2]
		cur[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				cur[j] = min(cur[j], older[j-2]+1)
			}
		}
		rows = [3][]int{prev, cur, older}
	}
	return rows[1][len(t)]
}
