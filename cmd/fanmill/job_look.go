package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/screen"
	"fanmill/internal/textdiff"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
)

// lookAtJob reads a job of the store and hands it to f.
func (f *flags) lookAtJob(c *cobra.Command, job string, stderr io.Writer, look func(*settings, *checkpoint.JobDefinitions, checkpoint.JobDefinition) error) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	return s.look(c.Context(), stderr, func(node *process.Node) error {
		store := checkpoint.NewJobDefinitions(node.Stores.Jobs)
		d, err := store.Get(c.Context(), job)
		if errors.Is(err, pipeline.ErrNoKey) {
			return noStoredJob(job)
		}
		if err != nil {
			return err
		}
		return look(&s, store, d)
	})
}

func noStoredJob(job string) error {
	return &exitError{exitBadJob, fmt.Errorf("the store has no job %q; fanmill job ls lists those that it has, fanmill job put FILE puts one", job)}
}

// versionText reads a version; 0 is the one that counts.
func versionText(ctx context.Context, store *checkpoint.JobDefinitions, d checkpoint.JobDefinition, n int) (int, *checkpoint.JobText, error) {
	n, v, err := d.Version(n)
	if err != nil {
		return n, nil, &exitError{exitBadJob, err}
	}
	text, err := store.Text(ctx, d.Job, v)
	return n, text, err
}

type jobGetFlags struct {
	flags
	version   int
	out       string
	inventory bool
}

func jobGet(stdout, stderr io.Writer) *cobra.Command {
	var f jobGetFlags
	c := &cobra.Command{
		Use:   "get JOBID",
		Short: "Write a job of the store exactly as it was put",
		Long: `get writes the text of a job, byte for byte, to standard output or to a file. With -o its inventory is written as well, where the job has
it: beside that file, if the job names it by a relative path.`,
		Example: "  fanmill job get job_gst_data\n  fanmill job get job_gst_data --version 3 -o D:/jobs/gst.json\n  fanmill job get job_gst_data --inventory",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags)
	c.Flags().IntVar(&f.version, "version", 0, "`number` of the version (default the one that counts)")
	c.Flags().StringVarP(&f.out, "output", "o", "", "`file` to write; one that is there is written over")
	c.Flags().BoolVar(&f.inventory, "inventory", false, "write the job's inventory instead")
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.lookAtJob(c, args[0], stderr, func(_ *settings, store *checkpoint.JobDefinitions, d checkpoint.JobDefinition) error {
			_, text, err := versionText(c.Context(), store, d, f.version)
			if err != nil {
				return err
			}
			return f.write(text, stdout, stderr)
		})
	}
	return c
}

// write writes what was asked for.
func (f *jobGetFlags) write(t *checkpoint.JobText, stdout, stderr io.Writer) error {
	body := t.Job
	if f.inventory {
		if t.Inventory == nil {
			return errors.New("this version has no inventory: its connections stand in the job itself")
		}
		body = t.Inventory.Text
	}
	data, err := body.Bytes()
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err := stdout.Write(data)
		return err
	}
	if err := os.WriteFile(f.out, data, 0o600); err != nil {
		return fmt.Errorf("write job: %w", err)
	}
	if f.inventory || t.Inventory == nil {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(t.Inventory.File)) {
		return screen.Message(stderr, fmt.Sprintf("the job names its inventory as %s, which is not beside it: --inventory -o FILE writes it\n", t.Inventory.File))
	}
	if data, err = t.Inventory.Text.Bytes(); err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(f.out), filepath.FromSlash(t.Inventory.File))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return screen.Message(stderr, "its inventory is in "+path+"\n")
}

func jobList(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	all := false
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the jobs of the store",
		Long:  `ls lists the jobs of the store: which version counts, who put it and when, what it has, and the last run of the job.`,
		Args:  arguments(0, 0), Example: "  fanmill job ls\n  fanmill job ls --all --json",
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.Flags().BoolVar(&all, "all", false, "list jobs that were removed, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			jobs, err := checkpoint.NewJobDefinitions(node.Stores.Jobs).List(c.Context(), func(job string, err error) {
				node.Log.Warn(fmt.Sprintf("job %s of the store is not listed: %v", job, err))
			})
			if err != nil {
				return err
			}
			view := screen.JobsView{}
			for _, d := range jobs {
				if d.Current == 0 && !all {
					continue
				}
				line, err := jobLine(c.Context(), node, d)
				if err != nil {
					return err
				}
				view.Jobs = append(view.Jobs, line)
			}
			return s.print(stdout, view)
		})
	}
	return c
}

// jobLine is a job in the list.
func jobLine(ctx context.Context, node *process.Node, d checkpoint.JobDefinition) (screen.JobLine, error) {
	line := screen.JobLine{ID: d.Job}
	if _, v, err := d.Version(0); err == nil {
		line.Version, line.Name, line.At, line.By, line.Note = d.Current, v.Name, v.At, v.By, v.Note
		line.Connections, line.Destinations = v.Connections, v.Destinations
	} else if d.Removed != nil {
		line.Removed, line.At, line.By = true, d.Removed.At, d.Removed.By
	}
	run, err := node.View().LastRun(ctx, d.Job)
	if err != nil {
		return line, ignoreGone(err)
	}
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, node.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		return line, ignoreGone(err)
	}
	line.LastRun, line.LastState, line.LastStarted = run, string(doc.Value().State), doc.Value().Started
	return line, nil
}

func jobHistory(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{Use: "history JOBID", Short: "List the versions of a job, the newest first", Args: arguments(1, 1), Example: "  fanmill job history job_gst_data"}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.lookAtJob(c, args[0], stderr, func(s *settings, _ *checkpoint.JobDefinitions, d checkpoint.JobDefinition) error {
			view := screen.JobHistoryView{Job: d.Job}
			if d.Removed != nil {
				view.Removed, view.RemovedBy = d.Removed.At, d.Removed.By
			}
			for _, n := range d.Numbers() {
				_, v, err := d.Version(n)
				if err != nil {
					return err
				}
				view.Versions = append(view.Versions, screen.JobVersionLine{Version: n, Current: n == d.Current, At: v.At, By: v.By, Note: v.Note, Digest: v.Digest,
					Connections: v.Connections, Destinations: v.Destinations})
			}
			return s.print(stdout, view)
		})
	}
	return c
}

func jobDiff(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "diff JOBID [N [M]]",
		Short: "Show what differs between versions of a job",
		Long: `diff compares the texts of two versions, and of their inventories, line by line: the version before the newest one with the newest one, version N with
the newest one, or version N with version M. Its form is the unified one. It ends with 0 whether or not something differs.`,
		Example: "  fanmill job diff job_gst_data\n  fanmill job diff job_gst_data 3\n  fanmill job diff job_gst_data 3 5",
		Args:    arguments(1, 3),
	}
	f.add(c, storeFlags, logFlags)
	c.RunE = func(c *cobra.Command, args []string) error {
		var given []int
		for _, text := range args[1:] {
			n, err := versionArgument(c, text)
			if err != nil {
				return err
			}
			given = append(given, n)
		}
		return f.lookAtJob(c, args[0], stderr, func(_ *settings, store *checkpoint.JobDefinitions, d checkpoint.JobDefinition) error {
			from, to := given, d.Numbers()[0]
			switch {
			case len(given) == 2:
				to = given[1]
			case len(given) == 0 && len(d.Versions) < 2:
				return fmt.Errorf("job %s has one version in the store, and nothing to compare it with", d.Job)
			case len(given) == 0:
				from = d.Numbers()[1:]
			}
			text, err := diffOf(c.Context(), store, d, from[0], to)
			if err != nil {
				return err
			}
			return screen.Message(stdout, text)
		})
	}
	return c
}

// diffOf is what differs between two versions.
func diffOf(ctx context.Context, store *checkpoint.JobDefinitions, d checkpoint.JobDefinition, from, to int) (string, error) {
	var texts, inventories, names, lists [2]string
	for i, n := range []int{from, to} {
		_, t, err := versionText(ctx, store, d, n)
		if err != nil {
			return "", err
		}
		stored, err := storedJob(d.Job, t)
		if err != nil {
			return "", err
		}
		texts[i], names[i], lists[i] = string(stored.Text), fmt.Sprintf("%s (version %d)", t.File, n), "no inventory"
		if stored.Inventory != nil {
			inventories[i], lists[i] = string(stored.Inventory.Text), fmt.Sprintf("%s (version %d)", stored.Inventory.File, n)
		}
	}
	return textdiff.Unified(names[0], texts[0], names[1], texts[1]) + textdiff.Unified(lists[0], inventories[0], lists[1], inventories[1]), nil
}
