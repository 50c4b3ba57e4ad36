package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// branchList is an inventory as it stands in its file: a CSV with a header line, or a list of objects in YAML or JSON.
type branchList struct {
	columns []string // as written, in the order of first appearance
	rows    []branch
}

// branch is one line of an inventory. Column names are told apart without case.
type branch struct {
	position
	cells map[string]*node // by column in lower case; empty ones are absent
}

// has reports whether some branch may have the column.
func (l *branchList) has(column string) bool {
	return slices.ContainsFunc(l.columns, func(c string) bool { return strings.EqualFold(c, column) })
}

// readBranches reads an inventory; its format is that of its name: .yaml, .yml and .json, else CSV. name is the file
// in problems.
func readBranches(name string, data []byte) (*branchList, Problems) {
	var list *branchList
	var problems Problems
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json":
		list, problems = readBranchTree(name, data)
	default:
		list, problems = readBranchCSV(name, data)
	}
	if len(problems) == 0 && len(list.rows) == 0 {
		problems = Problems{{File: name, Line: 1, Column: 1, Text: "has no branches; add one in each line"}}
	}
	return list, problems
}

// readBranchTree reads a list of objects.
func readBranchTree(name string, data []byte) (*branchList, Problems) {
	root, problem := parseTree(name, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	bad := func(at position, text string) Problem {
		return Problem{File: name, Line: at.line, Column: at.column, Text: text}
	}
	if root.kind != listNode {
		return nil, Problems{bad(root.position, fmt.Sprintf("must be a list of branches, such as - {id: conn_1, server: 10.0.0.5}, not %s", root.kind))}
	}
	root.in(name)
	list := &branchList{}
	var problems Problems
	for _, item := range root.items {
		if item.kind != objectNode {
			problems = append(problems, bad(item.position, fmt.Sprintf("must be an object, such as {id: conn_1, server: 10.0.0.5}, not %s", item.kind)))
			continue
		}
		b := branch{item.position, map[string]*node{}}
		for _, m := range item.members {
			key := strings.ToLower(m.name)
			switch {
			case b.cells[key] != nil:
				problems = append(problems, bad(m.position, fmt.Sprintf("%s is here twice; remove one", m.name)))
			case (m.value.kind == listNode || m.value.kind == objectNode) && !slices.Contains(connectionKeys, key):
				problems = append(problems, bad(m.value.position, fmt.Sprintf("%s must be a text or a number, not %s", m.name, m.value.kind)))
			case m.value.kind != nullNode && (m.value.kind != stringNode || strings.TrimSpace(m.value.text) != ""):
				b.cells[key] = m.value
			}
			if !list.has(m.name) {
				list.columns = append(list.columns, m.name)
			}
		}
		list.rows = append(list.rows, b)
	}
	return list, problems
}

// in says which file a tree comes from.
func (n *node) in(file string) {
	n.file = file
	for _, item := range n.items {
		item.in(file)
	}
	for i := range n.members {
		n.members[i].file = file
		n.members[i].value.in(file)
	}
}

// readBranchCSV reads a header line and a line for each branch [RFC 4180], with commas, semicolons or tabs between
// the cells, as the header has them, or what a first line sep=; says, which Excel understands. Empty lines do not
// count. Blanks around a cell do not count, but for a password.
func readBranchCSV(name string, data []byte) (*branchList, Problems) {
	text, p := decodeText(name, data)
	if p != nil {
		return nil, Problems{*p}
	}
	text = unixLines(text)
	lines := bytes.Split(text, []byte("\n"))
	skipped, comma := preamble(lines)
	r := csv.NewReader(bytes.NewReader(bytes.Join(lines[skipped:], []byte("\n"))))
	r.Comma, r.FieldsPerRecord = comma, -1
	at := func(i int) position {
		line, column := r.FieldPos(i)
		line += skipped
		before := lines[min(line, len(lines))-1]
		return position{name, line, 1 + utf8.RuneCount(before[:min(column-1, len(before))])}
	}
	bad := func(at position, format string, args ...any) Problem {
		return Problem{File: name, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)}
	}
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, Problems{bad(position{line: 1, column: 1}, "is empty; it needs a header line such as id,name,server")}
	}
	list := &branchList{}
	var problems Problems
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
		if header[i] != "" && list.has(header[i]) {
			problems = append(problems, bad(at(i), "there are two columns %q; rename one", header[i]))
		}
		list.columns = append(list.columns, header[i])
	}
	for err == nil {
		var cells []string
		if cells, err = r.Read(); err != nil {
			break
		}
		if len(cells) != len(header) {
			problems = append(problems, bad(at(0), "has %d cells, the header has %d; put a cell that has the separator or a quote in it between quotes", len(cells), len(header)))
			continue
		}
		b := branch{at(0), map[string]*node{}}
		for i, cell := range cells {
			key := strings.ToLower(header[i])
			if key != "password" {
				cell = strings.TrimSpace(cell)
			}
			if cell != "" && key != "" {
				b.cells[key] = &node{position: at(i), kind: stringNode, text: cell}
			}
		}
		if len(b.cells) > 0 { // a line of separators alone is what spreadsheets leave
			list.rows = append(list.rows, b)
		}
	}
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		problems = append(problems, bad(position{line: skipped + syntax.Line, column: max(syntax.Column, 1)}, "is not CSV: %s", syntax.Err))
	}
	list.columns = slices.DeleteFunc(list.columns, func(c string) bool { return c == "" })
	return list, problems
}

// preamble is how many lines stand before the header, and what is between its cells.
func preamble(lines [][]byte) (skipped int, comma rune) {
	for ; skipped < len(lines); skipped++ {
		line := bytes.TrimSuffix(lines[skipped], []byte("\r"))
		if c, ok := separatorLine(line); ok && comma == 0 {
			comma = c
		} else if len(bytes.Trim(bytes.TrimSpace(line), "\",; \t")) > 0 {
			break
		}
	}
	if comma == 0 && skipped < len(lines) {
		comma = separator(lines[skipped])
	}
	if comma == 0 {
		comma = ','
	}
	return skipped, comma
}

// separatorLine reads a line sep=; that says what is between the cells. Between the quotes that a program put around
// it, and with the separators that a spreadsheet put behind it, it is one, too.
func separatorLine(line []byte) (rune, bool) {
	text := string(bytes.Trim(line, `"`))
	if len(text) < len("sep=;") || !strings.EqualFold(text[:4], "sep=") {
		return 0, false
	}
	c, n := utf8.DecodeRuneInString(text[4:])
	rest := strings.Trim(text[4+n:], `",; `+"\t")
	return c, rest == "" && c != '"' && c != utf8.RuneError
}

// separator is what the header has most of, outside quotes.
func separator(header []byte) rune {
	count := map[byte]int{}
	quoted := false
	for _, c := range header {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			count[c]++
		}
	}
	best, most := ',', 0
	for _, c := range ",;\t" {
		if n := count[byte(c)]; n > most {
			best, most = c, n
		}
	}
	return best
}
