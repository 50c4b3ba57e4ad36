package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"fanmill/pipeline"
)

// maxParallelPerHost is more than any one server of branches takes kindly.
const maxParallelPerHost = 1000

// job reads the whole file. The defaults: id is the file's name without its extension, a name is the id, mode is
// replace, and a destination's id is its type, the second of a type "<type>-2".
func (d *decoder) job(root *node) {
	j := &d.out
	j.Retry.Attempts = DefaultAttempts
	var shared []pipeline.Query
	var verify *pipeline.Verify
	hasConnections, hasDestinations := false, false
	top := place{"", root}
	_, ok := d.object(top, nil,
		field{"$schema", func(place) {}}, // editors look there for the schema
		d.textField("id", &j.ID),
		d.textField("name", &j.Name),
		field{"connections", func(p place) {
			hasConnections = true
			d.connections(p)
		}},
		field{"destinations", func(p place) {
			hasDestinations = true
			d.list(p, "destinations", d.destination)
		}},
		d.queryField(&shared),
		d.queriesField(&shared),
		field{"notify", func(p place) { d.list(p, "targets", d.notify) }},
		field{"params", d.paramValues},
		d.textField("timeZone", &j.TimeZone),
		field{"schedule", d.schedules},
		field{"retry", d.retry},
		field{"maxDuration", func(p place) { d.duration(p, minMaxDuration, maxMaxDuration, &j.MaxDuration) }},
		d.choiceField("onOverlap", &j.OnOverlap, []string{pipeline.OverlapQueue, pipeline.OverlapSkip}),
		d.choiceField("onUnfinished", &j.OnUnfinished, []string{pipeline.UnfinishedResume, pipeline.UnfinishedStartOver}),
		d.choiceField("onDrift", &j.OnDrift, []string{pipeline.DriftUnion, pipeline.DriftFail, pipeline.DriftSkip}),
		field{"parallelPerHost", func(p place) { d.count(p, 1, maxParallelPerHost, &j.ParallelPerHost) }},
		d.boolField("snapshot", &j.Snapshot),
		d.verifyField(&verify),
		field{"alert", d.alert},
	)
	if !ok {
		return
	}
	d.oneOf(top, "query", "queries")
	if j.ID == "" && !d.has(top, "id") {
		if j.ID = stem(d.file); j.ID == "" {
			d.errorf("id", `the job needs an id; add "id": "my_job"`)
		}
	}
	if j.Name == "" {
		j.Name = j.ID
	}
	if !hasConnections && !d.slips["connections"] {
		d.errorf("connections", `the job has no connections; add "connections": [{"id": ..., "driver": ..., "dsn": ...}]`)
	}
	if !hasDestinations && !d.slips["destinations"] {
		d.errorf("destinations", `the job has no destinations; add "destinations": [{"type": ..., "filePath": ...}]`)
	}
	if d.has(top, "query") || d.has(top, "queries") {
		for i := range j.Connections {
			if c := &j.Connections[i]; c.Queries == nil {
				c.Queries = shared
			}
		}
	} else {
		d.missingQueries()
	}
	d.verifyAll(verify)
	d.alertWithoutTotals()
	d.nameDestinations()
	d.notifyTargets()
}

// missingQueries reports the connections without a query of their own in a job that has none for all.
func (d *decoder) missingQueries() {
	for _, p := range d.asked {
		if p.n.kind == objectNode && !d.has(p, "query") && !d.has(p, "queries") {
			d.errorf(p.key("query"), `there is no query; add "query" here, or to the job for all connections`)
		}
	}
}

func stem(file string) string {
	base := filepath.Base(file)
	if file == "" || base == "." || base == string(filepath.Separator) {
		return ""
	}
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// timeZone checks the zone; one that does not exist counts as UTC from there on.
func (d *decoder) timeZone() {
	zone := d.out.TimeZone
	if _, err := time.LoadLocation(zone); err != nil || strings.EqualFold(zone, "local") {
		d.errorf("timeZone", "%q is not a time zone; use an IANA name such as \"Asia/Kolkata\", or leave the key out for UTC", zone)
		d.out.TimeZone = ""
	}
}

// oneOf reports that an object has two keys of which it may have one.
func (d *decoder) oneOf(p place, a, b string) {
	if p.n.member(a) != nil && p.n.member(b) != nil {
		d.errorf(p.key(b), "there is %q as well; keep one of the two", a)
	}
}

// has reports whether an object has a key, or a slip of it that was reported.
func (d *decoder) has(p place, key string) bool { return p.n.member(key) != nil || d.slips[p.key(key)] }

// need reports a key that is absent.
func (d *decoder) need(p place, key, example string) {
	if !d.has(p, key) {
		d.errorf(p.key(key), "is missing; add %q: %s", key, example)
	}
}

func (d *decoder) queryField(dst *[]pipeline.Query) field {
	return field{"query", func(p place) {
		var q pipeline.Query
		d.text(p, &q.SQL)
		if *dst == nil {
			*dst = []pipeline.Query{q}
		}
	}}
}

func (d *decoder) queriesField(dst *[]pipeline.Query) field {
	return field{"queries", func(p place) {
		var queries []pipeline.Query
		names := map[string]string{}
		several := len(p.n.items) > 1
		d.list(p, "queries", func(p place) {
			var q pipeline.Query
			if _, ok := d.object(p, nil, d.textField("name", &q.Name), d.textField("sql", &q.SQL), d.verifyField(&q.Verify)); !ok {
				return
			}
			d.need(p, "sql", `"select ..."`)
			if several {
				d.need(p, "name", `"sales"`)
			}
			if first, twice := names[strings.ToLower(q.Name)]; twice && q.Name != "" {
				d.errorf(p.key("name"), "%q is the name of %s as well; sheets and files are named after it, so give each its own", q.Name, first)
			}
			names[strings.ToLower(q.Name)] = p.path
			queries = append(queries, q)
		})
		if *dst == nil {
			*dst = queries
		}
	}}
}

// connectionPath is where a connection stands in the job, counted from 0.
func connectionPath(i int) string { return fmt.Sprintf("connections[%d]", i) }
