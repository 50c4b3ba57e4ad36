package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"fanmill/pipeline"
)

// roleFlags say what of the work a process does.
type roleFlags struct {
	roles, sinks []string
}

func (f *roleFlags) add(fl *pflag.FlagSet) {
	fl.StringSliceVar(&f.roles, "roles", pipeline.Roles(), "`roles` of this process, with commas between: coordinator takes triggers, query asks connections, sink writes destinations")
	fl.StringSliceVar(&f.sinks, "sinks", nil, "`types` of the destinations that this process writes, with commas between (default all; needs the role sink)")
}

// check makes sense of the flags: roles in their order, and types by their first names.
func (f *roleFlags) check() (roles, sinks []string, _ error) {
	for _, role := range f.roles {
		if !slices.Contains(pipeline.Roles(), role) {
			return nil, nil, fmt.Errorf("--roles: there is no role %q; the roles are %s", role, strings.Join(pipeline.Roles(), ", "))
		}
	}
	for _, role := range pipeline.Roles() {
		if slices.Contains(f.roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return nil, nil, fmt.Errorf("--roles names none; the roles are %s", strings.Join(pipeline.Roles(), ", "))
	}
	if len(f.sinks) > 0 && !slices.Contains(roles, pipeline.RoleSink) {
		return nil, nil, errors.New("--sinks is for a process that writes destinations; add sink to --roles")
	}
	kinds := sinkKinds()
	for _, name := range f.sinks {
		kind := kinds[name]
		if kind == nil {
			return nil, nil, fmt.Errorf("--sinks: there is no type of destinations %q; the types are %s", name, strings.Join(kindNames(kinds), ", "))
		}
		sinks = append(sinks, kind.Name)
	}
	slices.Sort(sinks)
	return roles, slices.Compact(sinks), nil
}

// coordinates reports whether this process coordinates runs.
func (s *settings) coordinates() bool {
	return len(s.roles) == 0 || slices.Contains(s.roles, pipeline.RoleCoordinator)
}

// kindNames are the first names of kinds of destinations.
func kindNames(kinds map[string]*pipeline.SinkKind) (names []string) {
	for _, kind := range kinds {
		names = append(names, kind.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lacking says what a process leaves to others; "" if that is nothing.
func lacking(roles, sinks []string) string {
	var left []string
	for i, does := range []string{"taking triggers", "asking connections", "writing destinations"} {
		if !slices.Contains(roles, pipeline.Roles()[i]) {
			left = append(left, does)
		}
	}
	if len(sinks) > 0 {
		left = append(left, "writing destinations of other types than "+strings.Join(sinks, ", "))
	}
	return strings.Join(left, ", ")
}
