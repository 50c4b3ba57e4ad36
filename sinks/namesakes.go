package sinks

import (
	"fmt"
	"strings"

	"fanmill/pipeline"
)

// namesakesOf finds the connections of a run that readers may take for each other by their names.
func namesakesOf(m *pipeline.Manifest) [][]int {
	names := make([]string, len(m.Connections))
	for i := range m.Connections {
		names[i] = m.Connections[i].Name
	}
	return pipeline.Namesakes(names)
}

// namesakeNotes says which connections a reader may take for this one. same is what follows from it where the names are
// equal.
func namesakeNotes(m *pipeline.Manifest, connection int, others []int, same string) (notes []string) {
	const named = 3
	me := m.Connections[connection].Name
	var equal []string
	for _, k := range others {
		other := &m.Connections[k]
		if k == connection {
			continue
		}
		if other.Name == me {
			equal = append(equal, other.ID)
		} else if len(notes) < named {
			notes = append(notes, fmt.Sprintf("connection %s is called %s, and this one %s", other.ID, pipeline.ShowName(other.Name, me), pipeline.ShowName(me, other.Name)))
		}
	}
	if len(equal) > named {
		equal = append(equal[:named], fmt.Sprintf("%d more", len(equal)-named))
	}
	if len(equal) > 0 {
		notes = append(notes, fmt.Sprintf("%s is the name of %s, too: %s", pipeline.ShowName(me), strings.Join(equal, ", "), same))
	}
	return notes
}
