package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
)

// endPatience bounds the writes that follow a cancellation.
const endPatience = 10 * time.Second

// ErrUnrecorded is a stop that the store does not know of.
var ErrUnrecorded = errors.New("the stop of the run could not be recorded")

// interrupt records that the run stopped before its end, and returns why. If the store cannot be told, the run is
// taken for running until whoever has its trigger, or the next start, finds out; the error is ErrUnrecorded, too.
func (s *supervisor) interrupt(ctx context.Context, cause error) error {
	// In a store that took the place of ours there is no such run.
	if errors.Is(cause, pipeline.ErrFenced) || errors.Is(cause, pipeline.ErrStore) {
		return cause
	}
	patience := endPatience
	if s.c.StoreFails() {
		patience = brokenPatience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	measures, stopped := s.measures(nil), ""
	switch {
	case errors.Is(cause, memory.ErrMemory):
		stopped = pipeline.StoppedMemory
	case errors.Is(cause, pipeline.ErrCancelled):
		stopped = pipeline.StoppedCancelled
	}
	if err := s.run.putManifest(ctx); err != nil { // which somebody may have damaged: a resume needs it
		s.c.Log.Debug("the manifest was not written again", "error", err)
	}
	err := s.run.recordEnd(ctx, s.mine, func(r *checkpoint.RunRecord) { r.Interrupt(cause, stopped, measures) })
	switch {
	case errors.Is(err, pipeline.ErrFenced), errors.Is(err, pipeline.ErrConflict):
		return pipeline.Permanent(fmt.Errorf("run %s: %w; this process stops", s.m.Run, pipeline.ErrFenced))
	case err != nil:
		s.c.Log.Debug("the end of the run was not recorded", "error", err)
		return errors.Join(cause, ErrUnrecorded)
	}
	s.run.ran(pipeline.RunInterrupted, cause)
	s.c.event(s.run.stamp(pipeline.Event{Kind: pipeline.EventInterrupted, Error: pipeline.ShortError(cause)}))
	s.publishCheckpoint(ctx, true)
	if err := s.c.dropCommands(ctx, s.m.Run); err != nil {
		s.c.Log.Debug("the commands of the run were not dropped", "error", err)
	}
	return cause
}

// recordEnd writes how the run ended, also over what another program has made of its record.
func (r *run) recordEnd(ctx context.Context, mine func(*checkpoint.RunRecord) bool, end func(*checkpoint.RunRecord)) error {
	err := r.doc.Change(ctx, mine, end)
	if errors.Is(err, pipeline.ErrForeign) {
		r.c.Log.Warn(fmt.Sprintf("%v. How the run ended is written in its place", err))
		rec := r.doc.Value()
		end(&rec)
		return r.doc.Overwrite(ctx, rec)
	}
	return err
}
