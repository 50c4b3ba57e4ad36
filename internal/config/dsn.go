package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// partsDraft is a connection's address in parts, written without any escaping.
type partsDraft struct {
	Server, Instance, Database, User, Password string
	Port                                       int
	Options                                    []option
}

type option struct{ name, value string }

// partKeys are the keys that stand in for a dsn.
var partKeys = []string{"server", "port", "instance", "database", "user", "password", "options"}

// options reads an object of scalars.
func (d *decoder) options(p place) (out []option) {
	if p.n.kind != objectNode {
		d.errorf(p.path, "must be an object such as {\"sslmode\": \"require\"}, not %s", p.n.kind)
		return nil
	}
	d.entries(p, func(p place, name string) {
		if p.n.kind == listNode || p.n.kind == objectNode || p.n.kind == nullNode {
			d.errorf(p.path, "must be a text, a number, true or false, not %s", p.n.kind)
			return
		}
		out = append(out, option{name, p.n.text})
	})
	return out
}

// address settles a connection's dsn: as given, or put together from its parts.
func (d *decoder) address(p place, c *pipeline.Connection, parts *partsDraft) {
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
	switch hasDSN := d.has(p, "dsn"); {
	case hasDSN && len(given) > 0:
		d.errorf(p.key(given[0]), `there is a "dsn" as well; keep the dsn or server, database, user ..., not both`)
	case hasDSN:
	case len(given) == 0:
		d.errorf(p.key("dsn"), `is missing; add "dsn": "${%s_DSN}", or server, database, user and password`, envName(c.ID))
	case parts.Server == "" && parts.Database != "" && parts.User == "" && parts.Password == "" && parts.Port == 0:
		c.DSN = parts.Database // a database without a server is a file
	case c.Driver == "sqlite":
		d.errorf(p.key(other(given)), `a SQLite database is a file; give its path as "database", alone`)
	case !d.has(p, "server"):
		d.errorf(p.key("server"), `is missing; add "server": "10.0.0.5"`)
	case parts.Server == "": // found wrong
	default:
		if key, problem := parts.settle(c.Driver); problem != "" {
			d.errorf(p.key(key), "%s", problem)
			return
		}
		c.DSN = parts.url(c.Driver)
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
	for _, e := range split(err) {
		d.errorf(path, "%s", e)
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

// schemes are the URL schemes of drivers that have another name than theirs.
var schemes = map[string]string{"postgresql": "postgres", "mssql": "sqlserver", "mariadb": "mysql"}

func scheme(driver string) string { return cmp.Or(schemes[driver], driver) }

// settle takes the server apart as SQL Server's own tools write it, tcp:host\instance,port, and finds what a server's name cannot
// be: then it returns the key at fault and what is wrong with it.
func (a *partsDraft) settle(driver string) (key, problem string) {
	sqlserver := scheme(driver) == "sqlserver"
	if sqlserver {
		a.Server = strings.TrimPrefix(a.Server, "tcp:")
		if host, port, ok := strings.Cut(a.Server, ","); ok {
			n, err := strconv.Atoi(strings.TrimSpace(port))
			if err != nil || n < 1 || n > 65535 || a.Port != 0 && a.Port != n {
				return "server", fmt.Sprintf("%q has a port that does not fit; write the port as \"port\"", a.Server)
			}
			a.Server, a.Port = strings.TrimSpace(host), n
		}
	}
	if host, instance, ok := strings.Cut(a.Server, `\`); ok && a.Instance == "" {
		a.Server, a.Instance = host, instance
	}
	if a.Instance != "" && !sqlserver {
		return "instance", "only SQL Server has named instances; remove it"
	}
	literal := strings.Trim(anyReference.ReplaceAllString(a.Server, "x"), "[]")
	switch {
	case net.ParseIP(literal) != nil:
	case strings.Contains(literal, "://"):
		return "server", `is a URL; write it as "dsn", or the name of the server alone`
	case strings.Contains(literal, ":"):
		return "server", `has a colon; write the port as "port"`
	case strings.ContainsAny(literal, "/@?#, "):
		return "server", "is not the name or the address of a server"
	}
	return "", ""
}

// url is the address as a URL that the driver takes: <scheme>://user:password@server:port/database?options, and for SQL Server
// sqlserver://user:password@server:port/instance?database=...&options. References in the parts become ${NAME|url}, so that a
// password needs no escaping in the environment either.
func (a *partsDraft) url(driver string) string {
	var b strings.Builder
	b.WriteString(scheme(driver) + "://")
	if a.User != "" || a.Password != "" {
		b.WriteString(escapeParts(a.User))
		if a.Password != "" {
			b.WriteString(":" + escapeParts(a.Password))
		}
		b.WriteByte('@')
	}
	host := a.Server
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.To4() == nil {
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	b.WriteString(host)
	if a.Port != 0 {
		b.WriteString(":" + strconv.Itoa(a.Port))
	}
	path, options := a.Database, a.Options
	if scheme(driver) == "sqlserver" {
		path = a.Instance
		if a.Database != "" {
			options = append([]option{{"database", a.Database}}, options...)
		}
	}
	if path != "" {
		b.WriteString("/" + escapeParts(path))
	} else if scheme(driver) == "mysql" {
		b.WriteByte('/') // its DSNs have one, database or not
	}
	for i, o := range options {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(escapeParts(o.name) + "=" + escapeParts(o.value))
	}
	return b.String()
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
