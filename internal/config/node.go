package config

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// nodeKind is the kind of a value in a job file, the same in JSON and YAML.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	listNode
	objectNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// position is a place in a file, from 1, columns in characters.
type position struct {
	file         string // "" is the job file
	line, column int
}

// node is a value of a job file, or of an inventory, and where it stands.
type node struct {
	position
	kind    nodeKind
	text    string // of a scalar, as written: 007 stays 007
	json    string // of a number, as JSON has it
	items   []*node
	members []member
}

// member is one key of an object.
type member struct {
	position
	name  string
	value *node
}

// appendJSON appends the value as JSON, keys in the order of the file.
func (n *node) appendJSON(dst []byte) []byte {
	switch n.kind {
	case boolNode:
		return append(dst, n.text...)
	case numberNode:
		return append(dst, n.json...)
	case stringNode:
		return appendString(dst, n.text)
	case listNode:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.appendJSON(dst)
		}
		return append(dst, ']')
	case objectNode:
		return appendMembers(dst, n.members)
	default:
		return append(dst, "null"...)
	}
}

func appendMembers(dst []byte, members []member) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, m.name), ':')
		dst = m.value.appendJSON(dst)
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string cannot fail
	return append(dst, b...)
}

// placeOf is the position of a byte.
func placeOf(data []byte, offset int) position {
	before := data[:min(max(offset, 0), len(data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return position{line: line, column: 1 + utf8.RuneCount(before[start:])}
}
