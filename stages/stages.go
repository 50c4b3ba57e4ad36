// Package stages holds the databases that rows come from, one file or small family of files for each. A stage knows how to
// open its database read-only, describe queries, stream rows into columnar builders without boxing a value, cancel, and
// tell a failure that may pass from one that will not. How a batch is cut, retried and delivered is not its business.
//
// A new database is one more file with a pipeline.Driver that registers itself.
package stages

import (
	"fmt"
	"maps"

	"fanmill/pipeline"
)

var drivers = map[string]pipeline.Driver{}

// register is called by the init function of each database's file.
func register(d pipeline.Driver, names ...string) {
	for _, n := range names {
		if _, taken := drivers[n]; taken {
			panic("stages: two drivers are called " + n)
		}
		drivers[n] = d
	}
}

// Drivers returns every database by the names that a job may call it.
func Drivers() map[string]pipeline.Driver { return maps.Clone(drivers) }

// queryLabel names query q in errors.
func queryLabel(queries []pipeline.Query, q int) string {
	switch {
	case queries[q].Name != "":
		return fmt.Sprintf("query %q", queries[q].Name)
	case len(queries) > 1:
		return fmt.Sprintf("query %d", q+1)
	default:
		return "query"
	}
}
