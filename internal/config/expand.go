package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// reference is one ${NAME} or ${NAME|url} in a text.
type reference struct {
	name string
	url  bool // the value is escaped for its place in a URL
}

// UnsetError names a variable that is referred to and not set.
type UnsetError struct{ Name string }

func (e *UnsetError) Error() string {
	return fmt.Sprintf("${%s} is not set; set %s in the environment or in the .env file beside the job", e.Name, e.Name)
}

// Expand replaces ${NAME} by the variable's value and ${NAME|url} by its value escaped for a URL, such as a password
// with @ or /. $$ stands for one $; any other $ stands for itself. A variable that is not set is an *UnsetError; several
// are joined. Values are not expanded again.
func Expand(s string, lookup func(name string) (string, bool)) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	var unset []error
	err := scan(s, func(literal string) error {
		b.WriteString(literal)
		return nil
	}, func(r reference) error {
		v, ok := lookup(r.name)
		if !ok {
			if !slices.ContainsFunc(unset, func(e error) bool { return e.(*UnsetError).Name == r.name }) {
				unset = append(unset, &UnsetError{r.name})
			}
			return nil
		}
		if r.url {
			v = escapeURL(v)
		}
		b.WriteString(v)
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(unset) > 0 {
		return "", errors.Join(unset...)
	}
	return b.String(), nil
}

// scan walks the literals (with $$ already as $) and references of a text.
func scan(s string, literal func(string) error, ref func(reference) error) error {
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			return literal(s)
		}
		if i > 0 {
			if err := literal(s[:i]); err != nil {
				return err
			}
		}
		s = s[i:]
		switch s[1] {
		case '$':
			if err := literal("$"); err != nil {
				return err
			}
			s = s[2:]
		case '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return errors.New("${ has no closing }; write ${NAME}, or $${ for the characters themselves")
			}
			r, err := parseReference(s[2:end])
			if err != nil {
				return err
			}
			if err := ref(r); err != nil {
				return err
			}
			s = s[end+1:]
		default:
			if err := literal("$"); err != nil {
				return err
			}
			s = s[1:]
		}
	}
	return nil
}

func parseReference(s string) (reference, error) {
	name, filter, filtered := strings.Cut(s, "|")
	valid := name != "" && !(name[0] >= '0' && name[0] <= '9')
	for i := 0; i < len(name); i++ {
		c := name[i]
		valid = valid && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	if !valid {
		return reference{}, fmt.Errorf("${%s} is not the name of a variable; names are letters, digits and _", s)
	}
	if filtered && filter != "url" {
		return reference{}, fmt.Errorf("${%s}: %q is not a filter fanmill knows; it knows ${%s|url}", s, filter, name)
	}
	return reference{name, filtered}, nil
}
