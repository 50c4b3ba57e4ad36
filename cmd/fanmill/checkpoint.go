package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline/process"

	"github.com/spf13/cobra"

	"fanmill/pipeline"
)

func newCheckpoint(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Look at the checkpoints of unfinished runs, or drop one",
		Long: `A checkpoint says which connections of a job's unfinished run every destination has. It is there from the first delivered connection
until the run is complete; a resume goes on from what it says.`,
		Example: "  fanmill checkpoint ls\n  fanmill checkpoint show job_gst_data",
	}
	c.AddCommand(checkpointList(stdout, stderr), checkpointShow(stdout, stderr), checkpointExport(stdout, stderr), checkpointRemove(stdout, stderr))
	return group(c)
}

// checkpoints reads the public checkpoints, of one job if job is not "".
func checkpoints(ctx context.Context, stores pipeline.Stores, job string) (out []pipeline.PublicCheckpoint, err error) {
	keys := []string{pipeline.Token(job)}
	if job == "" {
		if keys, err = stores.Checkpoints.Keys(ctx, "*"); err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		e, err := stores.Checkpoints.Get(ctx, key)
		if errors.Is(err, pipeline.ErrNoKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var c pipeline.PublicCheckpoint
		if err := json.Unmarshal(e.Value, &c); err != nil {
			return nil, fmt.Errorf("read checkpoint %s: %w", key, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func checkpointList(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{Use: "ls", Short: "List checkpoints", Args: arguments(0, 0), Example: "  fanmill checkpoint ls"}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			all, err := checkpoints(c.Context(), node.Stores, "")
			if err != nil {
				return err
			}
			text := ""
			for _, p := range all {
				text += fmt.Sprintf("%s: %d of %d connections delivered, %d failed, %s\n", p.JobID, len(p.CompletedConnectionIDs), p.TotalConnections,
					len(p.FailedConnectionIDs), p.LastUpdated.Local().Format(time.DateTime))
			}
			if text == "" {
				text = "no checkpoints: no job has an unfinished run\n"
			}
			if all == nil {
				all = []pipeline.PublicCheckpoint{}
			}
			return s.say(stdout, all, text)
		})
	}
	return c
}

func checkpointShow(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{Use: "show JOBID", Short: "Show a job's checkpoint", Args: arguments(1, 1), Example: "  fanmill checkpoint show job_gst_data"}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.checkpoint(c, args[0], stderr, func(s *settings, p pipeline.PublicCheckpoint) error {
			text := fmt.Sprintf("%s (%s), %s\n  delivered (%d of %d): %s\n  failed (%d): %s\n", p.JobID, p.JobName, p.LastUpdated.Local().Format(time.DateTime),
				len(p.CompletedConnectionIDs), p.TotalConnections, orNone(strings.Join(p.CompletedConnectionIDs, ", ")),
				len(p.FailedConnectionIDs), orNone(strings.Join(p.FailedConnectionIDs, ", ")))
			return s.say(stdout, p, text)
		})
	}
	return c
}

func checkpointExport(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{Use: "export JOBID [FILE]", Short: "Write a job's checkpoint as JSON, to a file or to standard output", Args: arguments(1, 2),
		Example: "  fanmill checkpoint export job_gst_data\n  fanmill checkpoint export job_gst_data D:/backup/gst.json"}
	f.add(c, storeFlags, logFlags)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.checkpoint(c, args[0], stderr, func(s *settings, p pipeline.PublicCheckpoint) error {
			s.json = true
			if len(args) == 1 {
				return s.say(stdout, p, "")
			}
			file, err := os.Create(args[1])
			if err != nil {
				return fmt.Errorf("export checkpoint: %w", err)
			}
			return errors.Join(s.say(file, p, ""), file.Close())
		})
	}
	return c
}

// checkpoint reads the checkpoint of a job and shows it.
func (f *flags) checkpoint(c *cobra.Command, job string, stderr io.Writer, show func(*settings, pipeline.PublicCheckpoint) error) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	return s.look(c.Context(), stderr, func(node *process.Node) error {
		all, err := checkpoints(c.Context(), node.Stores, job)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return noCheckpoint(job)
		}
		return show(&s, all[0])
	})
}

func noCheckpoint(job string) error {
	return fmt.Errorf("job %q has no checkpoint: its last run is complete or given up, or it never ran; fanmill checkpoint ls lists those there are", job)
}

// givenUpText says that a run was given up.
func givenUpText(run string) string {
	return "run " + run + " is given up; its files stay as they are"
}

func checkpointRemove(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "rm JOBID",
		Short: "Give up a job's unfinished run, so that nothing is left to resume",
		Long: `rm abandons the job's unfinished run: its row log and everything private beside its artifacts are removed. The artifacts stay as they
were last published. A run that is going on is not touched: cancel it first.`,
		Example: "  fanmill checkpoint rm job_gst_data",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			run, err := sys.node.Coordinator().Abandon(c.Context(), args[0])
			if err != nil {
				return err
			}
			return s.say(stdout, map[string]string{"run": run, "state": string(pipeline.RunAbandoned)}, givenUpText(run)+"\n")
		})
	}
	return c
}
