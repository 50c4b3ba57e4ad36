package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

type noLogs struct{ RowLogs }

func (noLogs) Open(context.Context, string, int) (RowLog, error) { return nil, nil }

// Invariant 3: a worker that wakes after its run was taken over allocates no attempt. It would fence the successor's own attempt,
// and end before it had delivered anything.
func TestWorkerOfALostRunAsksNothing(t *testing.T) {
	ctx := t.Context()
	kv := &memKV{}
	if _, err := CreateCell(ctx, kv, RunKey("r"), RunRecord{Job: "job", State: RunRunning, Owner: Owner{Token: "successor"}}); err != nil {
		t.Fatal(err)
	}
	before, err := CreateCell(ctx, kv, ConnKey("r", "c"), ConnRecord{Attempt: 2, Owner: "successor", State: ConnRunning})
	if err != nil {
		t.Fatal(err)
	}
	job := &Job{ID: "job", Connections: []Connection{{ID: "c", Name: "C", Driver: "none"}}, Retry: Retry{Attempts: 3}}
	w := &Worker{Runs: kv, RowLogs: noLogs{}, Owner: Owner{Token: "zombie"}, Log: slog.New(slog.DiscardHandler)}
	if err := w.Query(ctx, &Manifest{Run: "r", JobID: "job"}, job, "c", 1); !errors.Is(err, ErrFenced) {
		t.Errorf("it answers %v, want ErrFenced", err)
	}
	after, err := LoadCell[ConnRecord](ctx, kv, ConnKey("r", "c"))
	if err != nil || after.Revision() != before.Revision() {
		t.Errorf("the record is %+v at revision %d, was at %d, %v", after.Value(), after.Revision(), before.Revision(), err)
	}
}
