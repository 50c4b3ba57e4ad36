package sinks

import (
	"path/filepath"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// groundOf is where the claims of a destination leave their nonces: the file itself, or, where there is a file for each
// connection, what stands in their place in the folder that all of them are below.
func groundOf(spec pipeline.SinkSpec, dataset bool) *artifact.Artifact {
	asked := artifactSpec(spec, dataset)
	if spec.Destination.Files != nil {
		asked.Path = commonName(spec.Destination.Path)
	}
	return artifact.New(asked)
}

// commonName is a path up to the first part that connections differ in.
func commonName(path string) string {
	for name := path; ; {
		dir := filepath.Dir(name)
		if dir == name || !strings.Contains(dir, "{connection}") {
			return name
		}
		name = dir
	}
}
