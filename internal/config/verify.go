package config

import (
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

const (
	// maxVerifySums bounds the columns that are added up: a record of each connection has their sums.
	maxVerifySums = 40
	// maxAlert is a change, in percent, that no job wants to hear of.
	maxAlert = 1_000_000
)

// verifyField is a key with control totals: true, for the number of rows, or an object; false is totals
// of nothing.
func (d *decoder) verifyField(dst **pipeline.Verify) field {
	return field{"verify", func(p place) {
		if p.n.kind == boolNode {
			*dst = &pipeline.Verify{Count: p.n.text == "true"}
			return
		}
		v := &pipeline.Verify{Count: true}
		_, ok := d.object(p, nil,
			d.boolField("count", &v.Count),
			field{"sum", func(p place) { d.sums(p, &v.Sum) }},
			d.textField("query", &v.Query),
		)
		switch {
		case !ok:
			return
		case !v.Count && len(v.Sum) == 0 && !d.has(p, "sum"):
			d.errorf(p.path, `asks for nothing; leave "count" out, or name columns in "sum"`)
			return
		}
		*dst = v
	}}
}

// sums reads the names of columns: a list, or one.
func (d *decoder) sums(p place, dst *[]string) {
	one := func(p place) {
		var name string
		if d.text(p, &name); name == "" {
			return
		}
		if slices.Contains(*dst, name) {
			d.errorf(p.path, "%q is here twice; remove one", name)
			return
		}
		*dst = append(*dst, name)
	}
	if p.n.kind == stringNode {
		one(p)
		return
	}
	d.list(p, "columns", one)
	if len(*dst) > maxVerifySums {
		d.errorf(p.path, "has %d columns, and may have %d", len(*dst), maxVerifySums)
	}
}

// verifyAll gives the queries that say nothing of control totals those of the job.
func (d *decoder) verifyAll(shared *pipeline.Verify) {
	several := false
	for i := range d.out.Connections {
		queries := d.out.Connections[i].Queries
		several = several || len(queries) > 1
		for q := range queries {
			if queries[q].Verify == nil {
				queries[q].Verify = shared
			}
		}
	}
	if several && shared != nil && shared.Query != "" {
		d.errorf("verify.query", `is one query, and connections have several; give each of "queries" its own "verify"`)
	}
}

// alert reads from which change on a connection is named.
func (d *decoder) alert(p place) {
	var a pipeline.Alert
	if p.n.kind != objectNode {
		d.percent(p, &a.Rows)
		a.Total = a.Rows
	} else if _, ok := d.object(p, nil,
		field{"rows", func(p place) { d.percent(p, &a.Rows) }},
		field{"total", func(p place) { d.percent(p, &a.Total) }},
	); ok && !d.has(p, "rows") && !d.has(p, "total") {
		d.errorf(p.path, `names nothing; add "rows": "30 %%", or "total"`)
	}
	if a != (pipeline.Alert{}) {
		d.out.Alert = &a
	}
}

// percent reads a part in percent: "30 %", "30%" or 30.
func (d *decoder) percent(p place, dst *float64) {
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(p.n.text), "%"))
	v, err := strconv.ParseFloat(text, 64)
	if p.n.kind != numberNode && p.n.kind != stringNode || err != nil || !(v > 0 && v <= maxAlert) {
		d.errorf(p.path, `must be a change in percent, above 0, such as "30 %%"`)
		return
	}
	*dst = v
}

// alertWithoutTotals warns of a threshold of totals where nothing is added up.
func (d *decoder) alertWithoutTotals() {
	a := d.out.Alert
	if a == nil || a.Total == 0 || a.Total == a.Rows {
		return
	}
	for i := range d.out.Connections {
		for _, q := range d.out.Connections[i].Queries {
			if !q.Verify.None() && len(q.Verify.Sum) > 0 {
				return
			}
		}
	}
	d.warnf("alert.total", `no query adds anything up; name columns in "verify": {"sum": [...]}`)
}

// controlSQL is the job's own query for control totals; "" if there is none.
func controlSQL(q *pipeline.Query) string {
	if q.Verify == nil || q.Verify.Query == "" {
		return ""
	}
	return "\n" + q.Verify.Query
}
