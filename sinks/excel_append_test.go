package sinks_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/sinks"
)

// nextRun is another run of the job on the same file.
func (w *excelWorld) nextRun(run, options string) {
	w.manifest.Run, w.dest.Options = run, json.RawMessage(options)
	w.state, w.parts = nil, nil
	w.record = checkpoint.CommitRecord{Settled: map[int]pipeline.Settlement{}, Failed: map[int]pipeline.Refusal{}}
}

// complete ends a run of which every connection is there.
func (w *excelWorld) complete() {
	w.t.Helper()
	w.finish()
	w.publishFinal()
	w.clean()
}

func newAppendWorld(t *testing.T, options string, names ...string) *excelWorld {
	w := newExcelWorld(t, options, names...)
	w.dest.Mode = "append"
	return w
}

// TestExcelAppend: each run adds its sheets after those of earlier ones, whose names and formats stay; names that are
// taken get the day; the Summary is the newest run's.
func TestExcelAppend(t *testing.T) {
	w := newAppendWorld(t, `{"columns":{"id":{"format":"0.0"}}}`, "A", "Big Branch")
	w.claim()
	w.commit(w.whole(1, 2), w.whole(0, 3))
	w.complete()
	w.nextRun("run2", `{"columns":{"id":{"format":"0.000"}}}`)
	w.add("New")
	w.claim()
	w.commit(w.whole(2, 4))
	w.commit(w.whole(1, 5))
	f := w.openPublic()
	if got, want := f.GetSheetList(), []string{"A", "Big Branch", "Big Branch (2026-11-24)", "New", "Summary"}; !slices.Equal(got, want) {
		t.Errorf("while it runs tabs are %q, want %q", got, want)
	}
	w.claim()
	w.commit(w.whole(0, 1))
	w.complete()
	w.nextRun("run3", `{}`)
	w.claim()
	w.commit(w.whole(0, 6))
	w.fail(1, false, "out of order")
	w.fail(2, false, "out of order")
	w.finish()
	w.publishFinal()
	f = w.openPublic()
	if got, want := f.GetSheetList(), []string{"A", "Big Branch", "A (2026-11-24)", "Big Branch (2026-11-24)", "New", "A (2026-11-24)_2", "Summary"}; !slices.Equal(got, want) {
		t.Errorf("tabs are %q, want %q", got, want)
	}
	for cell, want := range map[string]string{"A!A4": "2.0", "New!A5": "3.000", "A (2026-11-24)!A2": "0.000", "A (2026-11-24)_2!A7": "5", "Big Branch!B3": party(1, 1), "Big Branch (2026-11-24)!B6": party(1, 4)} {
		sheet, ref, _ := strings.Cut(cell, "!")
		if got, err := f.GetCellValue(sheet, ref); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", cell, got, want, err)
		}
	}
	rows, front := w.summary()
	if !front || len(rows) != 9 || !strings.Contains(rows[1][0], "run3") || rows[8][2] != "6" {
		t.Errorf("the Summary is %q, in front %v", rows, front)
	}
}

// TestExcelAppendOver: starting over while an append is unfinished goes back to the workbook as it was before that
// one, whose sheets are gone then.
func TestExcelAppendOver(t *testing.T) {
	w := newAppendWorld(t, "", "A", "B")
	w.claim()
	w.commit(w.whole(0, 1), w.whole(1, 1))
	w.complete()
	w.nextRun("run2", "")
	w.claim()
	w.commit(w.whole(1, 2))
	cleanUp(t, w.sink, true) // abandoned
	w.nextRun("run3", "")
	w.claim()
	w.commit(w.whole(0, 3), w.whole(1, 4))
	w.complete()
	w.check(wantSheet{"A", 0, 1}, wantSheet{"B", 1, 1}, wantSheet{"A (2026-11-24)", 0, 3}, wantSheet{"B (2026-11-24)", 1, 4})
}

// TestExcelAppendRefuses: a workbook that another program made or saved stays as it is, and the message says what to
// do.
func TestExcelAppendRefuses(t *testing.T) {
	w := newAppendWorld(t, "", "A")
	w.claim()
	w.commit(w.whole(0, 1))
	w.complete()
	refused := func(says string) {
		t.Helper()
		before, err := os.ReadFile(w.public())
		if err != nil {
			t.Fatal(err)
		}
		w.nextRun("run2", "")
		s, err := sinks.Kinds()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, nil, nil)
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), `mode "replace"`) {
			t.Errorf("claim: %v", err)
		}
		if after, err := os.ReadFile(w.public()); err != nil || string(after) != string(before) {
			t.Errorf("the refused file changed (%v)", err)
		}
	}
	_ = w.sink.Close()
	f := w.openPublic()
	if err := f.SetCellValue("A", "A2", "edited"); err != nil {
		t.Fatal(err)
	}
	if err := f.SaveAs(w.public()); err != nil {
		t.Fatal(err)
	}
	refused("was saved by another program")
	if err := excelize.NewFile().SaveAs(w.public()); err != nil {
		t.Fatal(err)
	}
	refused("was not made by fanmill, or another program has saved it since")
	if err := os.WriteFile(w.public(), []byte("id;party\r\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	refused("was not made by fanmill, or another program has saved it since")
}

// TestExcelAppendNames: neither the Summary's name nor that of a roll-over is one that an earlier run's sheet has.
func TestExcelAppendNames(t *testing.T) {
	w := newAppendWorld(t, `{"summary":false}`, "Summary", "A (2026-11-24) (2)", "A")
	w.bare = true
	w.claim()
	w.commit(w.whole(0, 1), w.whole(1, 1), w.whole(2, 1))
	w.complete()
	w.nextRun("run2", "")
	w.claim()
	w.commit(w.whole(0, 1), w.whole(1, 1), w.full(2))
	w.claim()
	w.complete()
	want := []string{"Summary", "A (2026-11-24) (2)", "A", "Summary (2026-11-24)", "A (2026-11-24) (2) (2026-11-24)", "A (2026-11-24)", "A (2026-11-24) (2-2)", "Summary_2"}
	if got := w.openPublic().GetSheetList(); !slices.Equal(got, want) {
		t.Errorf("tabs are %q, want %q", got, want)
	}
}
