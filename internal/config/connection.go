package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// connectionKeys are all keys of a connection.
var connectionKeys = append([]string{"id", "name", "driver", "dsn", "query", "queries"}, partKeys...)

// connections reads the connections: a list, or the inventory that has them.
func (d *decoder) connections(p place) {
	if p.n.kind == objectNode && d.o.Bounds != nil {
		d.errorf(p.path, "a job that is brought along has a list of connections; an inventory would be a file of this machine's")
		return
	}
	if p.n.kind == objectNode {
		d.inventory(p)
		return
	}
	d.list(p, "connections", d.connection)
}

func (d *decoder) connection(p place) {
	var c pipeline.Connection
	parts := pipeline.Address{}
	_, ok := d.object(p, nil,
		d.textField("id", &c.ID),
		d.textField("name", &c.Name),
		d.textField("driver", &c.Driver),
		d.textField("dsn", &c.DSN),
		d.queryField(&c.Queries),
		d.queriesField(&c.Queries),
		d.textField("server", &parts.Server),
		field{"port", func(p place) { d.port(p, &parts.Port) }},
		d.textField("instance", &parts.Instance),
		d.textField("database", &parts.Database),
		d.textField("user", &parts.User),
		d.textField("password", &parts.Password),
		field{"options", func(p place) { parts.Options = d.options(p) }},
	)
	if ok {
		d.oneOf(p, "query", "queries")
		d.need(p, "id", `"conn_1"`)
		d.need(p, "driver", driverHint(d.o.Databases))
		d.address(p, &c, &parts)
		if d.o.Bounds != nil {
			d.bound(p, &c, &parts)
		}
		if file, ok := strings.CutPrefix(parts.Password, "file:"); ok {
			d.warnf(p.key("password"), "is taken as it stands; for what a file holds write ${file:%s}", file)
		}
		if c.Name == "" {
			c.Name = c.ID
		}
	}
	d.out.Connections = append(d.out.Connections, c)
	d.asked = append(d.asked, p)
}

// port reads a port: a number, also one in quotes, as tables have them.
func (d *decoder) port(p place, dst *int) {
	if v, err := strconv.Atoi(p.n.text); p.n.kind != numberNode && p.n.kind != stringNode || err != nil || v < 1 || v > 65535 {
		d.errorf(p.path, "must be a whole number from 1 to 65535")
	} else {
		*dst = v
	}
}

// driver checks a connection's driver, and has its kind of database check the rest.
func (d *decoder) driver(path string, c *pipeline.Connection) {
	if c.Driver == "" {
		return
	}
	kind, ok := d.o.Databases[c.Driver]
	if !ok {
		d.errorf(path+".driver", "%s", unknown(c.Driver, "database", slices.Collect(maps.Keys(d.o.Databases))))
		return
	}
	if kind.CheckDSN == nil || c.DSN == "" || d.o.Elsewhere && pipeline.HasReference(c.DSN) {
		return
	}
	dsn, err := d.expand(c.DSN)
	if err != nil {
		return // reported where the reference stands
	}
	if strings.TrimSpace(dsn) == "" {
		d.errorf(path+".dsn", "is empty once its variables have their values; look at what %s is set to", c.DSN)
		return
	}
	d.plugin(d.errorf, path, "dsn", kind.CheckDSN(dsn))
}
