// Command fanmill runs the same queries on many branch databases and delivers the rows, progressively and exactly once, to
// workbooks and files. This is the only package in which all the others meet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// Exit codes. Scripts rely on them; docs/operations.md explains each.
const (
	exitComplete    = 0
	exitFailed      = 1 // nothing was delivered, or fanmill could not work
	exitBadJob      = 2 // the command line, the environment or the job file
	exitPartial     = 3 // some connection or destination is missing, and named
	exitInterrupted = 4 // stopped before its end; a resume goes on
)

func main() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }

// Main is the program: arguments in, exit code out. Everything that a user should read goes to stdout or stderr.
func Main(args []string, stdout, stderr io.Writer) int {
	// A first Ctrl-C or service stop ends the run in order; a second one, unhandled then, ends the process. Either way a
	// resume goes on from what is committed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		var quiet *exitError
		if !errors.As(err, &quiet) || quiet.err != nil {
			fmt.Fprintln(stderr, "fanmill: "+err.Error())
			if ctx.Err() != nil {
				fmt.Fprintln(stderr, "stopped; the files are whole, and the same command with --resume goes on from what they hold")
			}
		}
	}
	return exitCode(ctx, err)
}

// exitError carries an exit code; err nil means that the user has read the reason already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitCode(ctx context.Context, err error) int {
	var coded *exitError
	var problems config.Problems
	switch {
	case err == nil:
		return exitComplete
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &problems):
		return exitBadJob
	case ctx.Err() != nil, errors.Is(err, pipeline.ErrFenced):
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "fanmill",
		Short: "Many branch databases into one workbook, one CSV, exactly once",
		Long: `fanmill runs the same queries on every branch database, in parallel, and delivers the rows to an Excel workbook with a
sheet per branch, to a CSV, or to both. A crash costs only what was not yet committed: --resume goes on from there.`,
		Example: `  fanmill demo                       make 56 demo branches and run a job over them
  fanmill run job.json               run a job
  fanmill run job.json --resume      go on with its unfinished run`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitBadJob, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newRun(stdout, stderr), newDemo(stdout, stderr), newVersion(stdout))
	return root
}

// exactArgs is cobra.ExactArgs with the exit code of a bad command line.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(c, args); err != nil {
			return &exitError{exitBadJob, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}
