package pipeline

import (
	"context"
	"errors"
	"fmt"
)

// Opened says what a commit record, or a connection's record, was opened for. Who begins or resumes the run writes it,
// in the compare-and-set that opens the record. A worker reads it in the very document that it then claims by
// compare-and-set, and nowhere else: two documents may come from two replicas, or from two moments. Records of earlier
// versions have none.
type Opened struct {
	Epoch       uint64 `json:"epoch"`       // RunRecord.Epoch
	Incarnation int    `json:"incarnation"` // RunRecord.Resumes, of the resume that opened the record; 0 for the beginning
	Generation  int    `json:"generation"`  // of the row log; 0 where it is not known yet
}

// Admits reports ErrFenced to a command that was published under an earlier incarnation: the run has gone on since, and
// the record is for others.
func (o Opened) Admits(incarnation int) error {
	if incarnation < o.Incarnation {
		return fmt.Errorf("the command is of resume %d of the run, and its record of resume %d: %w", incarnation, o.Incarnation, ErrFenced)
	}
	return nil
}

// By reports whether a coordinator has opened the record, or nobody did that is known.
func (o Opened) By(c Opened) bool { return o == c || o == Opened{} }

// after reports whether a later coordinator has opened the record: who sees that has lost the run.
func (o Opened) after(c Opened) bool { return o.Epoch > c.Epoch }

// opened is what the records of the run are opened for as it is.
func (r *RunRecord) opened() Opened { return Opened{r.Epoch, r.Resumes, r.Generation} }

// opens is what a resume opens them for.
func (r *RunRecord) opens() Opened { return Opened{r.Epoch, r.Resumes + 1, r.Generation} }

// goesOn reports whether the run is still as a record was opened for.
func (r *RunRecord) goesOn(o Opened) bool {
	return r.State == RunRunning && r.Resumes == o.Incarnation && (o.Generation == 0 || r.Generation == o.Generation)
}

// openLog opens the row log that a record was opened for.
func openLog(ctx context.Context, logs RowLogs, run string, o Opened) (RowLog, error) {
	generation := o.Generation
	if generation == 0 {
		var err error
		if generation, err = logs.Newest(ctx, run); err != nil {
			return nil, fmt.Errorf("look for row log: %w", err)
		}
	}
	log, err := logs.Open(ctx, run, generation)
	if err != nil {
		return nil, fmt.Errorf("open row log: %w", err)
	}
	return log, nil
}

// readAgain looks whether a run goes on whose row log a worker did not find. The error is ErrFenced if it does not:
// others have it, and another log. If it does, the log was deleted, and its coordinator says so and ends it.
func readAgain(ctx context.Context, runs KV, run string, o Opened) error {
	cell, err := LoadCell[RunRecord](ctx, runs, RunKey(run))
	if errors.Is(err, ErrNoKey) {
		return fmt.Errorf("run %s is gone: %w", run, ErrFenced)
	}
	if err != nil {
		return err
	}
	if rec := cell.Value(); !rec.goesOn(o) {
		return fmt.Errorf("run %s: %w", run, ErrFenced)
	}
	return nil
}
