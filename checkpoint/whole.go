package checkpoint

import (
	"fmt"
	"maps"
	"slices"

	"fanmill/pipeline"
)

// A destination in partitions has a record for each, and is one for people: what they see is made of all its records.

// NewReports describes the destinations of a run as people know them, in the order of Manifest.Wholes. records and
// errors are by id of the manifest's destinations, the latter then by connection id.
func NewReports(m *pipeline.Manifest, records map[string]CommitRecord, errors map[string]map[string]string) []*pipeline.Report {
	wholes := m.Wholes()
	out := make([]*pipeline.Report, len(wholes))
	for i := range wholes {
		d := &wholes[i]
		reasons := map[string]string{}
		for _, part := range m.PartsOf(d.ID) {
			maps.Copy(reasons, errors[part.ID])
		}
		out[i] = NewReport(m, d, Whole(m, d.ID, records), reasons)
	}
	return out
}

// Whole is the record of a destination, or one made of those of its partitions. records are by id of the manifest's
// destinations. It is for looking: no store has it.
func Whole(m *pipeline.Manifest, destination string, records map[string]CommitRecord) CommitRecord {
	parts := m.PartsOf(destination)
	if len(parts) == 1 {
		return records[parts[0].ID]
	}
	whole := CommitRecord{Seq: ^uint64(0), Settled: map[int]pipeline.Settlement{}, Sealed: map[int]pipeline.Seal{}, Failed: map[int]pipeline.Refusal{}}
	open, states, known := false, map[pipeline.RecordState]bool{}, false
	for _, d := range parts {
		rec := records[d.ID]
		states[rec.State] = true
		known = known || rec.State != ""
		open = open || rec.State == pipeline.RecordOpen
		maps.Copy(whole.Settled, rec.Settled)
		maps.Copy(whole.Sealed, rec.Sealed)
		maps.Copy(whole.Failed, rec.Failed)
		whole.Lost = whole.Lost || rec.Lost
		whole.Commits += rec.Commits
		whole.Delivery = delivered(whole.Delivery, rec.Delivery)
		switch {
		case d.Closes():
			if whole.Error == "" { // else it tells of another partition's
				whole.Error = rec.Error
			}
		case rec.Error != "":
			if whole.Error != "" {
				whole.Error += "; "
			}
			whole.Error += PartitionError(d, rec.Error)
		}
		if !d.Closes() && !rec.Ended() {
			whole.Seq = min(whole.Seq, rec.Seq)
		}
	}
	if whole.Seq == ^uint64(0) { // all have read what they were to read
		whole.Seq = 0
		for _, d := range parts {
			whole.Seq = max(whole.Seq, records[d.ID].Seq)
		}
	}
	whole.State = stateOfWhole(states, open)
	if !known {
		whole.State = ""
	}
	return whole
}

// PartitionError says of which partition an error is.
func PartitionError(d *pipeline.ManifestDestination, text string) string {
	return fmt.Sprintf("partition %d of %d: %s", d.Partition.Number, d.Partition.Count, text)
}

// stateOfWhole is the state of a destination whose partitions are in these: it ends with the last of them, as the
// worst.
func stateOfWhole(states map[pipeline.RecordState]bool, open bool) pipeline.RecordState {
	switch {
	case states[pipeline.RecordAbandoned]:
		return pipeline.RecordAbandoned
	case open || states[""]:
		return pipeline.RecordOpen
	}
	for _, s := range []pipeline.RecordState{pipeline.RecordFinishing, pipeline.RecordDetached, pipeline.RecordOwing} {
		if states[s] {
			return s
		}
	}
	return pipeline.RecordFinished
}

// mostIDs bounds the ids of what a receiver made, in a sum.
const mostIDs = 20

// delivered adds up what was sent; nil is nothing.
func delivered(a, b *pipeline.Delivery) *pipeline.Delivery {
	if a == nil || b == nil {
		if a == nil {
			a = b
		}
		return a
	}
	sum := *a
	sum.Requests, sum.Sent, sum.Refused, sum.Dropped = a.Requests+b.Requests, a.Sent+b.Sent, a.Refused+b.Refused, a.Dropped+b.Dropped
	sum.Rows, sum.Bytes = a.Rows+b.Rows, a.Bytes+b.Bytes
	if b.Last != nil && (a.Last == nil || b.Last.At.After(a.Last.At)) {
		sum.Last = b.Last
	}
	sum.IDs = slices.Concat(a.IDs, b.IDs)
	sum.IDs = sum.IDs[:min(len(sum.IDs), mostIDs)]
	if len(sum.IDs) == 0 {
		sum.IDs = nil
	}
	return &sum
}
