package config

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// partKeys are the keys that stand in for a dsn.
var partKeys = []string{"server", "port", "instance", "database", "user", "password", "options"}

// options reads an object of scalars.
func (d *decoder) options(p place) (out []pipeline.AddressOption) {
	if p.n.kind != objectNode {
		d.errorf(p.path, "must be an object such as {\"sslmode\": \"require\"}, not %s", p.n.kind)
		return nil
	}
	d.entries(p, func(p place, name string) {
		if p.n.kind == listNode || p.n.kind == objectNode || p.n.kind == nullNode {
			d.errorf(p.path, "must be a text, a number, true or false, not %s", p.n.kind)
			return
		}
		out = append(out, pipeline.AddressOption{Name: name, Value: p.n.text})
	})
	return out
}

// address settles a connection's dsn: as given, or put together from its parts.
func (d *decoder) address(p place, c *pipeline.Connection, parts *pipeline.Address) {
	var given []string
	for _, key := range partKeys {
		m := p.n.member(key)
		if m == nil {
			continue
		}
		given = append(given, key)
		d.references(c.ID, p.key(key), m.text)
		for _, o := range m.members {
			d.references(c.ID, p.key(key)+"."+o.name, o.value.text)
		}
	}
	d.references(c.ID, p.key("dsn"), c.DSN)
	kind := d.o.Databases[c.Driver]
	switch hasDSN := d.has(p, "dsn"); {
	case hasDSN && len(given) > 0:
		d.errorf(p.key(given[0]), `there is a "dsn" as well; keep the dsn or server, database, user ..., not both`)
	case hasDSN:
	case len(given) == 0:
		d.errorf(p.key("dsn"), `is missing; add "dsn": "${%s_DSN}", or server, database, user and password`, envName(c.ID))
	case parts.Server == "" && parts.Database != "" && parts.User == "" && parts.Password == "" && parts.Port == 0:
		c.DSN = parts.Database // a database without a server is a file
	case kind != nil && kind.File:
		d.errorf(p.key(other(given)), `a %s database is a file; give its path as "database", alone`, kind.Label)
	case !d.has(p, "server"):
		d.errorf(p.key("server"), `is missing; add "server": "10.0.0.5"`)
	case parts.Server == "": // found wrong
	case kind == nil: // said of the driver
	case d.splitServer(p, kind, parts):
		c.DSN = kind.DSN(parts, escapeParts)
	}
}

// other is the first of the keys that the address of a file does not have.
func other(given []string) string {
	return given[max(slices.IndexFunc(given, func(key string) bool { return key != "database" }), 0)]
}

// references reports the variables that a text of a connection refers to and that are not set, unless the connection is left out.
func (d *decoder) references(id, path, text string) {
	if len(d.o.Only) > 0 && !slices.Contains(d.o.Only, id) {
		return
	}
	_, err := d.expand(text)
	d.missing(path, err, d.o.OthersAsk)
}

// missing reports what is wrong with the references of a text. What is only not there may be there for others.
func (d *decoder) missing(path string, err error, others bool) {
	for _, e := range split(err) {
		if !others || pipeline.Missing(e) == nil {
			d.errorf(path, "%s", e)
		}
	}
}

// split takes a joined error apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func envName(id string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, id)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "BRANCH_" + name
	}
	return strings.Trim(strings.ToUpper(name), "_")
}

// splitServer takes the server of an address apart, and reports whether it can be one. host\instance is common to all
// kinds that have instances.
func (d *decoder) splitServer(p place, kind *pipeline.DatabaseKind, a *pipeline.Address) bool {
	if kind.Split != nil {
		if err := kind.Split(a); err != nil {
			d.plugin(d.errorf, p.path, "server", err)
			return false
		}
	}
	if host, instance, ok := strings.Cut(a.Server, `\`); ok && a.Instance == "" {
		a.Server, a.Instance = host, instance
	}
	if a.Instance != "" && !kind.Instances {
		d.errorf(p.key("instance"), "only %s has named instances; remove it", labels(d.o.Databases, hasInstances))
		return false
	}
	problem := notServer(a.Server)
	if problem != "" {
		d.errorf(p.key("server"), "%s", problem)
	}
	return problem == ""
}

// notServer says why a text cannot be the name or address of a server; "" if it can.
func notServer(server string) string {
	literal := strings.Trim(anyReference.ReplaceAllString(server, "x"), "[]")
	switch {
	case net.ParseIP(literal) != nil:
		return ""
	case strings.Contains(literal, "://"):
		return `is a URL; write it as "dsn", or the name of the server alone`
	case strings.Contains(literal, ":"):
		return `has a colon; write the port as "port"`
	case strings.ContainsAny(literal, "/@?#, "):
		return "is not the name or the address of a server"
	}
	return ""
}

// escapeParts escapes a text for a URL and leaves its references to be escaped when they are expanded.
func escapeParts(s string) string {
	var b strings.Builder
	_ = scan(s, func(literal string) error {
		b.WriteString(escapeURL(literal))
		return nil
	}, func(r reference) error {
		b.WriteString(r.escaped())
		return nil
	})
	return b.String()
}

// escapeURL escapes every byte that means something anywhere in a URL; $ too, which would mean something to Expand.
func escapeURL(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
