package sinks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// problem is a mistake in a destination's options, at a key of theirs.
type problem struct {
	key string
	error
}

// Key is where the mistake is, such as columns.amount.width.
func (e problem) Key() string { return e.key }

// Unwrap implements errors.Is and errors.As.
func (e problem) Unwrap() error { return e.error }

// problems gathers what is wrong with options.
type problems []error

func (p *problems) add(key, format string, args ...any) {
	*p = append(*p, problem{key, fmt.Errorf(format, args...)})
}

// columnKeys are the keys of a column as they stand in a job file; a kind of file knows some of them.
type columnKeys struct {
	Rename *string `json:"rename"`
	Hide   bool    `json:"hide"`
	Order  int     `json:"order"`
	Format *string `json:"format"`
	Width  float64 `json:"width"`
	Digits string  `json:"digits"`
	Form   string  `json:"form"`
}

// header is the column's name in the file; "" is its own.
func (c *columnKeys) header() string {
	if c.Rename == nil {
		return ""
	}
	return *c.Rename
}

// rename looks at the name that a column is given; nil is none.
func (p *problems) rename(column string, name *string) {
	if name != nil && strings.TrimSpace(*name) == "" {
		p.add("columns."+column+".rename", "rename: give the column a name, or leave this out")
	}
}

// connectionColumn reads the name of the column for the connection's name; "" is none.
func (p *problems) connectionColumn(value any) string {
	const key = "connectionColumn"
	name, named := value.(string)
	if named && strings.TrimSpace(name) == "" {
		p.add(key, "connectionColumn: give the column a name, or say true for %q", connectionColumn)
	}
	if value == true {
		return connectionColumn
	}
	return name
}

// places finds columns that are given the place of another one.
func (p *problems) places(columns map[string]columnKeys) {
	first := map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		order := columns[name].Order
		if order == 0 {
			continue
		}
		if other, taken := first[order]; taken {
			p.add("columns."+name+".order", "order %d is that of %q already", order, other)
		} else {
			first[order] = name
		}
	}
}
