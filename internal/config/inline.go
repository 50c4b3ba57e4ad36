package config

import (
	"slices"
	"strings"

	"fanmill/pipeline"
)

// bound checks the address of a connection, which is in parts: a DSN has too many ways to say where it leads.
func (d *decoder) bound(p place, c *pipeline.Connection, a *pipeline.Address) {
	dsn := c.DSN
	c.DSN = ""
	kind := d.o.Databases[c.Driver]
	switch {
	case d.has(p, "dsn"):
		d.errorf(p.key("dsn"), "a job that is brought along gives its connections as server, port, database, user, password and options, or, for %s, database",
			labels(d.o.Databases, isFile))
	case kind == nil: // said of the driver
	case kind.Inline == nil:
		d.errorf(p.key("driver"), "a job that is brought along cannot read %s", kind.Label)
	case kind.File:
		if a.Database != "" && d.boundFile(p, kind, a.Database) {
			c.DSN = dsn
		}
	case a.Server == "":
		if dsn != "" {
			d.errorf(p.key("server"), `is missing; add "server": "10.0.0.5"`)
		}
	case d.boundServer(p, kind, a) && dsn != "":
		own := *a
		own.Options = append(slices.Clone(a.Options), kind.Inline.Added...)
		c.DSN = kind.DSN(&own, escapeParts)
	}
}

// boundFile reports whether such a job may read the file of a database.
func (d *decoder) boundFile(p place, kind *pipeline.DatabaseKind, path string) bool {
	var err error
	if kind.Inline.CheckFile != nil {
		err = kind.Inline.CheckFile(path)
	}
	if err == nil {
		err = d.o.Bounds.database(path)
	}
	if err != nil {
		d.errorf(p.key("database"), "%s", err)
	}
	return err == nil
}

// boundServer reports whether such a job may reach a server in this way.
func (d *decoder) boundServer(p place, kind *pipeline.DatabaseKind, a *pipeline.Address) bool {
	before := d.errorCount()
	allowed := kind.Inline.Options
	for _, o := range a.Options {
		if !slices.ContainsFunc(allowed, func(name string) bool { return strings.EqualFold(name, o.Name) }) {
			d.errorf(p.key("options")+"."+o.Name, "is no option that a job that is brought along may have; it may have %s", strings.Join(allowed, ", "))
		}
	}
	if a.User == "" || a.Password == "" { // else those of this process's account would do
		d.errorf(p.key("user"), "a job that is brought along gives each connection a user and a password")
	}
	if err := d.o.Bounds.host(kind.Port, a); err != nil {
		d.errorf(p.key("server"), "%s", err)
	}
	return d.errorCount() == before
}

// boundQueries has the databases of such a job refuse queries that could reach more than themselves.
func (d *decoder) boundQueries() {
	if d.o.Bounds == nil {
		return
	}
	for i := range d.out.Connections {
		c := &d.out.Connections[i]
		kind := d.o.Databases[c.Driver]
		if kind == nil || kind.Inline == nil || kind.Inline.CheckQuery == nil {
			continue
		}
		for _, q := range c.Queries {
			if err := kind.Inline.CheckQuery(q.SQL); err != nil {
				d.errorf(connectionPath(i), "%s", err)
			}
			if sql := controlSQL(&q); sql != "" {
				if err := kind.Inline.CheckQuery(sql); err != nil {
					d.errorf(connectionPath(i), "verify: %s", err)
				}
			}
		}
	}
}
