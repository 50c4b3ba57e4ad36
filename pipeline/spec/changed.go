package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// same reports whether two destinations are one and the same to a resume. Of their options, the fixed ones of their
// kind's table count.
func same(d, o *pipeline.ManifestDestination, table []pipeline.Option) bool {
	a, b := *d, *o
	a.Options, b.Options = nil, nil
	a.Files, b.Files = nil, nil // follow from the path and the connections, which are compared
	a.Target, b.Target = "", "" // follows from the options
	a.Home, b.Home = "", ""     // was chosen when the run began
	a.Partition, b.Partition = nil, nil
	return partitionsOf(d) == partitionsOf(o) && reflect.DeepEqual(a, b) && len(pipeline.ChangedOptions(d.Options, o.Options, table)) == 0
}

// changeOf says how o differs from d, which is not the same. Values of options are not shown.
func changeOf(d, o *pipeline.ManifestDestination, table []pipeline.Option) string {
	var all []string
	if was, is := outline(d), outline(o); was != is {
		all = append(all, fmt.Sprintf("was %s, is %s", was, is))
	}
	if was, is := partitionsOf(d), partitionsOf(o); was != is {
		all = append(all, fmt.Sprintf("had partitions: %d, has %d", was, is))
	}
	if names := pipeline.ChangedOptions(d.Options, o.Options, table); len(names) > 0 {
		all = append(all, "has other values of "+strings.Join(names, ", "))
	}
	if len(all) == 0 {
		return "takes another query"
	}
	return strings.Join(all, ", and ")
}

// partitionsOf is how many partitions a destination has.
func partitionsOf(d *pipeline.ManifestDestination) int {
	if d.Partition == nil {
		return 1
	}
	return d.Partition.Count
}

func outline(d *pipeline.ManifestDestination) string {
	text := strings.TrimSpace(d.Type + " " + d.Where())
	if d.Mode != "" {
		text += " (" + d.Mode + ")"
	}
	return text
}

// optionsOf is the table of a kind; nil for none. With moved, the target of one that sends requests may change during a
// run: the requests and their keys are the same wherever they go.
func optionsOf(k *pipeline.SinkKind, moved bool) []pipeline.Option {
	if k == nil {
		return nil
	}
	table := k.Options
	if i := slices.IndexFunc(table, func(o pipeline.Option) bool { return o.Name == k.TargetKey }); moved && k.Traits.Target == pipeline.TargetURL && i >= 0 {
		table = slices.Clone(table)
		table[i].Use = pipeline.Free
	}
	return table
}
