package sinks

import "fanmill/pipeline"

// ofQuery is the report of a file that takes the rows of one query (nil: of all): it counts no others.
func ofQuery(r *pipeline.Report, m *pipeline.Manifest, query *int) *pipeline.Report {
	if r == nil || query == nil {
		return r
	}
	own := *r
	own.Connections = make([]pipeline.ReportConnection, len(r.Connections))
	for i, c := range r.Connections {
		if q := *query; i < len(m.Connections) && len(c.Rows) == len(m.Connections[i].Queries) && q < len(c.Rows) {
			c.Rows = c.Rows[q : q+1]
		}
		own.Connections[i] = c
	}
	return &own
}
