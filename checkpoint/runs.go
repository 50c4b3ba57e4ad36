package checkpoint

import (
	"context"

	"fanmill/pipeline"
)

// RunRecords reads the records of all runs in one go, but for those that nobody can read: pass is told of these.
func RunRecords(ctx context.Context, runs pipeline.KV, pass func(error)) (cells []*Document[RunRecord], _ error) {
	err := present(ctx, runs, "*", func(e pipeline.KVEntry) {
		doc, err := DocumentOf[RunRecord](runs, e)
		if err != nil { // it concerns its own run alone
			pass(err)
			return
		}
		cells = append(cells, doc)
	})
	if err != nil {
		return nil, err
	}
	return cells, nil
}

// present hands f the entries that are there now.
func present(ctx context.Context, kv pipeline.KV, pattern string, f func(pipeline.KVEntry)) error {
	watching, stop := context.WithCancel(ctx)
	entries, err := kv.Watch(watching, pattern)
	if err != nil {
		stop()
		return err
	}
	defer func() {
		stop()
		for range entries { // the store closes it
		}
	}()
	for e := range entries {
		switch {
		case e.Key == "": // what there is has come
			return nil
		case !e.Deleted:
			f(e)
		}
	}
	return pipeline.WatchEnded(ctx, pattern)
}

// ConnRecords reads the records of all connections of a run in one go, by their keys, but for those that nobody can
// read: pass is told of these.
func ConnRecords(ctx context.Context, runs pipeline.KV, run string, pass func(error)) (map[string]*Document[ConnRecord], error) {
	all := map[string]*Document[ConnRecord]{}
	return all, present(ctx, runs, ConnKeys(run), func(e pipeline.KVEntry) {
		if doc, err := DocumentOf[ConnRecord](runs, e); err != nil {
			pass(err)
		} else {
			all[e.Key] = doc
		}
	})
}

// RunOf is the id that a run's record stands under. Run ids are tokens already.
func RunOf(doc *Document[RunRecord]) string { return doc.key }
