package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

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
		return s.look(c.Context(), stderr, func(node *pipeline.Node) error {
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
			info, err := node.Inspect(c.Context(), run)
			if err != nil {
				return fmt.Errorf("look at run %s: %w", run, err)
			}
			return s.print(stdout, s.statusView(info))
		})
	}
	return c
}

// findRun finds the run that a user means: by its id, the newest of a job, or the newest of all. Of one that has not begun there is its
// trigger only.
func (s *settings) findRun(ctx context.Context, node *pipeline.Node, name string) (run string, _ *pipeline.Waiting, _ error) {
	if name != "" {
		run, err := node.LastRun(ctx, name)
		if !errors.Is(err, pipeline.ErrNoKey) {
			return run, nil, err
		}
		_, err = pipeline.LoadCell[pipeline.RunRecord](ctx, node.Stores.Runs, pipeline.RunKey(name))
		if !errors.Is(err, pipeline.ErrNoKey) {
			return name, nil, err
		}
	} else {
		runs, err := node.Runs(ctx, "")
		if err != nil {
			return "", nil, err
		}
		if len(runs) > 0 {
			return runs[0].Run, nil, nil
		}
	}
	waiting, err := node.Waiting(ctx, "")
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
func (s *settings) queuedView(w *pipeline.Waiting) screen.StatusView {
	return screen.StatusView{RunView: screen.RunView{Run: w.Run, JobID: w.Job, State: screen.StateQueued, Millis: time.Since(w.Since).Milliseconds()}, Asked: w.Since,
		Cancel: "fanmill cancel " + shellQuote(w.Run) + s.store}
}

// statusView shows a run as the store has it.
func (s *settings) statusView(info *pipeline.RunInfo) screen.StatusView {
	rec, m := info.Record, info.Manifest
	v := screen.StatusView{RunView: screen.RunView{Run: info.Run, JobID: m.JobID, JobName: m.JobName, State: rec.State, Error: rec.Error,
		Started: rec.Started, Measures: rec.Measures}, Resumes: rec.Resumes, Ended: rec.Ended}
	v.Connections, v.Destinations = screen.FromReports(info.Reports)
	measure(v.Destinations)
	for i := range v.Connections {
		c := &v.Connections[i]
		if known, ok := info.Connections[c.ID]; ok && c.State == screen.StatePending {
			c.Attempts = known.Attempts
			switch known.State {
			case pipeline.ConnRunning:
				if rec.State == pipeline.RunRunning {
					c.State, c.Millis = screen.StateRunning, time.Since(known.Started).Milliseconds()
				}
			case pipeline.ConnDone:
				c.State, c.Millis = screen.StateDelivered, known.Millis
			}
		}
	}
	for i, d := range m.Destinations {
		v.Destinations[i].Type = d.Type
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
		v.Owner = fmt.Sprintf("process %d on %s", rec.Owner.PID, rec.Owner.Host)
		if alive, known := s.owns(rec.Owner); known && !alive {
			v.State, v.Error = pipeline.RunInterrupted, v.Owner+" is gone; the run goes on with a resume, or when fanmill serve starts"
			v.Owner = ""
		}
	}
	if v.State.Resumable() && v.State != pipeline.RunRunning {
		v.Resume = "fanmill trigger " + shellQuote(m.JobID) + s.store + " --resume"
		if rec.Trigger == 0 {
			v.Resume = "fanmill run <its job file>" + s.store + " --resume"
		}
	}
	return v
}

func newRuns(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	limit := 0
	c := &cobra.Command{
		Use:   "runs [JOBID]",
		Short: "List runs, the newest first",
		Long: `runs lists the newest runs, of all jobs or of one, above them those that triggers have asked for and that wait for their turn
("queued"). fanmill status RUN tells more of one.`,
		Example: "  fanmill runs\n  fanmill runs job_gst_data --limit 100 --json",
		Args:    arguments(0, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.Flags().IntVar(&limit, "limit", 20, "`number` of runs; 0 is all")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		job := ""
		if len(args) > 0 {
			job = args[0]
		}
		return s.look(c.Context(), stderr, func(node *pipeline.Node) error {
			waiting, err := node.Waiting(c.Context(), job)
			if err != nil {
				return err
			}
			runs, err := node.Runs(c.Context(), job)
			if err != nil {
				return err
			}
			if limit > 0 {
				runs = runs[:min(limit, len(runs))]
			}
			view := screen.RunsView{Job: job}
			for _, w := range slices.Backward(waiting) {
				view.Runs = append(view.Runs, screen.RunLine{Run: w.Run, JobID: w.Job, State: screen.StateQueued, Asked: w.Since, Millis: time.Since(w.Since).Milliseconds()})
			}
			for _, r := range runs {
				line, err := s.runLine(c.Context(), node, r)
				switch {
				case errors.Is(err, pipeline.ErrNoKey): // it was removed meanwhile, being old
					continue
				case err != nil:
					return fmt.Errorf("look at run %s: %w", r.Run, err)
				}
				view.Runs = append(view.Runs, line)
			}
			return s.print(stdout, view)
		})
	}
	return c
}

func (s *settings) runLine(ctx context.Context, node *pipeline.Node, r pipeline.RunEntry) (screen.RunLine, error) {
	line := screen.RunLine{Run: r.Run, JobID: r.Record.Job, State: r.Record.State, Started: r.Record.Started}
	end := time.Now()
	if !r.Record.Ended.IsZero() && r.Record.State != pipeline.RunRunning {
		end = r.Record.Ended
	}
	line.Millis = end.Sub(line.Started).Milliseconds()
	info, err := node.Inspect(ctx, r.Run)
	if err != nil {
		return line, err
	}
	v := s.statusView(info)
	line.State = v.State
	line.Total = len(v.Connections)
	for _, c := range v.Connections {
		if c.State == screen.StateDone {
			line.Done++
			line.Rows += c.Rows
		}
	}
	return line, nil
}

// look opens the store to read it.
func (s *settings) look(ctx context.Context, stderr io.Writer, f func(*pipeline.Node) error) error {
	return s.bus(ctx, s.log(stderr), func(conn *nats.Conn) error { return f(readingNode(conn)) })
}
