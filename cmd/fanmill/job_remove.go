package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// askedAt is where a question is answered, if a person sits there. Tests put another in its place.
var askedAt = func() io.Reader {
	if fd := os.Stdin.Fd(); isatty.IsTerminal(fd) || isatty.IsCygwinTerminal(fd) {
		return os.Stdin
	}
	return nil
}

// confirmed asks whether something is really to be done.
func confirmed(c *cobra.Command, stderr io.Writer, yes bool, question string) error {
	if yes {
		return nil
	}
	in := askedAt()
	if in == nil {
		return badLine(c, errors.New("there is no terminal to ask at: add --yes"))
	}
	_ = screen.Message(stderr, question+" [y/N] ")
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was removed")
	}
	return nil
}

func jobRemove(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	yes, history := false, false
	c := &cobra.Command{
		Use:   "rm JOBID",
		Short: "Remove a job from the store; its history stays",
		Long: `rm has a job served no more from the store; a run that goes on goes on. Its versions stay, and fanmill job rollback puts one again.
With --history they go as well, also those of a job that was removed before, or that cannot be read.`,
		Example: "  fanmill job rm job_gst_data\n  fanmill job rm job_gst_data --history --yes",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&history, "history", false, "remove all versions, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			said, err := removeJob(c, checkpoint.NewJobDefinitions(sys.node.Stores.Jobs), args[0], yes, history, stderr)
			if err != nil {
				return err
			}
			return s.say(stdout, map[string]any{"job": args[0], "state": "removed", "history": !history}, said+"\n")
		})
	}
	return c
}

// removeJob removes a job and says what is left.
func removeJob(c *cobra.Command, store *checkpoint.JobDefinitions, job string, yes, history bool, stderr io.Writer) (string, error) {
	d, err := store.Get(c.Context(), job)
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return "", noStoredJob(job)
	case history && errors.Is(err, pipeline.ErrForeign):
	case err != nil:
		return "", err
	case !history && d.Current == 0:
		_, _, err := d.Version(0)
		return "", err
	}
	if history {
		if err := confirmed(c, stderr, yes, fmt.Sprintf("Remove job %s from the store with its %s, for good?", job, screen.Of(int64(len(d.Versions)), "version"))); err != nil {
			return "", err
		}
		return "job " + job + " is removed from the store, with its history", store.Forget(c.Context(), job)
	}
	if err := confirmed(c, stderr, yes, fmt.Sprintf("Remove job %s (version %d) from the store?", job, d.Current)); err != nil {
		return "", err
	}
	edit, err := store.Edit(c.Context(), job)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("job %s is removed from the store; fanmill job rollback %s %d puts it again", job, shellQuote(job), d.Current), edit.Remove(c.Context(), hand())
}
