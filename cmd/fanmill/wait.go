package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"
	"fanmill/pipeline/view"

	"fanmill/nats"
	"fanmill/pipeline"
)

const (
	// waitEvery is how often who waits for a run looks at its record.
	waitEvery = 500 * time.Millisecond
	// waitGone is how often in a row a trigger is found neither waiting nor with a run before it is taken for done
	// with: it may just be on its way from one to the other.
	waitGone = 4
)

// asked is a trigger whose run is waited for.
type asked struct {
	*settings
	topic   string
	job, id string
	payload []byte
	log     *slog.Logger
	missing int
}

// wait returns when the run has ended, in whatever process and after however many of them: what it goes by is in the
// store. A store that does not answer, as while the process that holds the embedded one is started anew, is asked
// again.
func (w *asked) wait(ctx context.Context, stdout io.Writer) error {
	for troubled := false; ; {
		var ended *view.RunInfo
		var refused *pipeline.Answer
		err := w.bus(ctx, w.log, func(conn *nats.Conn) (err error) {
			for err == nil && ended == nil && refused == nil {
				if ended, refused, err = w.look(ctx, conn); err == nil && ended == nil && refused == nil {
					troubled = false
					err = pause(ctx)
				}
			}
			return err
		})
		var coded *exitError
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("stopped waiting; the run goes on: fanmill status %s%s", w.id, w.store)
		case errors.As(err, &coded):
			return err
		case err == nil && refused != nil:
			return w.answered(stdout, *refused)
		case err == nil:
			return w.ended(stdout, ended)
		}
		if !troubled {
			w.log.Warn("the store cannot be asked how the run goes on; that is tried again", "error", err)
		}
		troubled = true
		if pause(ctx) != nil {
			continue
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(waitEvery):
		return nil
	}
}

// look finds out how far it is: nothing is returned as long as the run waits or goes on.
func (w *asked) look(ctx context.Context, conn *nats.Conn) (*view.RunInfo, *pipeline.Answer, error) {
	node := readingNode(conn)
	run, err := w.run(ctx, node)
	if err != nil {
		return nil, nil, err
	}
	if run == nil {
		return w.gone(ctx, node, conn.Bus())
	}
	w.missing = 0
	// An interrupted run of a trigger's goes on by itself, unless somebody stopped it.
	if r := run.Record; r.State == pipeline.RunRunning || r.State == pipeline.RunInterrupted && r.Stopped == "" && r.Trigger != 0 {
		return nil, nil, nil
	}
	info, err := node.View().Inspect(ctx, run.Run)
	return info, nil, err
}

// run is the one of the trigger's id, or that which it resumed; nil if there is none.
func (w *asked) run(ctx context.Context, node *process.Node) (*view.RunEntry, error) {
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, node.Stores.Runs, checkpoint.RunKey(w.id))
	if err == nil {
		return &view.RunEntry{Run: w.id, Record: cell.Value()}, nil
	}
	if !errors.Is(err, pipeline.ErrNoKey) {
		return nil, err
	}
	runs, err := node.View().List(ctx, w.job)
	if at := slices.IndexFunc(runs, func(r view.RunEntry) bool { return slices.Contains(r.Record.Triggers, w.id) }); at >= 0 {
		return &runs[at], nil
	}
	return nil, err
}

// gone looks what became of a trigger without a run. One that waits no longer was refused, skipped or cancelled, which
// the store knows; where it does not, the same trigger once more is answered.
func (w *asked) gone(ctx context.Context, node *process.Node, bus pipeline.Bus) (*view.RunInfo, *pipeline.Answer, error) {
	waiting, err := node.View().Waiting(ctx, w.job)
	if err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(waiting, func(t view.Waiting) bool { return t.Run == w.id }) {
		w.missing = 0
		return nil, nil, nil
	}
	if w.missing++; w.missing < waitGone {
		return nil, nil, nil
	}
	w.missing = 0
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	a, known, err := node.View().Left(ctx, w.id)
	if err == nil && !known {
		a, err = w.ask(ctx, bus)
	}
	switch {
	case errors.Is(err, pipeline.ErrNoAnswer):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case a.Error == "" && a.State == pipeline.StoppedCancelled:
		a.Error = "the run was cancelled before it began"
	}
	if a.Error == "" {
		return nil, nil, nil
	}
	return nil, &a, nil
}

// ask publishes the trigger and returns the answer.
func (w *asked) ask(ctx context.Context, bus pipeline.Bus) (a pipeline.Answer, err error) {
	data, err := bus.Ask(ctx, w.topic, w.id, w.payload)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("the answer cannot be understood: %s", data)
	}
	return a, nil
}

// ended shows the end of the run as fanmill run does, and has its exit code.
func (w *asked) ended(stdout io.Writer, info *view.RunInfo) error {
	v := w.statusView(info).RunView
	if v.Resume, v.Again = "", ""; v.State != pipeline.RunComplete {
		v.Offer("fanmill trigger " + shellQuote(w.job) + w.store + " --resume --wait")
	}
	v.Millis = info.Record.Ended.Sub(info.Record.Started).Milliseconds()
	v.Resumed = info.Record.Resumes > 0
	_ = w.print(stdout, v)
	switch r := info.Record; {
	case r.State == pipeline.RunComplete:
		return nil
	case r.State == pipeline.RunPartial:
		return &exitError{code: exitPartial}
	case r.State == pipeline.RunInterrupted && r.Stopped == pipeline.StoppedMemory:
		return &exitError{code: exitMemory}
	case r.State == pipeline.RunInterrupted:
		return &exitError{code: exitInterrupted}
	}
	return &exitError{code: exitFailed}
}
