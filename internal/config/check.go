package config

import (
	"errors"
	"fmt"
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
	names := map[string]string{}
	for i := range j.Connections {
		c, path := &j.Connections[i], connectionPath(i)
		d.id(ids, path, c.ID)
		if first, twice := names[c.Name]; twice && c.Name != c.ID {
			d.warnf(path+".name", "%q is the name of %s as well; logs and sheets will be hard to tell apart", c.Name, first)
		}
		names[c.Name] = path
		d.driver(path, c)
	}
	ids = map[string]string{}
	for i := range j.Destinations {
		out, path := &j.Destinations[i], fmt.Sprintf("destinations[%d]", i)
		d.id(ids, path, out.ID)
		d.destinationType(path, i)
	}
	d.params()
	d.artifacts()
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

// pluginErrors reports what a driver or a destination found, at the key it names, else at the one given.
func (d *decoder) pluginErrors(path, key string, err error) {
	for _, e := range split(err) {
		at := path
		var keyed interface{ Key() string }
		if errors.As(e, &keyed) && keyed.Key() != "" {
			at = path + "." + keyed.Key()
		} else if key != "" {
			at = path + "." + key
		}
		d.errorf(at, "%s", e)
	}
}
