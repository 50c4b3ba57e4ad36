package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// The modes of a destination with a file.
const (
	modeReplace = "replace"
	modeAppend  = "append"
)

var modes = []string{modeReplace, modeAppend}

// destination reads one destination. What it has of its own is checked by the table of its type; d.checkable keeps
// what the destination's own check may look at, which is all but what was found wrong here.
func (d *decoder) destination(p place) {
	var out pipeline.Destination
	var kind *pipeline.SinkKind
	own := []string{}
	if t := p.n.member("type"); t != nil {
		if kind = d.o.Destinations[t.text]; kind != nil {
			own = optionNames(kind.Options)
		}
	}
	rest, ok := d.object(p, own,
		d.textField("id", &out.ID),
		d.textField("type", &out.Type),
		d.textField("filePath", &out.FilePath),
		d.choiceField("mode", &out.Mode, modes),
	)
	checkable := pipeline.Destination{}
	if ok {
		d.need(p, "type", `"excel"`)
		d.need(p, "filePath", `"`+filePathExample(kind)+`"`)
		if out.Mode == "" {
			out.Mode = modeReplace
		}
		var all, good []member
		for _, m := range rest {
			if !slices.Contains(own, m.name) {
				continue // reported; notes of somebody's are no options
			}
			all = append(all, m)
			if d.value(place{p.key(m.name), m.value}, optionNamed(kind.Options, m.name)) {
				good = append(good, m)
			}
		}
		out.Options = optionsOf(all)
		checkable = out
		if checkable.Options = optionsOf(good); checkable.FilePath == "" {
			checkable.FilePath = filePathExample(kind)
		}
	}
	d.out.Destinations = append(d.out.Destinations, out)
	d.checkable = append(d.checkable, checkable)
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
		d.errorf(path+".type", "%s", unknown(typ, "destination", slices.Collect(maps.Keys(d.o.Destinations))))
		return
	}
	checkable := d.checkable[i]
	checkable.ID = d.out.Destinations[i].ID
	if t.Check != nil {
		d.plugin(d.errorf, path, "", t.Check(&checkable))
	}
	if t.Warn != nil {
		d.plugin(d.warnf, path, "", t.Warn(&checkable))
	}
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
