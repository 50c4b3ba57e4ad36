package checkpoint

import (
	"context"

	"fanmill/pipeline"
)

// RunRecords reads the records of all runs in one go, but for those that nobody can read: pass is told of these.
func RunRecords(ctx context.Context, runs pipeline.KV, pass func(error)) (cells []*Document[RunRecord], _ error) {
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
		doc, err := DocumentOf[RunRecord](runs, e)
		if err != nil { // it concerns its own run alone
			pass(err)
			continue
		}
		cells = append(cells, doc)
	}
	return nil, pipeline.WatchEnded(ctx, "runs")
}

// RunOf is the id that a run's record stands under. Run ids are tokens already.
func RunOf(doc *Document[RunRecord]) string { return doc.key }
