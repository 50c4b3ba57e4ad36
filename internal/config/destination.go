package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// destination reads one destination. What it has of its own is checked by the table of its type; d.checkable keeps
// what the destination's own check may look at, which is all but what was found wrong here.
func (d *decoder) destination(p place) {
	var out pipeline.Destination
	var kind *pipeline.SinkKind
	own := []string{}
	if t := p.n.member("type"); t != nil {
		if kind = pipeline.KindNamed(d.o.Destinations, t.text); kind != nil {
			own = optionNames(kind.Options)
		}
	}
	rest, ok := d.object(p, own,
		d.textField("id", &out.ID),
		d.textField("type", &out.Type),
		d.textField("filePath", &out.FilePath),
		field{"place", func(p place) { d.placeName(p, kind, &out.Place) }},
		field{"mode", func(p place) { d.mode(p, kind, &out.Mode) }},
		field{"partitions", func(p place) { d.count(p, 1, pipeline.MaxPartitions, &out.Partitions) }},
	)
	if kind != nil {
		out.Type = kind.Name
	}
	checkable := pipeline.Destination{}
	if ok {
		d.need(p, "type", `"excel"`)
		d.target(p, kind)
		if kind != nil && out.Mode == "" && kind.Modes != nil {
			out.Mode = kind.Modes[0]
		}
		var all, good []member
		for _, m := range rest {
			if !slices.Contains(own, m.name) {
				continue // reported; notes of somebody's are no options
			}
			all = append(all, m)
			if d.value(place{p.key(m.name), m.value}, pipeline.OptionNamed(kind.Options, m.name)) {
				good = append(good, m)
			}
		}
		out.Options = optionsOf(all)
		checkable = out
		if checkable.Options = optionsOf(good); checkable.FilePath == "" && takesFile(kind) {
			checkable.FilePath = filePathExample(kind)
		}
	}
	d.out.Destinations = append(d.out.Destinations, out)
	d.checkable = append(d.checkable, checkable)
}

// takesFile reports whether a destination needs a filePath; nil is a kind that nobody knows.
func takesFile(kind *pipeline.SinkKind) bool {
	return kind == nil || kind.Traits.Target == pipeline.TargetFile
}

// placeName reads the name of the folder that filePath is relative to.
func (d *decoder) placeName(p place, kind *pipeline.SinkKind, dst *string) {
	d.textField("place", dst).read(p)
	switch {
	case kind == nil || *dst == "": // reported
	case !takesFile(kind):
		d.errorf(p.path, "%s has no file, and so no place; remove it", kind.Label)
	case d.o.Bounds != nil:
		d.errorf(p.path, "a job that is brought along writes to no place; serve a job with this destination from a file")
	default:
		if err := CheckPlace(*dst); err != nil {
			d.errorf(p.path, "%s", err)
		}
	}
}

// mode reads what a destination makes of what is there already, in the words of its kind.
func (d *decoder) mode(p place, kind *pipeline.SinkKind, dst *string) {
	switch {
	case kind == nil: // reported
	case kind.Modes == nil:
		d.errorf(p.path, "%s has no modes; remove it", kind.Label)
	default:
		d.choiceField("mode", dst, kind.Modes).read(p)
	}
}

// target looks whether a destination says where rows go, as its kind does.
func (d *decoder) target(p place, kind *pipeline.SinkKind) {
	if takesFile(kind) {
		d.need(p, "filePath", `"`+filePathExample(kind)+`"`)
	} else if d.has(p, "filePath") {
		d.errorf(p.key("filePath"), "%s has no file: %q says where rows go; remove filePath", kind.Label, kind.TargetKey)
	}
	if kind == nil {
		return
	}
	d.needOptions(p, kind.Options)
	if d.o.Bounds != nil && !takesFile(kind) {
		d.errorf(p.key("type"), "a job that is brought along writes files only; serve a job with this destination from a file")
	}
}

func optionsOf(members []member) json.RawMessage {
	if len(members) == 0 {
		return nil
	}
	return json.RawMessage(appendMembers(nil, members))
}

// filePathExample shows a path that suits the kind; nil is one that nobody knows.
func filePathExample(kind *pipeline.SinkKind) string {
	if kind == nil {
		return "D:/Reports/{jobName} {date}"
	}
	return kind.Example
}

// destinationType checks a destination's type, and has the type check the rest.
func (d *decoder) destinationType(path string, i int) {
	typ := d.out.Destinations[i].Type
	if typ == "" {
		return
	}
	t, ok := d.o.Destinations[typ]
	if !ok {
		d.errorf(path+".type", "%s", unknownType(typ, d.o.Destinations))
		return
	}
	checkable := d.checkable[i]
	checkable.ID = d.out.Destinations[i].ID
	if t.Check != nil {
		d.plugin(d.errorf, path, "", t.Check(&checkable))
	}
	if checkable.Partitions > 1 {
		d.partitions(path+".partitions", t, &checkable)
	}
	if t.Warn != nil {
		d.plugin(d.warnf, path, "", t.Warn(&checkable))
	}
}

// partitions has the destination's type look whether several workers can write it side by side.
func (d *decoder) partitions(path string, kind *pipeline.SinkKind, out *pipeline.Destination) {
	if kind.Partitions == nil {
		d.errorf(path, "%s is written by one worker, as all of it is in one place; remove partitions. A webhook or an api in mode \"stream\" may have them", kind.Label)
		return
	}
	if err := kind.Partitions(out); err != nil {
		d.errorf(path, "%s", err)
	}
}

// unknownType says that no destination has this type, and which one was likely meant: by its name, also where the text
// is a slip of an alias.
func unknownType(typ string, kinds map[string]*pipeline.SinkKind) string {
	names := slices.Sorted(maps.Keys(kinds))
	spellings := slices.Clone(names)
	for _, name := range names {
		spellings = append(spellings, kinds[name].Aliases...)
	}
	if like := Closest(typ, spellings); like != "" {
		return fmt.Sprintf("%q is not a destination fanmill knows; did you mean %q?", typ, pipeline.KindNamed(kinds, like).Name)
	}
	return unknown(typ, "destination", names)
}

// nameDestinations gives every destination without an id its type, or type-2, type-3 where that is taken.
func (d *decoder) nameDestinations() {
	taken := map[string]bool{}
	for _, out := range d.out.Destinations {
		taken[strings.ToLower(out.ID)] = true
	}
	for i := range d.out.Destinations {
		out := &d.out.Destinations[i]
		if out.ID != "" {
			continue
		}
		id := out.Type
		for n := 2; taken[strings.ToLower(id)]; n++ {
			id = fmt.Sprintf("%s-%d", out.Type, n)
		}
		taken[strings.ToLower(id)] = true
		out.ID = id
	}
}
