package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/deliver"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/pipeline/spool"
)

// pieceWorld is a destination that reads a scripted log, in which rows come in pieces. A delivery ends, as by a crash,
// where the script does.
type pieceWorld struct {
	*world
	r    *receiver // of a spooled destination
	m    *pipeline.Manifest
	d    deliver.Deliverer
	ends func() // when a reader has come to the end of the script
}

// eachKind runs a test with a destination that writes rows as they come, and with a spooled one.
func eachKind(t *testing.T, f func(t *testing.T, w *pieceWorld)) {
	for _, typ := range []string{"memory", "remote"} {
		t.Run(typ, func(t *testing.T) { f(t, newPieceWorld(t, typ)) })
	}
}

func newPieceWorld(t *testing.T, typ string) *pieceWorld {
	w := &pieceWorld{world: newWorld(t, 8*mb), ends: func() {}}
	w.m = &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job", Destinations: []pipeline.ManifestDestination{{ID: "d", Type: typ, Path: "d"}}}
	records := checkpoint.NewRecords(w.conn.Stores().Checkpoints)
	if err := records.Create(t.Context(), "r", "d", checkpoint.CommitRecord{Opened: checkpoint.Opened{Generation: 1}, State: pipeline.RecordOpen}); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]*pipeline.SinkKind{"memory": w.disk.kind(pipeline.Traits{})}
	if typ == "remote" {
		w.r = newReceiver()
		kinds["remote"] = w.r.kind(false)
	}
	w.d = deliver.Deliverer{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: w.node.Jobs, Budget: w.node.Budget, Records: records, Sinks: kinds, Owner: w.node.Owner, StoreID: "s", Timeout: time.Minute, Log: w.node.Log, Spool: w.node.Spool}
	return w
}

// connect adds a connection of n rows.
func (w *pieceWorld) connect(id string, n, size int) *attempt {
	w.world.connect(id, of(n, size))
	w.m.Connections = append(w.m.Connections, pipeline.ManifestConnection{ID: id, Name: id, Queries: []pipeline.ManifestQuery{{}}})
	return &attempt{id: id, number: 1}
}

// pieces makes the frames of a row in n pieces.
func (a *attempt) pieces(n, size int) (frames []*pipeline.Frame) {
	before := a.chain
	whole := a.row(size)
	a.chain = before
	a.frames--
	i := 0
	for body := range slices.Chunk(whole.Body, (len(whole.Body)+n-1)/n) {
		a.frames++
		a.chain = a.chain.Add(body)
		f := *whole
		f.Number, f.Body, f.Rows, f.Fragment, f.Fragments = a.frames, body, 0, i, n
		frames = append(frames, &f)
		i++
	}
	frames[n-1].Rows = 1
	return frames
}

// deliver reads groups of frames under a new claim, until the destination has ended or the groups have.
func (w *pieceWorld) deliver(max int64, groups ...[]*pipeline.Frame) checkpoint.CommitRecord {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 40*time.Second)
	defer cancel()
	d := w.d
	d.RowLogs = &logScript{max: max, groups: groups, idle: func() { w.ends(); cancel() }}
	if err := d.Records.Reset(ctx, "r", "d", func(*checkpoint.CommitRecord) {}); err != nil { // whoever had it is gone
		w.t.Fatal(err)
	}
	w.keepRun(w.m, 0)
	err := deliver.NewDeliverer(d).Deliver(ctx, pipeline.SinkCommand{Run: "r", Destination: "d"}, nil)
	if err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
	rec, err := d.Records.Load(w.t.Context(), "r", "d")
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// exact compares what readers have with what the databases hold.
func (w *pieceWorld) exact(ids ...string) {
	w.t.Helper()
	if w.r != nil {
		w.r.exact(w.world, ids...)
		return
	}
	w.world.exact("d", ids...)
}

// halfARow is a script in whose first group a cut falls into the middle of a row: two of its three pieces are there,
// and the last in the second group.
func (w *pieceWorld) halfARow() (before, after []*pipeline.Frame) {
	big, small := w.connect("big", 3, 3*mb), w.connect("small", 2, 10)
	l := &logScript{}
	opens := []*pipeline.Frame{big.open(), small.open()}
	first, second, third := big.pieces(3, 3*mb), big.pieces(3, 3*mb), big.pieces(3, 3*mb)
	l.put(slices.Concat(opens, first, []*pipeline.Frame{small.row(10)}, second[:2])...)
	l.put(slices.Concat([]*pipeline.Frame{small.row(10), small.eof()}, second[2:], third, []*pipeline.Frame{big.eof()})...)
	return l.groups[0], l.groups[1]
}

// pieceFiles are the spool's files that have pieces of the row.
func (w *pieceWorld) pieceFiles() []string {
	w.t.Helper()
	names := files(w.t, w.world, "c000000-a1")
	if len(names) != 1 {
		w.t.Fatalf("the pieces are in %q", names)
	}
	return names
}

// A row of which the record has some pieces is gone on with after a crash: the log need not have them any more.
// Meanwhile they take room on the disk, and none in memory.
func TestHalfARowIsGoneOnWith(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		before, after := w.halfARow()
		w.ends = func() {
			if _, held := w.node.Budget.Held(); held != 0 || w.node.Spool.Space.Used() < 2*mb {
				t.Errorf("%d bytes are held in memory, %d on the disk", held, w.node.Spool.Space.Used())
			}
		}
		rec := w.deliver(4*mb, before)
		if rec.Seq != uint64(len(before)) || len(rec.Parts) != 2 {
			t.Fatalf("the record covers %d of %d frames, with %d parts", rec.Seq, len(before), len(rec.Parts))
		}
		i := slices.IndexFunc(rec.Parts, func(s pipeline.PartState) bool { return s.Connection == 0 })
		if s := rec.Parts[i]; s.Rows[0] != 1 || s.Held == nil || s.Held.Pieces != 2 {
			t.Fatalf("the record has %d rows and %+v", s.Rows[0], s.Held)
		}
		w.pieceFiles()
		w.ends = func() {}
		if rec = w.deliver(4*mb, after); rec.State != pipeline.RecordFinished {
			t.Errorf("the destination is %s: %s", rec.State, rec.Error)
		}
		w.exact("big", "small")
		if names := files(t, w.world, "c00"); len(names) > 0 {
			t.Errorf("left in the spool: %q", names)
		}
	})
}

// The claim that goes on with half a row may end, too, before it has read more, or after.
func TestHalfARowIsGoneOnWithTwice(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		before, after := w.halfARow()
		w.deliver(4*mb, before)
		w.deliver(4 * mb)
		w.deliver(4*mb, after[:3]) // the row is whole, and no record says so
		if rec := w.deliver(4*mb, after); rec.State != pipeline.RecordFinished {
			t.Errorf("the destination is %s: %s", rec.State, rec.Error)
		}
		w.exact("big", "small")
	})
}

// Pieces that are gone, rotten or too short are found out: half a row is never delivered, and as the log has trimmed
// them the connection is to be asked again.
func TestLostPieces(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"gone":   os.Remove,
		"rotten": flip,
		"short":  func(path string) error { return os.Truncate(path, mb) },
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *pieceWorld) {
				before, after := w.halfARow()
				w.deliver(4*mb, before)
				if err := harm(w.pieceFiles()[0]); err != nil {
					t.Fatal(err)
				}
				rec := w.deliver(4*mb, after)
				if rec.State != pipeline.RecordDetached || rec.Log.Stream != "gap" || len(rec.Parts) > 0 || rec.Has(0) || rec.Error == "" {
					t.Errorf("the record is %+v", rec)
				}
				if w.r == nil {
					for _, e := range w.disk.artifact("d") {
						if e.connection == "big" {
							t.Error("the artifact has the connection")
						}
					}
				} else {
					for _, body := range w.r.bodies {
						if strings.Contains(body, `"big"`) {
							t.Error("the receiver has the connection")
						}
					}
				}
			})
		})
	}
}

// R16. Where there is no room for a piece the loop stops reading, and says so; it goes on when there is.
func TestNoRoomForAPiece(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		before, after := w.halfARow()
		waits := make(chan string, 8)
		const others = 3 * mb
		w.node.Spool.Space.Max, w.node.Spool.Space.Waits = 5*mb, func(why string) { waits <- why }
		w.node.Spool.Space.Force(others)
		if w.r != nil { // which keeps all rows
			w.node.Spool.Space.Max += 7 * mb
		}
		done := make(chan checkpoint.CommitRecord)
		go func() { done <- w.deliver(64*mb, before, after) }()
		if why := <-waits; !strings.Contains(why, "FANMILL_SPOOL_MAX_MB") {
			t.Errorf("it waits for %q", why)
		}
		if w.r == nil && len(w.disk.artifact("d")) > 0 {
			t.Error("it has read on")
		}
		w.node.Spool.Space.Give(others)
		if rec := <-done; rec.State != pipeline.RecordFinished {
			t.Errorf("the destination is %s: %s", rec.State, rec.Error)
		}
		w.exact("big", "small")
	})
}

// Files of rows that are whole give their room to the next row, also where nothing else makes a destination cut.
func TestWholeRowsGiveTheirRoom(t *testing.T) {
	w := newPieceWorld(t, "memory")
	before, after := w.halfARow()
	w.node.Spool.Space.Max = 5 * mb
	if rec := w.deliver(64*mb, before, after); rec.State != pipeline.RecordFinished {
		t.Errorf("the destination is %s: %s", rec.State, rec.Error)
	}
	w.exact("big", "small")
}

// A wait for room that does not end gives the destination up: pieces of several rows may have it all.
func TestNoRoomForEver(t *testing.T) {
	w := newPieceWorld(t, "memory")
	before, _ := w.halfARow()
	w.node.Spool.Space.Max = 4 * mb
	w.node.Spool.Space.Force(2 * mb)
	w.d.Timeout = 50 * time.Millisecond
	rec := w.deliver(64*mb, before)
	if rec.State != pipeline.RecordDetached || !strings.Contains(rec.Error, "FANMILL_SPOOL_MAX_MB") {
		t.Errorf("the destination is %s: %s", rec.State, rec.Error)
	}
}

// A row that the spool can never hold turns its connection away, by name.
func TestRowLargerThanTheSpool(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		before, after := w.halfARow()
		w.node.Spool.Space.Max = 2 * mb
		rec := w.deliver(64*mb, before, after)
		if rec.State != pipeline.RecordFinished || !rec.Failed[0].Rejected {
			t.Errorf("the destination is %s (%s): %+v", rec.State, rec.Error, rec.Failed)
		}
		why, err := w.d.Records.Errors(t.Context(), "r", "d")
		if err != nil || !strings.Contains(why["big"], "FANMILL_SPOOL_MAX_MB") {
			t.Errorf("the reason is %q (%v)", why["big"], err)
		}
		w.exact("small")
	})
}

// A higher attempt replaces one of which half a row is there; what it has kept goes.
func TestHalfARowIsReplaced(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		before, _ := w.halfARow()
		w.deliver(4*mb, before)
		again := &attempt{id: "big", number: 2}
		small := &attempt{id: "small", number: 2}
		frames := []*pipeline.Frame{again.open(), small.open()}
		for range 3 {
			frames = append(frames, again.pieces(3, 3*mb)...)
		}
		frames = append(frames, again.eof(), small.row(10), small.row(10), small.eof())
		for i, f := range frames {
			f.Seq = uint64(len(before) + i + 1)
		}
		if rec := w.deliver(4*mb, frames[:5], frames[5:]); rec.State != pipeline.RecordFinished {
			t.Errorf("the destination is %s: %s", rec.State, rec.Error)
		}
		w.exact("big", "small")
		if names := files(t, w.world, "c00"); len(names) > 0 {
			t.Errorf("left in the spool: %q", names)
		}
	})
}

// Without a spool a destination says so, at the first piece.
func TestNoSpoolForPieces(t *testing.T) {
	w := newPieceWorld(t, "memory")
	before, _ := w.halfARow()
	w.d.Spool = (*spool.Root)(nil)
	if rec := w.deliver(4*mb, before); rec.State != pipeline.RecordDetached || !strings.Contains(rec.Error, "no spool") {
		t.Errorf("the destination is %s: %s", rec.State, rec.Error)
	}
}

// Pieces of a query that another destination takes are counted, and not kept.
func TestPiecesOfAnotherQuery(t *testing.T) {
	eachKind(t, func(t *testing.T, w *pieceWorld) {
		one := 1
		w.m.Destinations[0].Query = &one
		a := w.connect("a", 1, 10)
		w.m.Connections[0].Queries = append(w.m.Connections[0].Queries, pipeline.ManifestQuery{})
		idAndBody := []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "body", Kind: columnar.Binary}}
		open, err := json.Marshal(pipeline.NewOpening([]pipeline.Query{{}, {}}, [][]columnar.Column{idAndBody, idAndBody}))
		if err != nil {
			t.Fatal(err)
		}
		frames := []*pipeline.Frame{a.open()}
		frames[0].Body = open
		frames = append(frames, a.pieces(4, 4*mb)...)
		frames = append(frames, a.row(10))
		frames[5].Query = 1
		end, err := json.Marshal(pipeline.Ending{Rows: []int64{1, 1}, Frames: a.frames, Checksum: uint64(a.chain), Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, a.eof())
		frames[6].Body = end
		l := &logScript{}
		l.put(frames[:4]...)
		l.put(frames[4:]...)
		rec := w.deliver(4*mb, l.groups[0])
		if rec.Seq != 4 || len(rec.Parts) != 1 || rec.Parts[0].Held == nil || rec.Parts[0].Held.Pieces != 3 {
			t.Errorf("the record is %+v", rec)
		}
		if used := w.node.Spool.Space.Used(); used > mb {
			t.Errorf("%d bytes are in the spool", used)
		}
		if rec = w.deliver(4*mb, l.groups[1]); rec.State != pipeline.RecordFinished || !slices.Equal(rec.Settled[0].Rows, []int64{1, 1}) {
			t.Errorf("the destination is %s (%s): %+v", rec.State, rec.Error, rec.Settled)
		}
	})
}
