package spec

import (
	"fanmill/pipeline"
)

// Request is a trigger on its way to its run.
type Request struct {
	pipeline.Trigger
	Run   string                // of the run that it asks for; "" for one that is no message
	Seq   uint64                // in the stream of triggers; 0 for one that is no message of it
	Trace pipeline.TraceContext // what has asked for it; the zero value is unknown
	// Again: its run goes on by itself, as nobody asks for it anew. A cancellation counts for that one, too.
	Again bool
}
