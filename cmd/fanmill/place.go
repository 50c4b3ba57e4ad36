package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
)

func newPlace(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "place",
		Short: "Show on which hosts the files of jobs are, and move them",
		Long: `Files whose destinations name no place stay on the host that wrote them first: a further host that serves does not get them, and while their
own is away a run waits for it. The files of an unfinished run are gone on with there, too: another host cannot tell them from a copy. Where
a host is replaced, or its folder was moved, fanmill place adopt says so; where the files are gone, fanmill place forget.`,
		Example: `  fanmill place ls --nats nats://nats.example.org:4222
  fanmill place adopt job_gst_data --nats nats://nats.example.org:4222`,
	}
	c.AddCommand(placeLs(stdout, stderr), placeAdopt(stdout, stderr), placeForget(stdout, stderr))
	return group(c)
}

func placeAdopt(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "adopt JOBID",
		Short: "Make this host the one that has the files of a job",
		Long: `The runs to come write the files of the job on this host, which is the one of its name and its --data, and so is what is left of an
unfinished run, if its files are here.

adopt is for files that are on this host now, under the same paths or in the folder of their --place, with the folder .fanmill beside them:
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
		moved, err := s.adoptFiles(ctx, job, stdout)
		if err == nil && moved == 0 {
			err = fmt.Errorf("job %s has no unfinished run, and no files on another host; there is nothing to adopt", job)
		}
		return err
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
	moved := 0
	if len(errs) == 0 { // else this is not the host that the person means
		if moved, err = s.adoptFiles(ctx, job, stdout); err != nil {
			errs = append(errs, err)
		}
	}
	if adopted+moved == 0 && len(errs) == 0 {
		fmt.Fprintf(stdout, "run %s has nothing on another host\n", m.Run)
	}
	return errors.Join(errs...)
}

// adoptFiles has the runs to come write the files of a job here, and counts the destinations that moved.
func (s *system) adoptFiles(ctx context.Context, job string, stdout io.Writer) (int, error) {
	moved, err := s.node.Coordinator().AdoptFiles(ctx, job)
	if err != nil {
		return 0, err
	}
	for _, id := range slices.Sorted(maps.Keys(moved)) {
		fmt.Fprintf(stdout, "destination %s: its files were on %s; the next run writes them here\n", id, pipeline.HostOf(moved[id]))
	}
	return len(moved), nil
}

func placeLs(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:     "ls [JOBID]",
		Short:   "List on which hosts the files of jobs are",
		Long:    `Files of destinations that name a place are where that is offered, and not listed.`,
		Example: "  fanmill place ls --nats nats://nats.example.org:4222",
		Args:    arguments(0, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			keys, err := node.Stores.Jobs.Keys(c.Context(), "*.files")
			if err != nil {
				return fmt.Errorf("list the files of jobs: %w", err)
			}
			if len(args) > 0 {
				keys = slices.DeleteFunc(keys, func(key string) bool { return key != checkpoint.FilesKey(args[0]) })
			}
			view := screen.PlacesView{}
			for _, key := range slices.Sorted(slices.Values(keys)) {
				rec, err := checkpoint.LoadFiles(c.Context(), node.Stores.Jobs, pipeline.Untoken(strings.TrimSuffix(key, ".files")), func(err error) { node.Log.Warn(err.Error()) })
				if err != nil {
					return err
				}
				view.Files = append(view.Files, filesLines(rec)...)
			}
			return s.print(stdout, view)
		})
	}
	return c
}

// filesLines are the folders of a job's files.
func filesLines(rec checkpoint.FilesRecord) (all []screen.FilesLine) {
	for _, id := range slices.Sorted(maps.Keys(rec.Destinations)) {
		for _, folder := range slices.Sorted(maps.Keys(rec.Destinations[id])) {
			at := rec.Destinations[id][folder]
			all = append(all, screen.FilesLine{JobID: rec.Job, Destination: id, Folder: folder, Host: pipeline.HostOf(at.Home), Home: at.Home, Since: at.Since, Run: at.Run})
		}
	}
	return all
}

func placeForget(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "forget JOBID [DESTINATION...]",
		Short: "Say that the files of a job are gone with their host",
		Long: `The next run chooses a host anew, as the first one did, and writes new files there. What is left of an unfinished run waits for its host all
the same. Without a DESTINATION all files of the job are meant.`,
		Example: "  fanmill place forget job_gst_data csv --nats nats://nats.example.org:4222",
		Args:    arguments(1, 1000),
	}
	f.add(c, storeFlags, logFlags)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			gone, err := sys.node.Coordinator().ForgetFiles(c.Context(), args[0], args[1:])
			if err != nil {
				return err
			}
			if len(gone) == 0 {
				return fmt.Errorf("job %s has no files on any host; there is nothing to forget", args[0])
			}
			for _, id := range gone {
				fmt.Fprintf(stdout, "destination %s: its next run chooses a host anew\n", id)
			}
			return nil
		})
	}
	return c
}
