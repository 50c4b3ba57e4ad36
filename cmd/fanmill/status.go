package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"
	"fanmill/pipeline/view"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
)

func newStatus(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "status [JOBID | RUN]",
		Short: "Show a run: connections, destinations, what to change",
		Long: `status shows the newest run, that of a job, or one run by its id: the state of every connection, what each destination has committed
and how far it is behind, how full the row log is, and, from what was measured, which settings to change. It asks no database.`,
		Example: `  fanmill status
  fanmill status job_gst_data
  fanmill status 20261123-191112-psckdj --json`,
		Args: arguments(0, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag, listFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			run, waiting, err := s.findRun(c.Context(), node, name)
			switch {
			case err != nil:
				return err
			case waiting != nil:
				return s.print(stdout, s.queuedView(waiting))
			}
			info, err := node.View().Inspect(c.Context(), run)
			if err != nil {
				return fmt.Errorf("look at run %s: %w", run, err)
			}
			v := s.statusView(info)
			if v.Notices, err = noticesOf(c.Context(), node, run); err != nil {
				return fmt.Errorf("look at who was told of run %s: %w", run, err)
			}
			return s.print(stdout, v)
		})
	}
	return c
}

// findRun finds the run that a user means: by its id, the newest of a job, or the newest of all. Of one that has not
// begun there is its trigger only.
func (s *settings) findRun(ctx context.Context, node *process.Node, name string) (run string, _ *view.Waiting, _ error) {
	if name != "" {
		run, err := node.View().LastRun(ctx, name)
		if !errors.Is(err, pipeline.ErrNoKey) {
			return run, nil, err
		}
		_, err = checkpoint.LoadDocument[checkpoint.RunRecord](ctx, node.Stores.Runs, checkpoint.RunKey(name))
		if !errors.Is(err, pipeline.ErrNoKey) {
			return name, nil, err
		}
	} else {
		runs, err := node.View().List(ctx, "")
		if err != nil {
			return "", nil, err
		}
		if len(runs) > 0 {
			return runs[0].Run, nil, nil
		}
	}
	waiting, err := node.View().Waiting(ctx, "")
	if err != nil {
		return "", nil, err
	}
	for _, w := range waiting {
		if name == "" || name == w.Job || name == w.Run {
			return "", &w, nil
		}
	}
	if name == "" {
		return "", nil, fmt.Errorf("there are no runs in %s; --data, FANMILL_DATA or --nats say where a run keeps its state", s.place())
	}
	return "", nil, fmt.Errorf("there is no run and no job %q in %s; fanmill runs lists what there is", name, s.place())
}

// queuedView shows a run that has not begun.
func (s *settings) queuedView(w *view.Waiting) screen.StatusView {
	return screen.StatusView{RunView: screen.RunView{Run: w.Run, JobID: w.Job, State: screen.StateQueued, Millis: time.Since(w.Since).Milliseconds()}, Asked: w.Since,
		Cancel: "fanmill cancel " + shellQuote(w.Run) + s.store}
}

// statusView shows a run as the store has it.
func (s *settings) statusView(info *view.RunInfo) screen.StatusView {
	rec, m := info.Record, info.Manifest
	v := screen.StatusView{RunView: screen.RunView{Run: info.Run, JobID: m.JobID, JobName: m.JobName, State: rec.State, Error: rec.Error,
		Scheduled: m.Scheduled, Started: rec.Started, Measures: rec.Measures}, Resumes: rec.Resumes, Ended: rec.Ended}
	v.Connections, v.Destinations = screen.FromReports(info.Reports)
	measure(v.Destinations)
	for i := range v.Connections {
		c := &v.Connections[i]
		if known, ok := info.Connections[c.ID]; ok && c.State == screen.StatePending {
			c.Attempts = known.Attempts
			switch known.State {
			case checkpoint.ConnRunning:
				if rec.State == pipeline.RunRunning {
					c.State, c.Millis = screen.StateRunning, time.Since(known.Started).Milliseconds()
				}
			case checkpoint.ConnDone:
				c.State, c.Millis = screen.StateDelivered, known.Millis
			case checkpoint.ConnPending:
				for i := range known.Refused {
					if rec.State != pipeline.RunRunning {
						break
					}
					c.Waits = append(c.Waits, known.Refused[i].String())
				}
			}
		}
	}
	for i, d := range info.Destinations {
		v.Destinations[i].Type = d.Type
		if rec.State == pipeline.RunRunning {
			for _, part := range m.PartsOf(d.ID) {
				until, whom := rec.Unclaimed[part.ID], rec.Awaited[part.ID]
				if was := v.Destinations[i].Unclaimed; !until.IsZero() && (was.IsZero() || until.Before(was)) {
					v.Destinations[i].Unclaimed, v.Destinations[i].Awaited = until, whom
				}
			}
		}
		if info.Log != nil && rec.State == pipeline.RunRunning {
			lag := max(int64(info.Log.Last)-int64(info.Positions[i]), 0)
			v.Destinations[i].Lag = &lag
		}
	}
	if info.Log != nil {
		v.Log = &screen.LogView{Bytes: info.Log.Bytes, Max: info.Log.MaxBytes}
	}
	v.Millis = time.Since(rec.Started).Milliseconds()
	if !rec.Ended.IsZero() && rec.State != pipeline.RunRunning {
		v.Millis = rec.Ended.Sub(rec.Started).Milliseconds()
	}
	if rec.State == pipeline.RunRunning {
		v.Owner, v.Unserved, v.LacksRoom = ownerText(&rec.Owner), rec.Unserved, rec.LacksRoom
		if info.Cancelled != nil {
			v.Cancelling = info.Cancelled.At
		}
		if rec.HandedOver {
			v.Owner = "nobody for the moment: " + v.Owner + " was stopped, and the next coordinator goes on with it"
		} else if s.gone(rec.Owner) {
			v.State, v.Error = pipeline.RunInterrupted, goneText(&rec.Owner)
			v.Owner, v.Unserved, v.LacksRoom = "", nil, ""
		}
	}
	if v.State.Resumable() && v.State != pipeline.RunRunning {
		resume := "fanmill trigger " + shellQuote(m.JobID) + s.store + " --resume"
		if rec.Trigger == 0 {
			resume = "fanmill run <its job file>" + s.store + " --resume"
		}
		v.Offer(resume)
	}
	return v
}

// look opens the store to read it.
func (s *settings) look(ctx context.Context, stderr io.Writer, f func(*process.Node) error) error {
	log := s.log(stderr)
	return s.bus(ctx, log, func(conn *nats.Conn) error {
		node := readingNode(conn)
		node.Log = log
		return f(node)
	})
}
