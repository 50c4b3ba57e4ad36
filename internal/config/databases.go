package config

import (
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// kindsOf are the kinds of databases, each once, by name.
func kindsOf(databases map[string]*pipeline.DatabaseKind) []*pipeline.DatabaseKind {
	var kinds []*pipeline.DatabaseKind
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		if kind := databases[name]; kind.Name == name {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// driverHint is what a connection may give as its driver, without the other names of the kinds.
func driverHint(databases map[string]*pipeline.DatabaseKind) string {
	var names []string
	for _, kind := range kindsOf(databases) {
		names = append(names, kind.Name)
	}
	if names == nil {
		return `"..."`
	}
	return alternatives(names)
}

// labels lists what people call the kinds of databases that are so.
func labels(databases map[string]*pipeline.DatabaseKind, are func(*pipeline.DatabaseKind) bool) string {
	var names []string
	for _, kind := range kindsOf(databases) {
		if are(kind) {
			names = append(names, kind.Label)
		}
	}
	return strings.Join(names, " or ")
}

func isFile(kind *pipeline.DatabaseKind) bool { return kind.File }

func hasInstances(kind *pipeline.DatabaseKind) bool { return kind.Instances }
