package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"fanmill/pipeline"
)

// Every connection is of one partition of a destination, also one that a resume adds, and stays there; the last
// partition takes none.
func TestEveryConnectionHasItsPartition(t *testing.T) {
	for connections := range 7 {
		job := &pipeline.Job{ID: "j"}
		for i := range connections {
			job.Connections = append(job.Connections, pipeline.Connection{ID: fmt.Sprint("c", i), Queries: []pipeline.Query{{SQL: "select 1"}}})
		}
		m, err := pipeline.NewManifest(job, "run", time.Now(), 1<<20, nil, []pipeline.ManifestDestination{{ID: "a"}, {ID: "b", Partitions: 3}, {ID: "c", Partitions: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			for i := range m.Connections {
				takers := map[string]int{}
				for k := range m.Destinations {
					if d := &m.Destinations[k]; d.Takes(i) {
						takers[d.Whole()]++
					}
				}
				if takers["a"] != 1 || takers["b"] != 1 || takers["c"] != 1 || len(takers) != 3 {
					t.Errorf("connection %d of %d is taken by %v", i, len(m.Connections), takers)
				}
			}
			least, most := len(m.Connections), 0
			for _, d := range m.PartsOf("b") {
				if err := d.SoundPartition(m); err != nil {
					t.Error(err)
				}
				if d.Shared() {
					least, most = min(least, d.Expects(m)), max(most, d.Expects(m))
				}
			}
			if most-least > 1 {
				t.Errorf("of %d connections one partition has %d, another %d", len(m.Connections), least, most)
			}
			m.AddConnection(pipeline.ManifestConnection{ID: fmt.Sprint("more", len(m.Connections))}, func(*pipeline.ManifestDestination) (string, bool) { return "", false })
		}
		var ids []string
		for _, d := range m.Destinations {
			ids = append(ids, d.ID)
		}
		if want := "[a b~1 b~2 b~3 b~0 c]"; fmt.Sprint(ids) != want || !m.Destination("b~0").Closes() || m.Destination("b~0").Expects(m) != 0 {
			t.Errorf("the manifest has %v, want %s", ids, want)
		}
		if w := m.Wholes(); len(w) != 3 || w[1].ID != "b" {
			t.Errorf("people see %+v", w)
		}
	}
	for id, want := range map[string]string{"b~1": "b", "b~0": "b", "b": "b", "b~": "b~", "~1": "~1", "b~x": "b~x", "b~01": "b~01", "a~1~2": "a~1"} {
		if got := pipeline.WholeID(id); got != want {
			t.Errorf("%s is of %s, want %s", id, got, want)
		}
	}
}
