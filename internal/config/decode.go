package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"fanmill/pipeline"
)

// DefaultAttempts is how often a connection is tried in all when the job does not say.
const DefaultAttempts = 3

// maxAttempts is where trying again stops being a plan.
const maxAttempts = 100

// jobDraft is a Job while its problems are still being found.
type jobDraft = pipeline.Job

// job reads the whole file. The defaults: id is the file's name without its extension, a name is the id, mode is
// replace, and a destination's id is its type, the second of a type "<type>-2".
func (d *decoder) job(root *node) {
	j := &d.out
	j.Retry.Attempts = DefaultAttempts
	var shared []pipeline.Query
	hasConnections, hasDestinations := false, false
	top := place{"", root}
	_, ok := d.object(top, nil,
		d.textField("id", &j.ID),
		d.textField("name", &j.Name),
		field{"connections", func(p place) {
			hasConnections = true
			d.list(p, "connections", d.connection)
		}},
		field{"destinations", func(p place) {
			hasDestinations = true
			d.list(p, "destinations", d.destination)
		}},
		d.queryField(&shared),
		d.queriesField(&shared),
		d.textField("timeZone", &j.TimeZone),
		field{"retry", d.retry},
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
		d.missingQueries(root.member("connections"))
	}
	d.nameDestinations()
}

// missingQueries reports the connections without a query of their own in a job that has none for all.
func (d *decoder) missingQueries(connections *node) {
	if connections == nil {
		return
	}
	for i, c := range connections.items {
		p := place{fmt.Sprintf("connections[%d]", i), c}
		if c.kind == objectNode && !d.has(p, "query") && !d.has(p, "queries") {
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

// oneOf reports that an object has two keys of which it may have one.
func (d *decoder) oneOf(p place, a, b string) {
	if p.n.member(a) != nil && p.n.member(b) != nil {
		d.errorf(p.key(b), "there is %q as well; keep one of the two", a)
	}
}

func (d *decoder) connection(p place) {
	var c pipeline.Connection
	parts := partsDraft{}
	_, ok := d.object(p, nil,
		d.textField("id", &c.ID),
		d.textField("name", &c.Name),
		d.textField("driver", &c.Driver),
		d.textField("dsn", &c.DSN),
		d.queryField(&c.Queries),
		d.queriesField(&c.Queries),
		d.textField("server", &parts.Server),
		field{"port", func(p place) { d.count(p, 1, 65535, &parts.Port) }},
		d.textField("instance", &parts.Instance),
		d.textField("database", &parts.Database),
		d.textField("user", &parts.User),
		d.textField("password", &parts.Password),
		field{"options", func(p place) { parts.Options = d.options(p) }},
	)
	if ok {
		d.oneOf(p, "query", "queries")
		d.need(p, "id", `"conn_1"`)
		d.need(p, "driver", `"postgres"`)
		d.address(p, &c, &parts)
		if c.Name == "" {
			c.Name = c.ID
		}
	}
	d.out.Connections = append(d.out.Connections, c)
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
			if _, ok := d.object(p, nil, d.textField("name", &q.Name), d.textField("sql", &q.SQL)); !ok {
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

func (d *decoder) retry(p place) {
	_, ok := d.object(p, []string{"backoff", "max"},
		field{"attempts", func(p place) { d.count(p, 1, maxAttempts, &d.out.Retry.Attempts) }})
	for _, key := range []string{"backoff", "max"} {
		if ok && p.n.member(key) != nil {
			d.warnf(p.key(key), "is not available yet; fanmill chooses the pauses between attempts itself")
		}
	}
}

func (d *decoder) destination(p place) {
	var out pipeline.Destination
	own := []string{}
	noFile := false
	if t := p.n.member("type"); t != nil {
		own = d.o.Destinations[t.text].Keys
		noFile = d.o.Destinations[t.text].NoFile
	}
	rest, ok := d.object(p, own,
		d.textField("id", &out.ID),
		d.textField("type", &out.Type),
		d.textField("filePath", &out.FilePath),
		d.textField("mode", &out.Mode),
	)
	if ok {
		d.need(p, "type", `"excel"`)
		if !noFile {
			d.need(p, "filePath", `"D:/Reports/{jobName}.xlsx"`)
		}
		d.mode(p, &out)
		if len(rest) > 0 {
			out.Options = json.RawMessage(appendMembers(nil, rest))
		}
	}
	d.out.Destinations = append(d.out.Destinations, out)
}

func (d *decoder) mode(p place, out *pipeline.Destination) {
	switch out.Mode {
	case "replace":
	case "":
		out.Mode = "replace"
	case "append":
		d.errorf(p.key("mode"), `"append" is not available yet; use "replace"`)
	default:
		d.errorf(p.key("mode"), "%s", unknown(out.Mode, "mode", []string{"replace"}))
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
