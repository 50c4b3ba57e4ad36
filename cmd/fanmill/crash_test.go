package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/soak"
	"fanmill/nats"
	"fanmill/pipeline"
)

// Invariants 1, 2, 3 and 6: killed at random moments, 25 times in all rounds, the artifacts are whole before fanmill
// runs again, what is settled or has its eof in the log is not asked again, and the last resume ends where an
// undisturbed run does.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	w := newWorldOfAll(t, 30000, 200, 12000, 2500, 0, 6000, 1, 4000) // one branch far larger than the row log, sheets above 1 MB, small ones, an empty one
	began := time.Now()
	w.mustRun(exitComplete, nil)
	length := time.Since(began)
	w.exact()
	w.askedSince()

	enough := soak.Rounds(4, 25)
	random := rand.New(rand.NewPCG(1, 2))
	kills, completed := 0, 0
	for resume := false; kills < enough; {
		var args []string
		if resume {
			args = append(args, "--resume")
		}
		cmd, out := w.command(nil, args...)
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// Start-up takes a part of the time; kills are to fall on all of it, and most of them on the work.
		select {
		case <-time.After(time.Duration(random.Int64N(int64(length)))):
			_ = cmd.Process.Kill()
			<-ended
		case <-ended:
		}
		took := time.Since(began)
		w.whole()
		if cmd.ProcessState.Success() {
			completed++
			length = min(length, took) // the first run may have had a busy machine: kills are to fall into those that follow
			w.exact()
			resume = false
			w.askedSince()
			continue
		}
		code := cmd.ProcessState.ExitCode()
		switch {
		case code == -1:
			kills++
			w.checkAsked(resume)
		case blamed(code, out.String()): // the row log is read to its end, and gone
			w.askedSince()
		default:
			t.Fatalf("exit code %d instead of being killed; it said:\n%s", code, out)
		}
		resume = true
	}
	w.complete()
	w.exact()
	w.tidy()
	t.Logf("%d kills, %d runs completed in between", kills, completed)
}

// blamed reports whether a run has given up a connection for the kills that hit it, three in a row before its first
// row. A resume brings it.
func blamed(code int, out string) bool {
	return code == exitPartial && strings.Contains(out, "in a row at the same place")
}

// complete resumes the run, which then is complete.
func (w *world) complete() {
	w.t.Helper()
	code, out := w.run(nil, "--resume")
	if blamed(code, out) {
		code, out = w.run(nil, "--resume")
	}
	if code != exitComplete {
		w.t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitComplete, out)
	}
}

// checkAsked looks into the killed process's store. What the last look found delivered or in the log must not have been
// asked since.
func (w *world) checkAsked(resumed bool) {
	w.t.Helper()
	asked := w.askedSince()
	if resumed {
		for _, dsn := range w.settledBefore {
			if slices.Contains(asked, dsn) {
				w.t.Errorf("%s was asked again although its rows were delivered or in the log", dsn)
			}
		}
	}
	w.settledBefore = w.safe()
}

// safe lists the databases that a resume has no reason to ask: settled everywhere, or with their eof in the row log.
func (w *world) safe() (dsns []string) {
	w.t.Helper()
	ctx := w.t.Context()
	conn, err := nats.Open(ctx, nats.Options{DataDir: w.args[1]})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	}()
	stores := conn.Stores()
	last, err := checkpoint.LoadDocument[checkpoint.JobRun](ctx, stores.Runs, checkpoint.JobRunKey("gst"))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	run := last.Value().Run
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	if !cell.Value().State.Resumable() {
		return nil // killed after its end: the next one is a fresh run
	}
	var records []checkpoint.CommitRecord
	for _, id := range []string{"excel", "csv", "jsonl", "parquet"} {
		rec, err := checkpoint.NewRecords(stores.Checkpoints).Load(ctx, run, id)
		if err != nil {
			w.t.Fatal(err)
		}
		records = append(records, rec)
	}
	log, err := conn.RowLogs().Open(ctx, run, cell.Value().Generation)
	gone := errors.Is(err, pipeline.ErrNoLog) // killed while it tidied up, when nobody needs the log any more
	if err != nil && !gone {
		w.t.Fatal(err)
	}
	for i, c := range w.conns {
		settled := 0
		for _, rec := range records {
			_, ok := rec.Settled[i]
			if _, sealed := rec.Sealed[i]; ok || sealed { // or in the spool
				settled++
			}
		}
		var frame *pipeline.Frame
		switch {
		case gone && settled < len(records):
			w.t.Errorf("the row log was removed before every destination had %s", c.id)
		case !gone:
			if frame, err = log.LastFrame(ctx, c.id, 1); err != nil {
				w.t.Fatal(err)
			}
		}
		if settled == len(records) || frame != nil && frame.Kind == pipeline.FrameEOF {
			dsns = append(dsns, c.dsn)
		}
	}
	return dsns
}

// Connections that arrive together are committed together, so no place of the commit is sure to be reached more often
// than once for each of the destinations.

// Invariants 1 to 3 at each named place: killed exactly there, the artifacts are whole, and a resume completes them.
func TestKilledAtFailpoints(t *testing.T) {
	t.Parallel()
	for _, point := range []string{
		"before-eof",          // a connection's rows are in the log, its eof is not
		"mid-part:20",         // a part has some of its rows
		"mid-cut",             // parts are fsynced, the record does not know
		"after-mark",          // the run's record says how far the row log is given up, and nothing is purged
		"mid-stage:2",         // half a connection is in the private file
		"after-fsync:2",       // all of it is, and durable
		"before-cas:2",        // the record does not know
		"after-cas:2",         // it knows, the public file is behind
		"before-publish:2",    // just before the rename
		"after-publish:2",     // just after it
		"mid-finish",          // the final workbook is half written
		"before-final-rename", // it is durable, and private
		"before-final-publish",
		"after-finished",
		"after-claim-copy",
		"before-seal:2", // rows are synced in the spool, the record does not know
		"after-seal:2",  // it knows, and nothing is written of them
		"after-stage",   // they are joined to the private file, the record does not know
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorldOfAll(t, 30000, 200, 3000, 0, 1500) // the first is more than half of the row log: it is cut
			code, out := w.run([]string{"FANMILL_FAILPOINT=" + point})
			if code != -1 {
				t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
			}
			n := w.whole()
			w.mustRun(exitComplete, nil, "--resume")
			w.exact()
			w.tidy()
			t.Logf("%d sheets were public", n)
		})
	}
}

// A resume that is killed while it claims is as harmless as the run before it.
func TestKilledWhileClaiming(t *testing.T) {
	t.Parallel()
	w := newWorldOfAll(t, 9000, 200, 3000, 0, 1500)
	for _, point := range []string{"after-cas:2", "after-claim-copy", "after-claim-copy:2", "before-publish", "after-publish"} {
		var args []string
		if point != "after-cas:2" {
			args = []string{"--resume"}
		}
		if code, out := w.run([]string{"FANMILL_FAILPOINT=" + point}, args...); code != -1 {
			t.Fatalf("%s: exit code %d; it said:\n%s", point, code, out)
		}
		w.whole()
	}
	w.mustRun(exitComplete, nil, "--resume")
	w.exact()
	w.tidy()
}

// A fresh run over an unfinished one starts anew, and the file of before stays until its first commit, then as
// .previous.
func TestFreshRunAbandons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 200)
	w.mustRun(exitComplete, nil)
	before, err := os.ReadFile(w.xlsx())
	if err != nil {
		t.Fatal(err)
	}
	w.conns[0].rows, w.conns[1].rows = 500, 600
	w.write()
	if code, out := w.run([]string{"FANMILL_FAILPOINT=before-publish"}); code != -1 {
		t.Fatalf("exit code %d; it said:\n%s", code, out)
	}
	if now, err := os.ReadFile(w.xlsx()); err != nil || string(now) != string(before) {
		t.Fatalf("before its first publication the new run changed the file: %v", err)
	}
	if code, out := w.run([]string{"FANMILL_FAILPOINT=before-final-publish:2"}); code != -1 {
		t.Fatalf("exit code %d; it said:\n%s", code, out)
	}
	kept, err := os.ReadFile(w.xlsx() + ".previous")
	if err != nil || string(kept) != string(before) {
		t.Fatalf("the earlier file was not kept as .previous: %v", err)
	}
	w.askedSince()
	w.mustRun(exitComplete, nil)
	if asked := w.askedSince(); len(asked) != 2 {
		t.Errorf("a fresh run asked %v", asked)
	}
	w.exact()
	w.tidy()
}

// Sequence 10: a connection that ends its process each time is given up at the third death, and the run ends partial
// with all others delivered. Until then it is asked again, last, and then alone: the others, which die with it at
// first, are not given up. Asked for once more, it is tried anew.
func TestConnectionThatKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 200, 400, 250)
	var args []string
	for range 3 {
		if code, out := w.run([]string{"FANMILL_FAILPOINT=asking-conn_2"}, args...); code != -1 {
			t.Fatalf("exit code %d: it was not asked; it said:\n%s", code, out)
		}
		w.whole()
		args = []string{"--resume"}
	}
	w.askedSince()
	out := w.mustRun(exitPartial, nil, "--resume")
	if !strings.Contains(out, "3 in a row at the same place") {
		t.Errorf("it said:\n%s", out)
	}
	if asked := w.askedSince(); slices.Contains(asked, w.conns[1].dsn) {
		t.Errorf("asked were %v", asked)
	}
	w.mustRun(exitComplete, nil, "--resume")
	if asked := w.askedSince(); !slices.Equal(asked, []string{w.conns[1].dsn}) {
		t.Errorf("the last resume has asked %v, and all others were delivered", asked)
	}
	w.exact()
	w.tidy()
}
