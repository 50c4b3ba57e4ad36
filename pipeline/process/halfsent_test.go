package process_test

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
)

// halfSent makes a run that has sent the rows of a, not those of b, and delivered both to a file.
func halfSent(t *testing.T) (*world, *receiver, string) {
	t.Helper()
	w, r := remote(t, 8*mb, false)
	w.node.Timeout = time.Millisecond
	w.connect("a", of(50, 20))
	w.connect("b", of(50, 20))
	w.deliverTo("file")
	r.answer = func(_, body string, _ bool) error {
		if strings.Contains(body, `"Connection":"b"`) {
			return &pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("422")}
		}
		return nil
	}
	run := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial).Run
	r.set(func() { r.answer = nil })
	w.db.askedSince()
	return w, r, run
}

// A new run over one that has sent some rows would send them twice: it is refused before it touches anything.
func TestFreshOverHalfSent(t *testing.T) {
	w, r, run := halfSent(t)
	sends := r.sends
	_, err := w.run(t.Context(), pipeline.Trigger{})
	if err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), run) || !strings.Contains(err.Error(), "--start-over") || !strings.Contains(err.Error(), "2 of 3 requests") {
		t.Fatalf("%v", err)
	}
	if asked := w.db.askedSince(); len(asked) > 0 || r.sends != sends {
		t.Errorf("it has asked %v and sent %d requests", asked, r.sends-sends)
	}
	if last, err := w.node.View().LastRun(t.Context(), "job"); err != nil || last != run {
		t.Errorf("the job's run is %s, %v", last, err)
	}
	out := w.mustRun(pipeline.Trigger{StartOver: true}, pipeline.RunComplete)
	if out.Run == run || len(w.db.askedSince()) != 2 {
		t.Error("it did not start over")
	}
}

// What the job says holds for every trigger.
func TestOnUnfinished(t *testing.T) {
	for choice, same := range map[string]bool{pipeline.UnfinishedResume: true, pipeline.UnfinishedStartOver: false} {
		t.Run(choice, func(t *testing.T) {
			w, _, run := halfSent(t)
			w.job.OnUnfinished = choice
			state := pipeline.RunComplete
			if same { // the letter stays
				state = pipeline.RunPartial
			}
			if out := w.mustRun(pipeline.Trigger{}, state); (out.Run == run) != same {
				t.Errorf("run %s follows %s", out.Run, run)
			}
			if asked := w.db.askedSince(); (len(asked) == 0) != same {
				t.Errorf("it has asked %v", asked)
			}
		})
	}
}

// Who names a run means that one: it is no other one that goes on.
func TestNamedRunOverHalfSent(t *testing.T) {
	w, _, _ := halfSent(t)
	w.job.OnUnfinished = pipeline.UnfinishedResume
	if _, err := w.run(t.Context(), pipeline.Trigger{ID: "mine"}); err == nil || !strings.Contains(err.Error(), "--start-over") {
		t.Errorf("%v", err)
	}
}

// Where nothing was sent, and where there are files only, a new run takes the place of the unfinished one, as ever.
func TestFreshOverNothingSent(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	run := owing(t, w, r)
	if out := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete); out.Run == run {
		t.Error("it went on")
	}
	r.exact(w, "a")
}

// A destination that is no file has its report in a folder of its own, as it ended, for its owner's eyes.
func TestReportOfNoFile(t *testing.T) {
	w, _, run := halfSent(t)
	path := pipeline.ReportPath(w.node.Reports, "job", "hook")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r pipeline.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Run != run || r.State != pipeline.RecordOwing || r.Connections[0].State != pipeline.ReportSettled || r.Connections[1].State != pipeline.ReportSealed || r.Delivery.Sent != 2 || r.Delivery.Refused != 1 {
		t.Errorf("%s", text)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(pipeline.ReportPath(w.node.Reports, "job", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file has its report beside it, not here: %v", err)
	}
	w.mustRun(pipeline.Trigger{StartOver: true}, pipeline.RunComplete)
	if text, err = os.ReadFile(path); err != nil || !strings.Contains(string(text), `"state": "finished"`) {
		t.Errorf("%v: %s", err, text)
	}
}
