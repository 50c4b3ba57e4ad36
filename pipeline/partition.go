package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Partition is a share of the connections of one destination, with a commit record of its own, so that several workers
// write the destination side by side. In a manifest each partition is a destination, and the last one is that of number
// 0, which takes no connection: it closes the whole once the others have ended.
type Partition struct {
	Of          string `json:"of"`     // the destination's id in its job
	Number      int    `json:"number"` // from 1 to Count; 0 closes
	Count       int    `json:"count"`
	Connections []int  `json:"connections,omitempty"` // that it takes, by index, ascending
}

// MaxPartitions bounds the partitions of a destination: each may have a batch in memory beyond the budget.
const MaxPartitions = 32

// partitionMark stands between a destination's id and the number of its partition.
const partitionMark = "~"

// PartitionID is the id of a partition of a destination.
func PartitionID(destination string, number int) string {
	return destination + partitionMark + strconv.Itoa(number)
}

// WholeID is the id that people know a destination by, whose partition may have this one.
func WholeID(id string) string {
	if at := strings.LastIndex(id, partitionMark); at > 0 {
		if n, err := strconv.Atoi(id[at+1:]); err == nil && PartitionID(id[:at], n) == id {
			return id[:at]
		}
	}
	return id
}

// Takes reports whether the destination is to get a connection, by index.
func (d *ManifestDestination) Takes(connection int) bool {
	if d.Partition == nil {
		return true
	}
	_, found := slices.BinarySearch(d.Partition.Connections, connection)
	return found
}

// Expects is how many connections the destination is to get.
func (d *ManifestDestination) Expects(m *Manifest) int {
	if d.Partition == nil {
		return len(m.Connections)
	}
	return len(d.Partition.Connections)
}

// Closes reports whether this is the partition that closes its destination.
func (d *ManifestDestination) Closes() bool { return d.Partition != nil && d.Partition.Number == 0 }

// Shared reports whether this is one of the partitions that get the connections of a destination.
func (d *ManifestDestination) Shared() bool { return d.Partition != nil && d.Partition.Number > 0 }

// Whole is the id that people know the destination by.
func (d *ManifestDestination) Whole() string {
	if d.Partition == nil {
		return d.ID
	}
	return d.Partition.Of
}

// Wholes are the destinations as people know them, those in partitions in one, in the run's order.
func (m *Manifest) Wholes() []ManifestDestination {
	var all []ManifestDestination
	for _, d := range m.Destinations {
		switch {
		case d.Shared():
			continue
		case d.Closes():
			d.ID = d.Partition.Of
		}
		all = append(all, d)
	}
	return all
}

// PartsOf are the records' destinations of one that people know by this id: itself, or its partitions, the closing one
// last.
func (m *Manifest) PartsOf(whole string) (all []*ManifestDestination) {
	for i := range m.Destinations {
		if d := &m.Destinations[i]; d.Whole() == whole {
			all = append(all, d)
		}
	}
	return all
}

// partition puts the partitions of destinations in their places. One that has its partitions already keeps them, as
// those of a stored run do.
func (m *Manifest) partition() {
	var all []ManifestDestination
	for _, d := range m.Destinations {
		n := d.Partitions
		d.Partitions = 0
		if n <= 1 || d.Partition != nil {
			all = append(all, d)
			continue
		}
		of := d.ID
		shares := make([][]int, n)
		for i := range m.Connections {
			shares[i%n] = append(shares[i%n], i)
		}
		for k := range n {
			d.ID, d.Partition = PartitionID(of, k+1), &Partition{Of: of, Number: k + 1, Count: n, Connections: shares[k]}
			all = append(all, d)
		}
		d.ID, d.Partition = PartitionID(of, 0), &Partition{Of: of, Count: n}
		all = append(all, d)
	}
	m.Destinations = all
}

// addToPartitions gives a connection that a resume brings to the partition of each destination that has the fewest.
// Partitions of the manifest that this one was copied from stay as they are.
func (m *Manifest) addToPartitions(connection int) {
	for _, whole := range m.Wholes() {
		if whole.Partition == nil {
			continue
		}
		var least *ManifestDestination
		for _, d := range m.PartsOf(whole.ID) {
			if d.Shared() && (least == nil || len(d.Partition.Connections) < len(least.Partition.Connections)) {
				least = d
			}
		}
		if least != nil {
			p := *least.Partition
			p.Connections = append(slices.Clip(p.Connections), connection)
			least.Partition = &p
		}
	}
}

// AddConnection puts a connection at the end, with its files by destination; nil has none.
func (m *Manifest) AddConnection(c ManifestConnection, file func(d *ManifestDestination) (string, bool)) {
	m.Connections = append(slices.Clip(m.Connections), c)
	for i := range m.Destinations {
		if path, has := file(&m.Destinations[i]); has {
			m.Destinations[i].Files = append(slices.Clip(m.Destinations[i].Files), path)
		}
	}
	m.addToPartitions(len(m.Connections) - 1)
}

// SoundPartition says why a partition cannot be one of a run.
func (d *ManifestDestination) SoundPartition(m *Manifest) error {
	p := d.Partition
	switch {
	case p == nil:
		return nil
	case p.Of == "" || p.Count < 2 || p.Number < 0 || p.Number > p.Count || d.ID != PartitionID(p.Of, p.Number), p.Number == 0 && len(p.Connections) > 0:
		return fmt.Errorf("destination %q is partition %d of %d of %q", d.ID, p.Number, p.Count, p.Of)
	case !slices.IsSorted(p.Connections) || len(p.Connections) > 0 && (p.Connections[0] < 0 || p.Connections[len(p.Connections)-1] >= len(m.Connections)):
		return fmt.Errorf("destination %q takes connections that the run does not have", d.ID)
	}
	return nil
}

// text says which partition it is, behind where rows go; "" is the whole.
func (p *Partition) text() string {
	if p == nil || p.Number == 0 {
		return ""
	}
	return fmt.Sprintf(" (partition %d of %d)", p.Number, p.Count)
}
