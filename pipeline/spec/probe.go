package spec

import (
	"context"

	"fanmill/pipeline"
)

// Probe asks what the queries of a connection return.
type Probe struct {
	Definition *Definition
	Connection string          // its id
	Args       []pipeline.Arg  // of the queries
	Hosts      *pipeline.Hosts // gives the places on the servers
	NoRun      bool            // a query that would have to run for this is not described
	Asks       func()          // is called once there is a place on the server; may be nil
	// Look is shown the open session; may be nil.
	Look func(context.Context, pipeline.Session) error
}
