package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"fanmill/pipeline/process"
	"fanmill/pipeline/view"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

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
	c.AddCommand(newRunsRemove(stdout, stderr))
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
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			waiting, err := node.View().Waiting(c.Context(), job)
			if err != nil {
				return err
			}
			runs, err := node.View().List(c.Context(), job)
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
				case errors.Is(err, pipeline.ErrForeign): // it is listed all the same
					node.Log.Warn(err.Error())
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

func (s *settings) runLine(ctx context.Context, node *process.Node, r view.RunEntry) (screen.RunLine, error) {
	line := screen.RunLine{Run: r.Run, JobID: r.Record.Job, State: r.Record.State, Started: r.Record.Started}
	end := time.Now()
	if !r.Record.Ended.IsZero() && r.Record.State != pipeline.RunRunning {
		end = r.Record.Ended
	}
	line.Millis = end.Sub(line.Started).Milliseconds()
	info, err := node.View().Inspect(ctx, r.Run)
	if err != nil {
		return line, err
	}
	v := s.statusView(info)
	line.State, line.Scheduled = v.State, v.Scheduled
	line.Total = len(v.Connections)
	for _, d := range v.Destinations {
		if d.State == pipeline.RecordOwing {
			line.Owing = append(line.Owing, d.ID)
		}
	}
	for _, c := range v.Connections {
		if c.State == screen.StateDone {
			line.Done++
			line.Rows += c.Rows
		}
	}
	return line, nil
}

// forgottenText says that a run was forgotten.
func forgottenText(run string) string {
	return "run " + run + " is forgotten; its files stay as they are"
}

func newRunsRemove(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "rm RUN",
		Short: "Forget a run: its records and its row log, not its files",
		Long: `rm removes what the store has of a run that has ended, or of which another program has damaged something. A run that goes on is refused, and
so is an unfinished one that a resume can go on with: fanmill checkpoint rm gives that up.`,
		Example: "  fanmill runs rm 20261123-191112-psckdj",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			if err := sys.node.Coordinator().Remove(c.Context(), args[0]); err != nil {
				return err
			}
			return s.say(stdout, map[string]string{"run": args[0], "state": "removed"}, forgottenText(args[0])+"\n")
		})
	}
	return c
}
