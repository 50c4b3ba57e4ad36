package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Merge compares a job with the manifest of a run that is to go on, and adds new connections at its end. What may not
// change is refused, all at once. changed are the connections whose query changed. records are those of the run's
// destinations, in its order.
func Merge(def *Definition, old *pipeline.Manifest, t pipeline.Trigger, sinks map[string]*pipeline.SinkKind, records []checkpoint.CommitRecord) (_ *pipeline.Manifest, changed map[int]bool, _ error) {
	paths, err := def.Resolve(old.Run, old.Created)
	if err != nil {
		return nil, nil, pipeline.Permanent(err)
	}
	now, err := pipeline.NewManifest(def.Job, old.Run, old.Created, old.LogMaxBytes, nil, paths)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range t.Connections {
		if _, err := def.Job.Connection(id); err != nil {
			return nil, nil, pipeline.Permanent(err)
		}
	}
	params, err := given(old, t)
	if err != nil {
		return nil, nil, err
	}
	resolved, err := def.Params(params, old.Created)
	if err != nil {
		return nil, nil, pipeline.Permanent(err)
	}
	var refused, moved []string // moved have another target, and nothing else
	refuse := func(format string, args ...any) { refused = append(refused, fmt.Sprintf(format, args...)) }
	if now.TimeZone != old.TimeZone {
		refuse("timeZone was %q, is %q", old.TimeZone, now.TimeZone)
	}
	if !slices.Equal(resolved, old.Params) {
		refuse("params were %s, are %s", spell(old.Params), spell(resolved))
	}
	if now.OnDrift != old.OnDrift {
		refuse("onDrift was %q, is %q", old.OnDrift, now.OnDrift)
	}
	wholes, others := old.Wholes(), now.Wholes()
	for i := range wholes {
		was := &wholes[i]
		kind := sinks[was.Type]
		is := named(others, was.ID)
		switch {
		case is == nil:
			refuse("destination %s is gone", was.ID)
		case same(was, is, optionsOf(kind, t.TargetMoved)):
		case same(was, is, optionsOf(kind, true)):
			refuse("destination %s %s", was.ID, changeOf(was, is, optionsOf(kind, false)))
			moved = append(moved, was.ID)
		default:
			refuse("destination %s %s", was.ID, changeOf(was, is, optionsOf(kind, t.TargetMoved)))
		}
	}
	for i := range others {
		if named(wholes, others[i].ID) == nil {
			refuse("destination %s is new", others[i].ID)
		}
	}
	changed = map[int]bool{}
	for i, was := range old.Connections {
		k := now.Index(was.ID)
		if k < 0 {
			refuse("connection %s is gone", was.ID)
			continue
		}
		is := now.Connections[k]
		if was.Driver != is.Driver {
			refuse("connection %s had the driver %q, has %q", was.ID, was.Driver, is.Driver)
		}
		if was.Name != is.Name {
			refuse("connection %s was named %q, is %q", was.ID, was.Name, is.Name)
		}
		if slices.Equal(was.Queries, is.Queries) {
			continue
		}
		sameShape := slices.EqualFunc(was.Queries, is.Queries, func(a, b pipeline.ManifestQuery) bool { return a.Name == b.Name })
		if !sameShape || slices.ContainsFunc(records, func(rec checkpoint.CommitRecord) bool { return rec.Has(i) }) {
			refuse("the query of connection %s changed, and its rows are delivered already", was.ID)
			continue
		}
		changed[i] = true
	}
	if len(refused) > 0 {
		instead := "start over without --resume"
		if t.ID != "" {
			instead = "start over under another --id"
		}
		return nil, nil, pipeline.Permanent(fmt.Errorf("run %s cannot be resumed, the job has changed since it began: %s. Undo that, or %s", old.Run, strings.Join(refused, "; "), instead+movedHint(moved)))
	}
	merged := *old
	merged.Connections = slices.Clone(old.Connections)
	merged.Destinations = slices.Clone(old.Destinations)
	for i := range merged.Destinations {
		d := &merged.Destinations[i]
		d.Options, d.Target = now.Destination(d.ID).Options, now.Destination(d.ID).Target // those that may change have
	}
	for i := range changed {
		merged.Connections[i] = now.Connections[now.Index(old.Connections[i].ID)]
	}
	for _, c := range now.Connections {
		if old.Index(c.ID) < 0 && (!old.Selected && len(t.Connections) == 0 || slices.Contains(t.Connections, c.ID)) {
			merged.AddConnection(c, func(d *pipeline.ManifestDestination) (string, bool) {
				files := now.Destination(d.ID).Files
				if files == nil {
					return "", false
				}
				return files[now.Index(c.ID)], true
			})
		}
	}
	return &merged, changed, nil
}

// named finds a destination by its id; nil if it is not there.
func named(all []pipeline.ManifestDestination, id string) *pipeline.ManifestDestination {
	i := slices.IndexFunc(all, func(d pipeline.ManifestDestination) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// given are the params of the trigger that began the run, unless this one has its own: they are compared like
// anything else.
func given(old *pipeline.Manifest, t pipeline.Trigger) (map[string]any, error) {
	if len(t.Params) > 0 || len(old.Given) == 0 {
		return t.Params, nil
	}
	var given map[string]any
	d := json.NewDecoder(bytes.NewReader(old.Given))
	d.UseNumber()
	if err := d.Decode(&given); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("read manifest of run %s: params: %w", old.Run, err))
	}
	return given, nil
}

// spell shows the values of parameters.
func spell(params []pipeline.Arg) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%s", p.Name, p.Text)
	}
	return "{" + b.String() + "}"
}

// movedHint says how a resume goes on with destinations of which only the target changed.
func movedHint(destinations []string) string {
	if len(destinations) == 0 {
		return ""
	}
	return fmt.Sprintf("; if %s is the same receiver at another address, which knows the keys that it was sent, --target-moved (\"targetMoved\": true) goes on there",
		strings.Join(destinations, ", "))
}
