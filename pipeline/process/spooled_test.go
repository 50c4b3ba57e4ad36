package process_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/pipeline/dead"
)

// receiver is what destinations of type "remote" send to. It outlives claims, keeps each body under its key, and takes
// a key once.
type receiver struct {
	mu      sync.Mutex
	bodies  map[string]string // by key
	order   []string          // keys, as they first came
	epoch   map[string]uint64 // the greatest that Recover showed, by destination
	clashes []string          // keys that came with other bytes
	sends   int
	// answer is asked before a body is kept, and after: an error is what the sender gets. nil answers yes.
	answer func(key, body string, kept bool) error
	step   func(step string) error // before each call of the sink; nil is to do nothing
}

func newReceiver() *receiver {
	return &receiver{bodies: map[string]string{}, epoch: map[string]uint64{}}
}

func (r *receiver) take(key, body string) error {
	r.mu.Lock()
	answer := r.answer
	r.sends++
	r.mu.Unlock()
	if answer != nil {
		if err := answer(key, body, false); err != nil {
			return err
		}
	}
	r.mu.Lock()
	if was, known := r.bodies[key]; !known {
		r.bodies[key], r.order = body, append(r.order, key)
	} else if was != body {
		r.clashes = append(r.clashes, key)
	}
	r.mu.Unlock()
	if answer != nil {
		return answer(key, body, true)
	}
	return nil
}

func (r *receiver) at(step string) error {
	r.mu.Lock()
	f := r.step
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(step)
}

func (r *receiver) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// remoteEntry is one connection's rows in a body.
type remoteEntry struct {
	Connection string
	Queries    []part
}

// remoteBody is what a request carries.
type remoteBody struct {
	Round   int
	Closing bool `json:",omitempty"`
	Rows    []remoteEntry
}

// kind is the kind of destination that sends to the receiver; with atEnd everything goes in one request.
func (r *receiver) kind(atEnd bool) *pipeline.SinkKind {
	return &pipeline.SinkKind{Name: "remote", Traits: pipeline.Traits{Target: pipeline.TargetURL, Spooled: true, SettlesOnRelease: true, Requests: true},
		AtEnd:    func(*pipeline.ManifestDestination) bool { return atEnd },
		Parallel: func(*pipeline.ManifestDestination) int { return 2 },
		KeyTTL:   func(*pipeline.ManifestDestination) time.Duration { return time.Hour },
		New: func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
			return &remoteSink{r: r, spec: spec, atEnd: atEnd}, nil
		}}
}

type remoteSink struct {
	r      *receiver
	spec   pipeline.SinkSpec
	atEnd  bool
	folder string
	files  int
}

func (s *remoteSink) Recover(_ context.Context, f pipeline.Fence, _ pipeline.State, _ []pipeline.PartState) (pipeline.Recovered, error) {
	if err := s.r.at("recover"); err != nil {
		return pipeline.Recovered{}, err
	}
	s.folder = f.Folder
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if f.Epoch < s.r.epoch[s.spec.Destination.ID] {
		return pipeline.Recovered{}, pipeline.ErrFenced
	}
	s.r.epoch[s.spec.Destination.ID] = f.Epoch
	s.files = int(f.Epoch) * 1000
	return pipeline.Recovered{State: json.RawMessage(`{}`)}, nil
}

type remotePart struct {
	id pipeline.PartID
	pipeline.SpooledPart
	s     *remoteSink
	rows  pipeline.Rows
	entry remoteEntry
	index int
}

func (s *remoteSink) Open(_ context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	if from != nil || rows == nil {
		return nil, pipeline.Permanent(errors.New("a spooled destination was opened while rows come"))
	}
	name := s.spec.Manifest.Connections[id.Connection].ID
	return &remotePart{id: id, s: s, rows: rows, index: id.Connection, entry: remoteEntry{Connection: name, Queries: make([]part, len(o.Queries))}}, s.r.at("open")
}

func (p *remotePart) Finish(ctx context.Context) (pipeline.Summary, error) {
	if err := p.s.r.at("compose " + p.entry.Connection); err != nil {
		return pipeline.Summary{}, err
	}
	clear(p.entry.Queries)
	return pipeline.Summary{}, p.rows.Each(ctx, func(q int, first int64, b *columnar.Batch) error {
		if first != p.entry.Queries[q].Rows {
			return fmt.Errorf("row %d follows row %d", first, p.entry.Queries[q].Rows)
		}
		for i := range b.Rows {
			p.entry.Queries[q].add(b.Cols[0].Longs[i], b.Cols[1].Bytes(i))
		}
		return nil
	})
}

func (p *remotePart) Discard() error { return nil }

func (s *remoteSink) Stage(_ context.Context, parts []pipeline.Part, round int, final *pipeline.Report) (out pipeline.Staged, err error) {
	if err := s.r.at("stage"); err != nil {
		return out, err
	}
	out.State = json.RawMessage(fmt.Sprintf(`{"round":%d}`, round))
	put := func(connection int, body remoteBody) error {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		s.files++
		name := fmt.Sprint("body-", s.files)
		sum := sha256.Sum256(text)
		out.Requests = append(out.Requests, pipeline.WireRequest{File: name, Length: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Connection: connection, Closing: body.Closing})
		return os.WriteFile(filepath.Join(s.folder, name), text, 0o600)
	}
	all := remoteBody{Round: round}
	for _, p := range parts {
		p := p.(*remotePart)
		out.Allocated = append(out.Allocated, p.index)
		if all.Rows = append(all.Rows, p.entry); !s.atEnd {
			if err := put(p.index, remoteBody{Round: round, Rows: []remoteEntry{p.entry}}); err != nil {
				return out, err
			}
		}
	}
	if final != nil {
		if !s.atEnd {
			all = remoteBody{Round: round, Closing: true}
		}
		err = put(pipeline.OfAll, all)
	}
	return out, err
}

func (s *remoteSink) Release(_ context.Context, next []pipeline.WireRequest, _ *pipeline.Report, _ bool) (out pipeline.Released, err error) {
	if err := s.r.at("release"); err != nil {
		return out, err
	}
	for _, r := range next {
		text, err := os.ReadFile(filepath.Join(s.folder, r.File))
		if err != nil {
			return out, err
		}
		err = s.r.take(r.Key, string(text))
		var trouble *pipeline.Trouble
		switch {
		case errors.As(err, &trouble) && trouble.Scope == pipeline.OfRequest:
			out.Letters = append(out.Letters, pipeline.Letter{Number: r.Number, Error: err.Error(), At: time.Now()})
		case err != nil:
			return out, err
		default:
			out.Receipts = append(out.Receipts, pipeline.Receipt{Number: r.Number, Status: 200, At: time.Now(), Attempts: 1})
		}
	}
	return out, nil
}

func (s *remoteSink) Close() error { return nil }

// remote makes a world with a receiver in place of a disk.
func remote(t *testing.T, logBytes int64, atEnd bool) (*world, *receiver) {
	t.Helper()
	return remoteOf(newWorld(t, logBytes), atEnd)
}

// remoteOf gives a world a receiver in place of a disk.
func remoteOf(w *world, atEnd bool) (*world, *receiver) {
	w.t.Helper()
	t, r := w.t, newReceiver()
	w.node.Sinks["remote"] = r.kind(atEnd)
	w.node.Reports = t.TempDir()
	w.node.Dead = &dead.Folder{Dir: filepath.Join(t.TempDir(), "dead")}
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "hook", Type: "remote", FilePath: "hook"})
	return w, r
}

// exact compares what the receiver has with what the databases hold: each connection whole, in one body, once.
func (r *receiver) exact(w *world, ids ...string) {
	w.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.clashes) > 0 {
		w.t.Errorf("%d keys came with other bytes", len(r.clashes))
	}
	seen := map[string]bool{}
	for _, key := range r.order {
		var body remoteBody
		if err := json.Unmarshal([]byte(r.bodies[key]), &body); err != nil {
			w.t.Fatal(err)
		}
		for _, e := range body.Rows {
			if seen[e.Connection] {
				w.t.Errorf("the receiver has %s twice", e.Connection)
			}
			seen[e.Connection] = true
			for q, rows := range w.db.scripts[e.Connection].queries {
				want := part{}
				for i := range rows.n {
					want.add(int64(i), value(e.Connection, q, i, rows.size))
				}
				if e.Queries[q] != want {
					w.t.Errorf("query %d of %s is %+v, want %+v", q, e.Connection, e.Queries[q], want)
				}
			}
		}
	}
	if have, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(slices.Values(ids)); !slices.Equal(have, want) {
		w.t.Errorf("the receiver has %v, want %v", have, want)
	}
}

// closings counts the bodies without rows.
func (r *receiver) closings() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.bodies {
		var body remoteBody
		if json.Unmarshal([]byte(text), &body) == nil && body.Closing {
			n++
		}
	}
	return n
}

// left is how many files are in the spool.
func left(t *testing.T, w *world) (names []string) {
	t.Helper()
	err := filepath.WalkDir(w.node.Spool.Dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "place.json" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func modes(t *testing.T, f func(t *testing.T, atEnd bool)) {
	for name, atEnd := range map[string]bool{"each when it is there": false, "all at the end": true} {
		t.Run(name, func(t *testing.T) { f(t, atEnd) })
	}
}

// Every connection reaches the receiver once, also one without rows, and nothing stays in the spool.
func TestSendAll(t *testing.T) {
	modes(t, func(t *testing.T, atEnd bool) {
		w, r := remote(t, 8*mb, atEnd)
		w.connect("a", of(300, 50))
		w.connect("b", of(0, 0))
		w.connect("c", script{queries: []rows{{n: 10, size: 5}, {n: 0, size: 0}, {n: 7, size: 3000}}})
		w.deliverTo("file")
		w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
		r.exact(w, "a", "b", "c")
		w.exact("file", "a", "b", "c")
		if n := r.closings(); !atEnd && n != 1 {
			t.Errorf("%d closing requests", n)
		}
		if names := left(t, w); len(names) > 0 {
			t.Errorf("left in the spool: %q", names)
		}
	})
}

// A connection larger than the row log goes through the spool, while the receiver takes nothing: neither the log nor
// another destination waits for it.
func TestReceiverHoldsNobody(t *testing.T) {
	t.Parallel()
	w, r := remote(t, 2*mb, false)
	w.connect("a", of(3000, 2000))
	w.connect("b", of(3000, 2000))
	w.deliverTo("file")
	others := make(chan struct{})
	r.answer = func(_, _ string, kept bool) error {
		if !kept {
			<-others
		}
		return nil
	}
	var once sync.Once
	var settled sync.Map
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Destination == "file" {
			settled.Store(e.Connection, true)
			if _, a := settled.Load("a"); a {
				if _, b := settled.Load("b"); b {
					once.Do(func() { close(others) })
				}
			}
		}
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	r.exact(w, "a", "b")
	w.exact("file", "a", "b")
}

// What the receiver stored although its answer was lost is sent again under the same key, with the same bytes.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, atEnd bool) {
		w, r := remote(t, 8*mb, atEnd)
		for _, id := range []string{"a", "b", "c"} {
			w.connect(id, of(50, 20))
		}
		lost := map[string]int{}
		r.answer = func(key, _ string, kept bool) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if kept && lost[key] == 0 {
				lost[key]++
				return &pipeline.Trouble{Err: errors.New("the line broke after the body")}
			}
			return nil
		}
		w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
		r.exact(w, "a", "b", "c")
		if len(lost) == 0 || r.sends < 2*len(r.order) {
			t.Errorf("%d requests were sent %d times", len(r.order), r.sends)
		}
	})
}

// A receiver that refuses everything ends the run as owing once all is sealed. A resume asks nobody and sends what
// waits.
func TestOwing(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, atEnd bool) {
		w, r := remote(t, 8*mb, atEnd)
		w.node.Timeout = time.Millisecond
		for _, id := range []string{"a", "b"} {
			w.connect(id, of(50, 20))
		}
		w.deliverTo("file")
		refuse := true
		r.answer = func(_, _ string, kept bool) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if refuse {
				return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("401: the token is revoked")}
			}
			return nil
		}
		out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
		for _, report := range out.Reports {
			if report.Destination == "hook" && (report.State != pipeline.RecordOwing || report.Connections[0].State != pipeline.ReportSealed) {
				t.Errorf("the destination is %s, its first connection %s: %s", report.State, report.Connections[0].State, report.Error)
			}
		}
		w.db.askedSince()
		r.set(func() { refuse = false })
		w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
		if asked := w.db.askedSince(); len(asked) > 0 {
			t.Errorf("a resume that only sends has asked %v", asked)
		}
		r.exact(w, "a", "b")
		if names := left(t, w); len(names) > 0 {
			t.Errorf("left in the spool: %q", names)
		}
	})
}

// A branch that failed is sent by the resume, in a request of its own: what was sent is neither changed nor repeated.
func TestLateBranchIsSentAlone(t *testing.T) {
	modes(t, func(t *testing.T, atEnd bool) {
		w, r := remote(t, 8*mb, atEnd)
		w.connect("a", of(50, 20))
		broken := of(30, 20)
		broken.open = func(int) error { return pipeline.Permanent(errors.New("the branch is closed")) }
		w.connect("late", broken)
		w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
		r.exact(w, "a")
		before := len(r.order)
		w.rescript("late", of(30, 20))
		w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
		r.exact(w, "a", "late")
		if len(r.order) == before {
			t.Error("nothing was sent")
		}
	})
}

// A request that the receiver will never take leaves its connection owed, and holds no other.
func TestRefusedRequest(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	for _, id := range []string{"a", "bad", "c"} {
		w.connect(id, of(50, 20))
	}
	r.answer = func(_, body string, _ bool) error {
		var b remoteBody
		if json.Unmarshal([]byte(body), &b) == nil && len(b.Rows) == 1 && b.Rows[0].Connection == "bad" {
			return &pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("422: a row is not valid")}
		}
		return nil
	}
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	r.exact(w, "a", "c")
	report := out.Reports[0]
	if report.State != pipeline.RecordOwing || report.Delivery == nil || report.Delivery.Refused != 1 {
		t.Errorf("%s: %+v", report.State, report.Delivery)
	}
	if c := report.Connections[1]; c.State != pipeline.ReportSealed || !c.Refused || c.Error != "request 2 was refused: 422: a row is not valid" && c.Error != "request 1 was refused: 422: a row is not valid" && c.Error != "request 3 was refused: 422: a row is not valid" {
		t.Errorf("%+v", c)
	}
	if report.Connections[0].Refused {
		t.Error("a connection that was sent is called refused")
	}
}

// One connection whose rows the destination cannot hold is turned away alone.
func TestSpooledRowsTurnedAway(t *testing.T) {
	modes(t, func(t *testing.T, atEnd bool) {
		w, r := remote(t, 8*mb, atEnd)
		w.connect("a", of(50, 20))
		w.connect("odd", of(50, 20))
		r.step = func(step string) error {
			if step == "compose odd" {
				return &pipeline.RejectError{Reason: "a row is too large"}
			}
			return nil
		}
		out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
		r.exact(w, "a")
		if c := out.Reports[0].Connections[1]; c.State != pipeline.ReportRejected || c.Error != "a row is too large" {
			t.Errorf("%+v", c)
		}
	})
}

// A sink that fails at every step, once each, delivers the same.
func TestSpooledFailsOnceEverywhere(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, atEnd bool) {
		for name, failure := range map[string]error{"moment": &pipeline.Trouble{Err: errors.New("busy")}, "other": pipeline.Transient(errors.New("broken"))} {
			t.Run(name, func(t *testing.T) {
				w, r := remote(t, 8*mb, atEnd)
				w.connect("a", of(50, 20))
				w.connect("b", of(20, 20))
				seen := map[string]bool{}
				r.step = func(step string) error {
					r.mu.Lock()
					defer r.mu.Unlock()
					if seen[step] {
						return nil
					}
					seen[step] = true
					return failure
				}
				w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
				r.exact(w, "a", "b")
				if len(seen) < 5 {
					t.Errorf("it failed at %v only", seen)
				}
			})
		}
	})
}
