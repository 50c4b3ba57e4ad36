// Command fanmill runs the same queries on many branch databases and delivers the rows, progressively and exactly once,
// to workbooks and files. This is the only package in which all the others meet.
//
//go:debug x509negativeserial=1
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"fanmill/pipeline/memory"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// Exit codes. Scripts rely on them; docs/operations.md explains each.
const (
	exitComplete    = 0
	exitFailed      = 1 // nothing was delivered, or fanmill could not work
	exitBadJob      = 2 // the command line, the environment or the job file
	exitPartial     = 3 // some connection or destination is missing, and named
	exitInterrupted = 4 // stopped before its end; a resume goes on
	exitMemory      = 5 // stopped for memory; a resume goes on
)

func main() { os.Exit(start()) }

// Main is the program in a shell: arguments in, exit code out. Everything that a user should read goes to stdout or
// stderr.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := untilStopped(context.Background())
	defer stop()
	done := make(chan struct{})
	defer close(done)
	context.AfterFunc(ctx, func() { endInTime(done, stderr) })
	return execute(ctx, args, stdout, stderr)
}

// stopPatience bounds an end in order. Service managers kill what takes longer, and people do.
const stopPatience = 28 * time.Second

// endInTime ends the process should it not have ended by itself in time, because its store hangs, or a driver: that
// is as a kill, from which a resume goes on.
func endInTime(done <-chan struct{}, stderr io.Writer) {
	select {
	case <-done:
	case <-time.After(stopPatience):
		time.AfterFunc(linesPatience, func() { os.Exit(exitInterrupted) }) // nobody may read what follows
		_ = screen.Message(stderr, fmt.Sprintf("fanmill: stopping took longer than %s, and the process ends as by a kill; the files are whole, and a resume goes on from what they hold\n", stopPatience))
		os.Exit(exitInterrupted)
	}
}

// execute is the program until ctx ends.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	result, say := screen.NewResult(stdout, ctx.Done()), screen.NewLog(stderr)
	defer say.Close(linesPatience)
	root := newRoot(result, say)
	root.SetArgs(args)
	command := root
	root.PersistentPreRun = func(c *cobra.Command, _ []string) {
		if command = c; delivers(c) {
			result.Within(resultPatience)
		}
	}
	err := root.ExecuteContext(ctx)
	if err != nil {
		var quiet *exitError
		if !errors.As(err, &quiet) || quiet.err != nil {
			_ = screen.Message(say, "fanmill: "+whyStopped(ctx, err).Error()+"\n")
			var run *stoppedRun
			if code := exitCode(ctx, err); errors.Is(err, pipeline.ErrFenced) {
				_ = screen.Message(say, "the files are the other process's now; how far it is: fanmill status\n")
			} else if errors.As(err, &run) && (code == exitInterrupted || code == exitMemory) {
				_ = screen.Message(say, "stopped; the files are whole, and this goes on from what they hold:\n  "+run.resume+"\n")
			}
		}
	}
	return unread(command, result.Err(), exitCode(ctx, err), say)
}

// stoppedRun is a run that came to no end, and the command that goes on with it.
type stoppedRun struct {
	error
	resume string
}

func (r *stoppedRun) Unwrap() error { return r.error }

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
	case errors.As(err, &problems), errors.Is(err, pipeline.ErrBadID):
		return exitBadJob
	case errors.Is(err, memory.ErrMemory):
		return exitMemory
	case ctx.Err() != nil, errors.Is(err, pipeline.ErrCancelled), errors.Is(err, pipeline.ErrFenced):
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "fanmill",
		Short: "The same queries on many branch databases, delivered exactly once",
		Long: `fanmill runs the same queries on every branch database, in parallel, and delivers the rows to an Excel workbook with a
sheet per branch, CSV, JSON Lines, Parquet, Google Sheets, a webhook or an API, or to several of them. A crash costs only what was
not yet committed: --resume goes on from there.`,
		Example: `  fanmill demo                       make 56 branches and run a job over them
  fanmill run job.json               run a job
  fanmill run job.json --resume      go on with its unfinished run`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(badFlag)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { help(stdout, c) })
	root.SetVersionTemplate(versionLine())
	root.AddGroup(commandGroups...)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.AddCommand(grouped(groupRun, newRun(stdout, stderr), newServe(stdout, stderr), newTrigger(stdout, stderr), newCancel(stdout, stderr), newDemo(stdout, stderr))...)
	root.AddCommand(grouped(groupLook, newStatus(stdout, stderr), newRuns(stdout, stderr), newSchedule(stdout, stderr), newCheckpoint(stdout, stderr), newDead(stdout, stderr), newNotify(stdout, stderr), newPlace(stdout, stderr), newVerify(stdout, stderr), newUI(stdout, stderr))...)
	root.AddCommand(grouped(groupJob, newValidate(stdout, stderr), newCheck(stdout, stderr), newPreview(stdout, stderr), newJobs(stdout, stderr), newSchema(stdout))...)
	root.AddCommand(grouped(groupOther, newEnv(stdout), newVersion(stdout))...)
	return group(root)
}
