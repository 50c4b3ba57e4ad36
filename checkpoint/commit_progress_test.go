package checkpoint_test

import (
	"maps"
	"slices"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// What a destination has failed, opened again and settled since it last wrote comes into the record together, and a
// floor never falls.
func TestReadPosition(t *testing.T) {
	r := checkpoint.CommitRecord{
		Settled: map[int]pipeline.Settlement{0: {Attempt: 2}},
		Failed:  map[int]pipeline.Refusal{0: {Attempt: 1}, 1: {Attempt: 1}, 2: {Attempt: 1}},
		Floor:   map[int]int{0: 2, 3: 5},
	}
	r.Read(checkpoint.Reading{
		Seq: 9, Parts: []pipeline.PartState{{PartID: pipeline.PartID{Connection: 4, Attempt: 3}}},
		Reopened: map[int]bool{1: true, 2: true}, Failed: map[int]pipeline.Refusal{2: {Attempt: 7}}, Attempts: map[int]int{3: 4, 4: 3, 5: 1},
	})
	if r.Seq != 9 || len(r.Parts) != 1 || !slices.Equal(slices.Collect(maps.Keys(r.Failed)), []int{2}) || r.Failed[2].Attempt != 7 {
		t.Errorf("position %d, parts %v, failed %v", r.Seq, r.Parts, r.Failed)
	}
	if want := map[int]int{3: 5, 4: 3}; !maps.Equal(r.Floor, want) {
		t.Errorf("floors %v, want %v", r.Floor, want)
	}
}

// A connection whose request was given up is turned away for good; one whose request is a letter stays sealed, and is
// not sent.
func TestAccountOfAnOutbox(t *testing.T) {
	r := checkpoint.CommitRecord{Sealed: map[int]pipeline.Seal{}, Failed: map[int]pipeline.Refusal{}}
	for i := range 3 {
		r.Sealed[i] = pipeline.Seal{Settlement: pipeline.Settlement{Attempt: i + 1}, Refused: i == 2}
	}
	r.Account(checkpoint.Outbox{Length: 7, GivenUp: map[int]int{0: 1, 9: 2}, Refused: map[int]bool{1: true}, Sum: &pipeline.Delivery{Sent: 1}})
	if f, ok := r.Failed[0]; !ok || !f.Dropped || !f.Rejected || f.Attempt != 1 || len(r.Failed) != 1 || !r.Has(0) {
		t.Errorf("failed %+v", r.Failed)
	}
	if len(r.Sealed) != 2 || !r.Sealed[1].Refused || r.Sealed[2].Refused || r.Outbox != 7 || r.Delivery.Sent != 1 {
		t.Errorf("sealed %+v, outbox %d, delivery %+v", r.Sealed, r.Outbox, r.Delivery)
	}
	r.Refuse([]int{2, 5})
	if f, ok := r.Failed[2]; !ok || f.Dropped || len(r.Failed) != 2 || r.Has(2) {
		t.Errorf("after a refusal: %+v", r.Failed)
	}
}

// Of two decisions on one letter the later one counts.
func TestDecisionsOnALetter(t *testing.T) {
	var r checkpoint.CommitRecord
	r.Replay(3)
	r.DropLetter(4)
	r.DropLetter(3)
	r.Replay(4)
	r.Replay(4)
	if !slices.Equal(r.Replays, []int{4}) || !slices.Equal(r.Drops, []int{3}) {
		t.Errorf("to be sent %v, to be dropped %v", r.Replays, r.Drops)
	}
}
