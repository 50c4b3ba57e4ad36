package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
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
func (d *decoder) options(p place) []option {
	if p.n.kind != objectNode {
		d.errorf(p.path, "must be an object such as {\"sslmode\": \"require\"}, not %s", p.n.kind)
		return nil
	}
	var out []option
	for _, m := range p.n.members {
		if m.value.kind == listNode || m.value.kind == objectNode || m.value.kind == nullNode {
			d.report(m.value.position, p.key(m.name), false, fmt.Sprintf("must be a text, a number, true or false, not %s", m.value.kind))
			continue
		}
		out = append(out, option{m.name, m.value.text})
	}
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
		d.references(p.key(key), m.text)
		for _, o := range m.members {
			d.references(p.key(key)+"."+o.name, o.value.text)
		}
	}
	d.references(p.key("dsn"), c.DSN)
	if host, instance, ok := strings.Cut(parts.Server, `\`); ok && parts.Instance == "" {
		parts.Server, parts.Instance = host, instance // as SQL Server's own tools write it
	}
	switch hasDSN := d.has(p, "dsn"); {
	case hasDSN && len(given) > 0:
		d.errorf(p.key(given[0]), `there is a "dsn" as well; keep the dsn or server, database, user ..., not both`)
	case hasDSN:
	case len(given) == 0:
		d.errorf(p.key("dsn"), `is missing; add "dsn": "${%s_DSN}", or server, database, user and password`, envName(c.ID))
	case parts.Server == "" && parts.Database != "" && parts.User == "" && parts.Password == "" && parts.Port == 0:
		c.DSN = parts.Database // a database without a server is a file
	case !d.has(p, "server"):
		d.errorf(p.key("server"), `is missing; add "server": "10.0.0.5"`)
	default:
		c.DSN = parts.url(c.Driver)
	}
}

// references reports the variables that a text refers to and that are not set.
func (d *decoder) references(path, text string) {
	_, err := Expand(text, d.lookup)
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

// url is the address as a URL, <driver>://user:password@server:port/database?options, or .../instance?database=... for
// a named instance. References in the parts become ${NAME|url}, so that a password needs no escaping in the environment
// either.
func (a *partsDraft) url(driver string) string {
	var b strings.Builder
	b.WriteString(driver + "://")
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
	options := a.Options
	if a.Instance != "" {
		b.WriteString("/" + escapeParts(a.Instance))
		if a.Database != "" {
			options = append([]option{{"database", a.Database}}, options...)
		}
	} else if a.Database != "" {
		b.WriteString("/" + escapeParts(a.Database))
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
		b.WriteString("${" + r.name + "|url}")
		return nil
	})
	return b.String()
}

// escapeURL escapes every byte that means something anywhere in a URL; $ too, which would mean something to Expand.
func escapeURL(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

var (
	passwordPair = regexp.MustCompile(`(?i)(?:^|[\s;?&])(?:ssl)?(?:password|passwd|pwd)\s*=\s*('(?:[^'\\]|\\.)*'|"[^"]*"|\{[^}]*\}|(?:\$\{[^}]*\}|[^\s;&])*)`)
	mysqlAddress = regexp.MustCompile(`^[^:/@\s]*:(.*)@(?:\w*\(|/)`)
	anyReference = regexp.MustCompile(`\$\{[^}]*\}`)
)

// SecretLiterals names the connections whose dsn holds a password as such, rather than a reference ${VAR}. It reads the
// forms of all databases: URLs, key=value lists, user:password@tcp(host).
func SecretLiterals(j *pipeline.Job) []string {
	var ids []string
	for i := range j.Connections {
		if literalSecret(j.Connections[i].DSN) {
			ids = append(ids, j.Connections[i].ID)
		}
	}
	return ids
}

func literalSecret(dsn string) bool {
	literal := func(s string) bool {
		return strings.Trim(anyReference.ReplaceAllString(s, ""), `'"{} `) != ""
	}
	for _, m := range passwordPair.FindAllStringSubmatch(dsn, -1) {
		if literal(m[1]) {
			return true
		}
	}
	if _, rest, ok := strings.Cut(dsn, "://"); ok {
		// The authority ends at the first ?, unless the password has one that should have been escaped.
		authority, _, _ := strings.Cut(rest, "?")
		at := strings.LastIndexByte(authority, '@')
		if at < 0 {
			authority, at = rest, strings.LastIndexByte(rest, '@')
		}
		if at >= 0 {
			_, password, _ := strings.Cut(authority[:at], ":")
			return literal(password)
		}
		return false
	}
	m := mysqlAddress.FindStringSubmatch(dsn)
	return m != nil && literal(m[1])
}
