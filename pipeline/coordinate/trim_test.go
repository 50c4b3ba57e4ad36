package coordinate

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// trimLog is a row log of frames of one size, as a supervisor meets it.
type trimLog struct {
	pipeline.RowLog // nil: what is not below is not used
	first, last     uint64
	frame, max      int64 // bytes
	purges          []uint64
	looks           int
	before          func() // called when a purge is on its way
}

func (l *trimLog) State(context.Context) (pipeline.LogState, error) {
	l.looks++
	return pipeline.LogState{ID: pipeline.LogID{Stream: "s", Generation: 1}, First: l.first, Last: l.last, Bytes: int64(l.last+1-l.first) * l.frame, MaxBytes: l.max}, nil
}

func (l *trimLog) Trim(_ context.Context, seq uint64) error {
	if l.before != nil {
		l.before()
	}
	l.purges = append(l.purges, seq)
	l.first = max(l.first, min(seq, l.last)+1)
	return nil
}

// trimmer is the supervisor of a run with the destinations a and d, and its log.
func trimmer(t *testing.T, frame, most int64) (*supervisor, *trimLog, *memstore.KV) {
	t.Helper()
	kv, log := &memstore.KV{}, &trimLog{first: 1, last: 600, frame: frame, max: most}
	rec := checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Owner: pipeline.Owner{Token: "first", LeaseMS: 15000}, Generation: 1}
	doc, err := checkpoint.CreateDocument(t.Context(), kv, checkpoint.RunKey("r"), rec)
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(&run{c: &Coordinator{Owner: rec.Owner, Log: slog.New(slog.DiscardHandler)}, doc: doc, fixed: rec, log: log,
		m: &pipeline.Manifest{Run: "r", Destinations: []pipeline.ManifestDestination{{ID: "a"}, {ID: "d"}}}})
	s.marked = time.Now()
	return s, log, kv
}

// at puts both destinations where a test wants them; d is detached.
func (s *supervisor) at(a, d uint64) {
	log := pipeline.LogID{Stream: "s", Generation: 1}
	s.records["a"] = checkpoint.CommitRecord{State: pipeline.RecordOpen, Log: log, Seq: a}
	s.records["d"] = checkpoint.CommitRecord{State: pipeline.RecordDetached, Log: log, Seq: d}
}

// taken has another process take the run over, and returns how far it finds the log given up.
func taken(t *testing.T, kv *memstore.KV) uint64 {
	t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), kv, checkpoint.RunKey("r"))
	if err != nil {
		t.Fatal(err)
	}
	rec := doc.Value()
	rec.Owner.Token = "second"
	if err := doc.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Trimmed
}

// Sequence 7: a coordinator sleeps in the middle of a purge past a detached destination. A resume finds all frames
// still there, and does not open the destination on this log all the same: the purge is yet to come.
func TestResumeDuringAPurge(t *testing.T) {
	s, log, kv := trimmer(t, 1<<20, 512<<20)
	s.at(500, 100)
	asleep := false
	log.before = func() {
		asleep = true
		mark := taken(t, kv)
		state, err := log.State(t.Context())
		if err != nil || state.First != 1 {
			t.Fatalf("the log is %+v, %v", state, err)
		}
		a, d := s.records["a"], s.records["d"]
		if fits(&d, state, mark) || !fits(&a, state, mark) {
			t.Errorf("the mark is %d: the detached destination at %d is to begin anew, the other at %d goes on", mark, d.Seq, a.Seq)
		}
	}
	if err := s.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !asleep || fmt.Sprint(log.purges) != "[500]" {
		t.Errorf("the purges are %v", log.purges)
	}
}

// It sleeps before it says that it will: the resume opens the destination on this log, and nothing is purged any more,
// however far the sleeper's destinations are.
func TestPurgeAfterATakeover(t *testing.T) {
	s, log, kv := trimmer(t, 1<<20, 512<<20)
	s.at(500, 100)
	if mark := taken(t, kv); mark != 0 {
		t.Errorf("the mark is %d", mark)
	}
	state, err := log.State(t.Context())
	if d := s.records["d"]; err != nil || !fits(&d, state, 0) {
		t.Errorf("the log is %+v, %v, and the detached destination at %d does not go on with it", state, err, d.Seq)
	}
	for range 3 {
		if err := s.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(log.purges) != 0 {
		t.Errorf("the purges are %v", log.purges)
	}
}

// A crash between the mark and the purge: who goes on with the run purges what its predecessor gave up.
func TestPurgeAfterACrash(t *testing.T) {
	s, log, _ := trimmer(t, 1<<20, 512<<20)
	s.at(500, 500)
	if err := s.mark(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	if err := s.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(log.purges) != "[500]" && fmt.Sprint(log.purges) != "[400]" {
		t.Errorf("the purges are %v", log.purges)
	}
}

// Many small commits cost a write of the run's record for each 64 MB, not one each; a small log one for an eighth
// of it; and where the log is half full, each, as somebody waits for room.
func TestMarksAreRare(t *testing.T) {
	for what, c := range map[string]struct {
		frame, max int64
		last       uint64
		marks      int
	}{
		"a large log":      {1 << 20, 4096 << 20, 600, 600 / 64},
		"a small log":      {1 << 10, 1600 << 10, 600, 600 / 200},
		"a log half full":  {1 << 20, 1200 << 20, 600, 600/64 + 1}, // the first one is because of that, and then it is not
		"hardly any bytes": {1, 512 << 20, 600, 0},
	} {
		t.Run(what, func(t *testing.T) {
			s, log, kv := trimmer(t, c.frame, c.max)
			before := kv.Rev
			for seq := uint64(1); seq <= 600; seq++ {
				s.at(seq, 0)
				s.marked = time.Now() // long before the next renewal of the lease
				if err := s.trim(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := int(kv.Rev - before); got != c.marks || len(log.purges) != c.marks {
				t.Errorf("%d writes and %d purges for 600 commits, want %d", got, len(log.purges), c.marks)
			}
			s.marked = time.Time{}
			if err := s.trim(t.Context()); err != nil {
				t.Fatal(err)
			}
			if log.first != 601 {
				t.Errorf("after a while the log begins at %d, and all of it is committed", log.first)
			}
		})
	}
}
