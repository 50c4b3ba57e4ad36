package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

func newPlace(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "place",
		Short: "Say that the files of a run are on this host now",
		Long: `The files of an unfinished run are gone on with on the host that wrote them: another one cannot tell them from a copy. Where that host is
replaced, or its folder was moved, fanmill place adopt says so.`,
		Example: "  fanmill place adopt job_gst_data --nats nats://nats.example.org:4222",
	}
	c.AddCommand(placeAdopt(stdout, stderr))
	return group(c)
}

func placeAdopt(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "adopt JOBID",
		Short: "Make this host the one that goes on with the files of a job's last run",
		Long: `adopt is for files that are on this host now, under the same paths or in the folder of their --place, with the folder .fanmill beside them:
moved, restored, or on a share whose other host is gone for good. The host that had them goes on with none of them from then on. What the
last claim has left in .fanmill must be here; a destination that a process is writing is left alone.`,
		Example: `  fanmill place adopt job_gst_data --nats nats://nats.example.org:4222
  fanmill place adopt job_gst_data --nats nats://nats.example.org:4222 --place reports=D:/Reports`,
		Args: arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, placeFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error { return sys.adopt(c.Context(), args[0], stdout) })
	}
	return c
}

// adopt takes the files of a job's last run over.
func (s *system) adopt(ctx context.Context, job string, stdout io.Writer) error {
	last, _, err := s.node.Coordinator().LastRun(ctx, job)
	if err != nil {
		return err
	}
	if last == nil || !last.Value().State.Resumable() && last.Value().State != pipeline.RunRunning {
		return fmt.Errorf("job %s has no unfinished run; there is nothing to adopt", job)
	}
	m, err := checkpoint.LoadManifest(ctx, s.node.Stores.Runs, checkpoint.RunOf(last))
	if err != nil {
		return err
	}
	adopter := s.node.Adopter()
	var errs []error
	adopted := 0
	for i := range m.Destinations {
		d := &m.Destinations[i]
		from, err := adopter.Adopt(ctx, m, d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if from != "" {
			adopted++
			fmt.Fprintln(stdout, adopter.Text(d, from))
		}
	}
	if adopted == 0 && len(errs) == 0 {
		fmt.Fprintf(stdout, "run %s has nothing on another host\n", m.Run)
	}
	return errors.Join(errs...)
}
