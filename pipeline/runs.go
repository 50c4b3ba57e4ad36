package pipeline

import (
	"context"
)

// RunRecords reads the records of all runs in one go, but for those that nobody can read: pass is told of these.
func RunRecords(ctx context.Context, runs KV, pass func(error)) (cells []*Cell[RunRecord], _ error) {
	watching, stop := context.WithCancel(ctx)
	entries, err := runs.Watch(watching, "*")
	if err != nil {
		stop()
		return nil, err
	}
	defer func() {
		stop()
		for range entries { // the store closes it
		}
	}()
	for e := range entries {
		switch {
		case e.Key == "": // what there is has come
			return cells, nil
		case e.Deleted:
			continue
		}
		cell, err := CellOf[RunRecord](runs, e)
		if err != nil { // it concerns its own run alone
			pass(err)
			continue
		}
		cells = append(cells, cell)
	}
	return nil, watchEnded(ctx, "runs")
}

// RunOf is the id that a run's record stands under. Run ids are tokens already.
func RunOf(cell *Cell[RunRecord]) string { return cell.key }
