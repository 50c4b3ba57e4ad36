package sinktest

import (
	"context"
	"errors"
	"fmt"
	"os"

	"fanmill/pipeline"
	"fanmill/sinks/proof"
)

// proven checks that every file is, by the report beside it alone, as it was published, and that its rows are counted
// as the report says.
func (w *world) proven() error {
	kind := w.subject.Kind
	if kind.Count == nil {
		return nil
	}
	files, err := proof.Find(w.out())
	if err != nil {
		return err
	}
	checker := proof.Checker{Kinds: map[string]*pipeline.SinkKind{kind.Name: kind}}
	var errs []error
	for _, t := range files {
		r := checker.Check(context.Background(), t)
		_, absent := os.Stat(t.Path)
		nothing := r.Report != nil && len(r.Missing) == len(r.Report.Connections) // what stands there may be an earlier run's
		switch {
		case nothing && r.State == proof.Other, nothing && absent != nil && r.State == proof.Partial:
		case r.State != proof.Proven && r.State != proof.Partial, !r.Counted, !r.Sealed:
			errs = append(errs, fmt.Errorf("verify finds %s %s (counted %v, sealed %v): %q, %+v", t.Path, r.State, r.Counted, r.Sealed, r.Why, r.Counts))
		}
	}
	return errors.Join(errs...)
}
