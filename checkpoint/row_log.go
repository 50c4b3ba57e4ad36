package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"fanmill/pipeline"
)

// OpenLog opens the row log that a record was opened for.
func OpenLog(ctx context.Context, logs pipeline.RowLogs, run string, o Opened) (pipeline.RowLog, error) {
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

// ReadAgain looks whether a run goes on whose row log a worker did not find. The error is ErrFenced if it does not:
// others have it, and another log. If it does, the log was deleted, and its coordinator says so and ends it.
func ReadAgain(ctx context.Context, runs pipeline.KV, run string, o Opened) error {
	cell, err := LoadDocument[RunRecord](ctx, runs, RunKey(run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return fmt.Errorf("run %s is gone: %w", run, pipeline.ErrFenced)
	}
	if err != nil {
		return err
	}
	if rec := cell.Value(); !rec.goesOn(o) {
		return fmt.Errorf("run %s: %w", run, pipeline.ErrFenced)
	}
	return nil
}
