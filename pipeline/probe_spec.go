package pipeline

import (
	"context"
)

// Probe asks what the queries of a connection return.
type Probe struct {
	Definition *Definition
	Connection string // its id
	Args       []Arg  // of the queries
	Hosts      *Hosts // gives the places on the servers
	NoRun      bool   // a query that would have to run for this is not described
	Asks       func() // is called once there is a place on the server; may be nil
	// Look is shown the open session; may be nil.
	Look func(context.Context, Session) error
}
