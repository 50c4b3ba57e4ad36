package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxAliasNodes bounds what anchors may multiply a file to: a job of 10,000 connections that share everything is far below.
const maxAliasNodes = 1_000_000

// parseYAML reads a file as one YAML document. Anchors, aliases and merge keys work.
func parseYAML(file string, data []byte) (*node, *Problem) {
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p := &Problem{File: file, Line: 1, Column: 1, Text: "not valid YAML: " + err.Error()}
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			p.Text = "not valid YAML: " + syntax.GetMessage()
			if t := syntax.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
		}
		return nil, p
	}
	r := &yamlReader{anchors: map[string]*node{}}
	var root *node
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			at := placeOfNode(doc.Body)
			return nil, &Problem{File: file, Line: at.line, Column: at.column,
				Text: "not valid here: a second document begins; a file holds one job"}
		}
		if root, err = r.value(doc.Body); err != nil {
			var bad *yamlError
			errors.As(err, &bad)
			return nil, &Problem{File: file, Line: bad.at.line, Column: bad.at.column, Text: "not valid YAML: " + bad.text}
		}
	}
	if root == nil {
		return nil, &Problem{File: file, Line: 1, Column: 1, Text: "the file is empty; a job needs connections and destinations"}
	}
	return root, nil
}

type yamlError struct {
	at   position
	text string
}

func (e *yamlError) Error() string { return e.text }

// yamlReader turns the parser's tree into ours.
type yamlReader struct {
	anchors map[string]*node
	nodes   int
}

func placeOfNode(n ast.Node) position {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return placeOfNode(v.Values[0])
		}
	case *ast.MappingValueNode:
		return placeOfNode(v.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{line: max(t.Position.Line, 1), column: max(t.Position.Column, 1)}
	}
	return position{line: 1, column: 1}
}

func (r *yamlReader) value(n ast.Node) (*node, error) {
	out := &node{position: placeOfNode(n)}
	if r.nodes++; r.nodes > maxAliasNodes {
		return nil, &yamlError{out.position, "the file has more values than any job needs"}
	}
	switch v := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.text = boolNode, strconv.FormatBool(v.Value)
	case *ast.IntegerNode:
		out.kind, out.text, out.json = numberNode, v.Token.Value, fmt.Sprint(v.Value)
	case *ast.FloatNode:
		out.kind, out.text = numberNode, v.Token.Value
		if out.json = v.Token.Value; !json.Valid([]byte(out.json)) {
			out.json = strconv.FormatFloat(v.Value, 'g', -1, 64)
		}
	case *ast.InfinityNode, *ast.NanNode: // JSON, and so an option, has no such number
		out.kind, out.text = stringNode, n.GetToken().Value
	case *ast.StringNode:
		out.kind, out.text = stringNode, v.Value
	case *ast.LiteralNode:
		out.kind, out.text = stringNode, v.Value.Value
	case *ast.SequenceNode:
		out.kind = listNode
		for _, item := range v.Values {
			x, err := r.value(item)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, x)
		}
	case *ast.MappingNode:
		return r.mapping(out, v.Values)
	case *ast.MappingValueNode:
		return r.mapping(out, []*ast.MappingValueNode{v})
	case *ast.AnchorNode:
		x, err := r.value(v.Value)
		if err == nil {
			r.anchors[v.Name.GetToken().Value] = x
		}
		return x, err
	case *ast.AliasNode:
		name := v.Value.GetToken().Value
		x, ok := r.anchors[name]
		if !ok {
			return nil, &yamlError{out.position, fmt.Sprintf("*%s refers to nothing; write &%s before the value it stands for, above this line", name, name)}
		}
		if r.nodes += x.size(); r.nodes > maxAliasNodes {
			return nil, &yamlError{out.position, "the aliases multiply the file to more values than any job needs"}
		}
		again := *x
		again.position = out.position
		return &again, nil
	case *ast.TagNode:
		x, err := r.value(v.Value)
		if err == nil && v.GetToken().Value == "!!str" && x.kind < stringNode {
			x.kind = stringNode
		}
		return x, err
	default:
		return nil, &yamlError{out.position, fmt.Sprintf("a %s does not belong in a job", n.Type())}
	}
	return out, nil
}

// mapping reads the members of an object. What a merge key brings gives way to what the object says itself.
func (r *yamlReader) mapping(out *node, values []*ast.MappingValueNode) (*node, error) {
	out.kind = objectNode
	var merged []member
	for _, mv := range values {
		x, err := r.value(mv.Value)
		if err != nil {
			return nil, err
		}
		if mv.Key.IsMergeKey() {
			sources := []*node{x}
			if x.kind == listNode {
				sources = x.items
			}
			for _, s := range sources {
				if s.kind != objectNode {
					return nil, &yamlError{placeOfNode(mv.Value), "<< takes an object, or a list of them"}
				}
				merged = append(merged, s.members...)
			}
			continue
		}
		key, ok := mv.Key.(ast.Node)
		if !ok {
			return nil, &yamlError{out.position, "a key must be a text"}
		}
		name := key.GetToken().Value
		if s, ok := key.(*ast.StringNode); ok {
			name = s.Value
		}
		out.members = append(out.members, member{placeOfNode(key), name, x})
	}
	for _, m := range merged {
		if out.member(m.name) == nil {
			out.members = append(out.members, m)
		}
	}
	return out, nil
}

func (n *node) member(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// size counts the values in n.
func (n *node) size() int {
	total := 1
	for _, i := range n.items {
		total += i.size()
	}
	for _, m := range n.members {
		total += m.value.size()
	}
	return total
}
