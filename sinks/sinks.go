// Package sinks holds the destinations that an artifact can be written to, one file each. A destination registers itself in
// its file; nothing else has to know it.
package sinks

import "fanmill/pipeline"

// types are the destinations by the "type" that a job file gives them.
var types = map[string]pipeline.SinkType{}

// Types returns the destinations of this build by their type. Each can also have a file per connection.
func Types() map[string]pipeline.SinkType {
	all := make(map[string]pipeline.SinkType, len(types))
	for name, t := range types {
		all[name] = splitType{t}
	}
	return all
}
