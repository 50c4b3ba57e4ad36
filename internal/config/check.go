package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// maxTokenBytes bounds an id as it is spelled in subjects, keys and file names, together with what they add to it.
const maxTokenBytes = 120

// check looks at the job as a whole: what no single value shows.
func (d *decoder) check() {
	j := &d.out
	d.timeZone()
	if len(pipeline.Token(j.ID)) > maxTokenBytes {
		d.errorf("id", "is too long; at most %d letters and digits fit, fewer of other characters", maxTokenBytes)
	}
	ids := map[string]string{}
	for i := range j.Connections {
		c, path := &j.Connections[i], connectionPath(i)
		d.id(ids, path, c.ID)
		d.driver(path, c)
		d.queries(i)
	}
	d.namesakes()
	ids = map[string]string{}
	for i := range j.Destinations {
		out, path := &j.Destinations[i], fmt.Sprintf("destinations[%d]", i)
		d.id(ids, path, out.ID)
		d.destinationType(path, i)
	}
	d.boundQueries()
	d.params()
	d.checkSchedules()
	d.artifacts()
}

// namesakes warns of connections that readers take for each other by their names, at the second one.
func (d *decoder) namesakes() {
	names := make([]string, len(d.out.Connections))
	for i := range d.out.Connections {
		names[i] = d.out.Connections[i].Name
	}
	for i, group := range pipeline.Namesakes(names) {
		if len(group) == 0 || group[0] == i || names[i] == "" {
			continue
		}
		name, first := names[i], group[0]
		for _, k := range group { // better the one with the very same name
			if k < i && names[k] == name {
				first = k
				break
			}
		}
		other := names[first]
		switch at := connectionPath(i) + ".name"; {
		case name != other && strings.EqualFold(d.out.Connections[i].ID, d.out.Connections[first].ID): // reported as ids
		case name == other && name == d.out.Connections[i].ID: // the same
		case name == other:
			d.warnf(at, "%s is the name of %s as well; logs, sheets and a connectionColumn will be hard to tell apart", strconv.Quote(name), connectionPath(first))
		default:
			d.warnf(at, "%s is easily taken for %s, the name of %s", pipeline.ShowName(name, other), pipeline.ShowName(other, name), connectionPath(first))
		}
	}
}

// id reports ids that name the same thing. They become keys and file names, and some systems tell no a from A.
func (d *decoder) id(seen map[string]string, path, id string) {
	if id == "" {
		return // missing, and reported as such
	}
	at := path + ".id"
	if len(pipeline.Token(id)) > maxTokenBytes {
		d.errorf(at, "is too long; at most %d letters and digits fit, fewer of other characters", maxTokenBytes)
	}
	key := strings.ToLower(pipeline.Token(id))
	if first, twice := seen[key]; twice {
		d.errorf(at, "%q is the id of %s as well (case does not count); give each its own", id, first)
		return
	}
	seen[key] = path
}

// queries has the kind of a connection's database look at its queries. What is wrong with one that all share is said
// where it stands.
func (d *decoder) queries(i int) {
	c, p := &d.out.Connections[i], d.asked[i]
	kind := d.o.Databases[c.Driver]
	if kind == nil || kind.CheckQuery == nil {
		return
	}
	own := p.n.kind == objectNode && (d.has(p, "query") || d.has(p, "queries"))
	for q := range c.Queries {
		err := kind.CheckQuery(c.Queries[q].SQL)
		if err == nil {
			continue
		}
		at := fmt.Sprintf("queries[%d].sql", q)
		if _, several := d.pos["queries"]; own && p.n.member("queries") == nil || !own && !several {
			at = "query"
		}
		if own {
			at = p.key(at)
		}
		if !d.slips[at] {
			d.errorf(at, "%s", err)
			d.slips[at] = true
		}
	}
	for q := range c.Queries {
		if sql := controlSQL(&c.Queries[q]); sql != "" {
			if err := kind.CheckQuery(sql); err != nil && !d.slips["verify "+sql] {
				d.slips["verify "+sql] = true
				d.errorf("verify.query", "%s", err)
			}
		}
	}
}

// plugin reports what a kind of database or destination found, at the key it names, else at the one given.
func (d *decoder) plugin(report func(path, format string, args ...any), path, key string, err error) {
	for _, e := range split(err) {
		at := path
		var keyed interface{ Key() string }
		if errors.As(e, &keyed) && keyed.Key() != "" {
			at = path + "." + keyed.Key()
		} else if key != "" {
			at = path + "." + key
		}
		report(at, "%s", e)
	}
}
