package process_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/deliver"

	"fanmill/pipeline"
	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"
)

// onlyLetter is the one dead request there is.
func onlyLetter(t *testing.T, w *world) dead.Standing {
	t.Helper()
	all, err := w.node.Letters().List(t.Context(), "job")
	if err != nil || len(all) != 1 {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	return all[0]
}

func noLetters(t *testing.T, w *world) {
	t.Helper()
	if all, err := w.node.Letters().List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// breakOnce has the sink fail once, after the claim and before its first record.
func breakOnce(r *receiver) {
	broken := false
	r.set(func() {
		r.step = func(step string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if step == "recover" && !broken {
				broken = true
				return pipeline.Transient(errors.New("broken"))
			}
			return nil
		}
	})
}

// A refused request is kept with its bytes, and a message for people names it.
func TestLetterIsKept(t *testing.T) {
	w, r, run := halfSent(t)
	l := onlyLetter(t, w)
	if l.State != dead.Refused || l.Run != run || l.Destination != "hook" || l.Connection != "b" || l.Where != "hook" || l.Error != "422" || l.Unknown {
		t.Errorf("%+v", l)
	}
	file, err := w.node.Dead.Body(l.Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil || !strings.Contains(string(text), `"Connection":"b"`) || int64(len(text)) != l.Length {
		t.Errorf("%s, %v", text, err)
	}
	if _, taken := r.bodies[l.Key]; taken {
		t.Error("the receiver has it")
	}
	kept, err := w.conn.Bus().Kept(t.Context(), pipeline.TopicDeadRequest("job"), 10)
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d messages, %v", len(kept), err)
	}
	var told dead.Letter
	if err := json.Unmarshal(kept[0].Payload, &told); err != nil || told.Key != l.Key || kept[0].MsgID != l.Key {
		t.Errorf("%s, %v", kept[0].Payload, err)
	}
}

// A replay sends the same bytes under the same key, asks nobody, and settles the connection.
func TestReplay(t *testing.T) {
	w, r, run := halfSent(t)
	l := onlyLetter(t, w)
	for range 2 { // twice is once
		if err := w.node.Letters().Replay(t.Context(), l.Letter, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := onlyLetter(t, w).State; got != dead.Again {
		t.Errorf("it is %s", got)
	}
	breakOnce(r)
	if out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete); out.Run != run {
		t.Errorf("run %s", out.Run)
	}
	r.exact(w, "a", "b")
	if _, taken := r.bodies[l.Key]; !taken {
		t.Error("it went under another key")
	}
	if asked := w.db.askedSince(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	noLetters(t, w)
	if names := left(t, w); len(names) > 0 {
		t.Errorf("left in the spool: %q", names)
	}
}

// One that is refused again stays, with the newer answer.
func TestReplayRefusedAgain(t *testing.T) {
	w, r, _ := halfSent(t)
	l := onlyLetter(t, w)
	if err := w.node.Letters().Replay(t.Context(), l.Letter, false); err != nil {
		t.Fatal(err)
	}
	r.set(func() {
		r.answer = func(string, string, bool) error {
			return &pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("413")}
		}
	})
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if now := onlyLetter(t, w); now.Key != l.Key || now.Error != "413" || now.State != dead.Refused {
		t.Errorf("%+v", now)
	}
}

// One that is dropped turns its connection away for good: the destination finishes, and nobody is asked again, in any
// resume, as some of its requests may have been taken.
func TestDrop(t *testing.T) {
	w, r, _ := halfSent(t)
	l := onlyLetter(t, w)
	if pending, err := w.node.Letters().Drop(t.Context(), l.Letter); err != nil || !pending {
		t.Fatalf("%v, %v", pending, err)
	}
	noLetters(t, w)
	breakOnce(r)
	for range 2 {
		out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
		report := out.Reports[0]
		if c := report.Connections[1]; report.State != pipeline.RecordFinished || c.State != pipeline.ReportRejected || !strings.Contains(c.Error, "dropped by hand") {
			t.Errorf("%s: %+v", report.State, c)
		}
		if d := report.Delivery; d.Refused != 0 || d.Dropped != 1 || d.Sent != 2 {
			t.Errorf("%+v", d)
		}
	}
	if asked := w.db.askedSince(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	r.exact(w, "a")
	for _, name := range left(t, w) {
		if strings.HasPrefix(filepath.Base(name), "body") {
			t.Errorf("left in the spool: %s", name)
		}
	}
}

// One of which nobody knows whether it arrived is sent again only by whoever says so.
func TestReplayOfUnknown(t *testing.T) {
	w, _, _ := halfSent(t)
	l := onlyLetter(t, w).Letter
	l.Unknown = true
	if err := w.node.Dead.Update(l); err != nil {
		t.Fatal(err)
	}
	if got := onlyLetter(t, w).State; got != dead.Unknown {
		t.Errorf("it is %s", got)
	}
	if err := w.node.Letters().Replay(t.Context(), l, false); err == nil || !strings.Contains(err.Error(), "--resend") {
		t.Errorf("%v", err)
	}
	if err := w.node.Letters().Replay(t.Context(), l, true); err != nil {
		t.Error(err)
	}
}

// A letter outlives its run. Once another run has taken its place it is sent alone, if at all.
func TestLetterOfASupersededRun(t *testing.T) {
	w, r, _ := halfSent(t)
	l := onlyLetter(t, w)
	if _, err := w.node.Letters().Resend(t.Context(), w.definition(), l.Letter, false); err == nil {
		t.Error("its run can go on")
	}
	w.mustRun(pipeline.Trigger{StartOver: true}, pipeline.RunComplete)
	if l = onlyLetter(t, w); l.State != dead.Superseded {
		t.Errorf("it is %s", l.State)
	}
	if err := w.node.Letters().Replay(t.Context(), l.Letter, false); !errors.Is(err, deliver.ErrSuperseded) {
		t.Errorf("%v", err)
	}
	r.set(func() { // the answer is lost
		r.answer = func(_, _ string, kept bool) error {
			if kept {
				return &pipeline.Trouble{Err: errors.New("the line broke")}
			}
			return nil
		}
	})
	if _, err := w.node.Letters().Resend(t.Context(), w.definition(), l.Letter, false); err == nil {
		t.Error("it was answered")
	}
	r.set(func() { r.answer = nil })
	l = onlyLetter(t, w)
	if _, err := w.node.Letters().Resend(t.Context(), w.definition(), l.Letter, false); err == nil || !strings.Contains(err.Error(), "--resend") {
		t.Errorf("it may have arrived: %v", err)
	}
	receipt, err := w.node.Letters().Resend(t.Context(), w.definition(), l.Letter, true)
	if err != nil || receipt.Status != 200 || !strings.Contains(r.bodies[l.Key], `"Connection":"b"`) {
		t.Errorf("%+v, %v", receipt, err)
	}
	noLetters(t, w)
	if len(r.clashes) > 0 {
		t.Error("other bytes under the same key")
	}
}

// Of one that a new run has superseded, a drop removes the bytes, and nothing else.
func TestDropOfASupersededRun(t *testing.T) {
	w, _, _ := halfSent(t)
	w.mustRun(pipeline.Trigger{StartOver: true}, pipeline.RunComplete)
	if pending, err := w.node.Letters().Drop(t.Context(), onlyLetter(t, w).Letter); err != nil || pending {
		t.Errorf("%v, %v", pending, err)
	}
	noLetters(t, w)
}

// The outbox lies on another disk: what is decided of its letters is decided there.
func TestLetterOfAnotherDisk(t *testing.T) {
	w, _, _ := halfSent(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	w.node.Spool = &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}
	l := onlyLetter(t, w)
	if l.State != dead.Waiting+host {
		t.Errorf("it is %s", l.State)
	}
	if err := w.node.Letters().Replay(t.Context(), l.Letter, false); err == nil || !strings.Contains(err.Error(), "waiting for "+host) {
		t.Errorf("%v", err)
	}
	if _, err := w.node.Letters().Drop(t.Context(), l.Letter); err == nil {
		t.Error("it was dropped")
	}
	onlyLetter(t, w)
}

// A run that goes on is not disturbed.
func TestReplayDuringItsRun(t *testing.T) {
	w, r, _ := halfSent(t)
	l := onlyLetter(t, w)
	other := *w.node
	other.Owner.Token = pipeline.NewToken()
	var during error
	r.set(func() {
		r.step = func(step string) error {
			if step == "release" {
				during = other.Letters().Replay(t.Context(), l.Letter, false)
			}
			return nil
		}
	})
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if during == nil || !strings.Contains(during.Error(), "already running") {
		t.Errorf("%v", during)
	}
}

// A letter that cannot be kept is none yet: the request is asked for again until it can be.
func TestLetterThatCannotBeKept(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(10, 20))
	if err := os.WriteFile(w.node.Dead.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sends := 0
	r.answer = func(string, string, bool) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if sends++; sends == 3 { // from now on there is room for it
			if err := os.Remove(w.node.Dead.Dir); err != nil {
				t.Error(err)
			}
		}
		return &pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("422")}
	}
	w.node.Timeout = time.Minute
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	if d := out.Reports[0].Delivery; d.Refused != 2 || d.Requests != 2 {
		t.Errorf("%+v", d)
	}
	if all, err := w.node.Letters().List(t.Context(), "job"); err != nil || len(all) != 2 {
		t.Errorf("%d letters, %v", len(all), err)
	}
}
