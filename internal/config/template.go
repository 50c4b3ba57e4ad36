package config

import (
	"errors"
	"fmt"
	"strings"
)

// A template is a text of an inventory's connections in which {column} stands for what a branch has in that column, and
// {column|url} for that, escaped for a URL. Within ${...}, {column} is part of the variable's name or the file's path: ${PW_{id}}.
// {{ and }} stand for the characters themselves, $$ stays as it is.

// walkTemplate takes a template apart. column is told whether it stands within the name of a variable.
func walkTemplate(s string, literal func(string), column func(name string, url, inName bool) error) error {
	inside, inName := false, false // within ${...}; and that is a variable
	for s != "" {
		i := strings.IndexAny(s, "${}")
		if i < 0 {
			literal(s)
			return nil
		}
		literal(s[:i])
		s = s[i:]
		switch {
		case strings.HasPrefix(s, "$$"):
			literal("$$")
			s = s[2:]
		case strings.HasPrefix(s, "${") && !inside:
			literal("${")
			s = s[2:]
			inside, inName = true, !strings.HasPrefix(s, filePrefix)
		case s[0] == '}' && inside:
			literal("}")
			s = s[1:]
			inside, inName = false, false
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			literal(s[:1])
			s = s[2:]
		case s[0] == '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return errors.New("{ has no closing }; write {column}, or {{ for the character itself")
			}
			name, filter, filtered := strings.Cut(s[1:end], "|")
			if filtered && filter != "url" {
				return fmt.Errorf("{%s|%s}: %q is not a filter fanmill knows; it knows {%s|url}", name, filter, filter, name)
			}
			if err := column(strings.TrimSpace(name), filtered, inName); err != nil {
				return err
			}
			s = s[end+1:]
		default:
			literal(s[:1])
			s = s[1:]
		}
	}
	return nil
}

// templateColumns are the columns that a template mentions, as it spells them.
func templateColumns(s string) ([]string, error) {
	var names []string
	err := walkTemplate(s, func(string) {}, func(name string, _, _ bool) error {
		names = append(names, name)
		return nil
	})
	return names, err
}

// fillTemplate replaces the columns by a branch's cells. empty names a column that the branch has nothing in; a template that is
// such a column alone becomes "".
func fillTemplate(s string, cell func(column string) string) (out, empty string) {
	var b strings.Builder
	only := true
	_ = walkTemplate(s, func(text string) { // read before
		b.WriteString(text)
		only = only && text == ""
	}, func(name string, url, inName bool) error {
		v := cell(name)
		if v == "" {
			empty = name
		}
		switch {
		case inName:
			v = variableName(v)
		case url:
			v = escapeParts(v)
		}
		b.WriteString(v)
		return nil
	})
	if only && b.Len() == 0 {
		return "", ""
	}
	return b.String(), empty
}

// variableName makes a text part of a variable's name: conn-7 is conn_7.
func variableName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && nameByte(byte(r)) {
			return r
		}
		return '_'
	}, s)
}
