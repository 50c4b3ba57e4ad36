package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// runFlags are the flags of run; unset ones leave the environment's say.
type runFlags struct {
	resume      bool
	parallel    int
	connections []string
	data        string
	nats        string
	logMB       int64
	lease       time.Duration
}

func newRun(stdout, stderr io.Writer) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run JOB.json",
		Short: "Run a job and end with its artifacts on disk",
		Long: `run executes the job of a JSON or YAML file: it asks every connection, several at a time, and delivers the rows to every
destination, a connection at a time, whole or not at all. Killed or interrupted at any moment, its files are whole; with --resume the
next run goes on from what they hold.

Exit codes: 0 complete, 1 failed, 2 bad job or command line, 3 partial (some connection is missing, and named), 4 interrupted.`,
		Example: `  fanmill run gst.json
  fanmill run gst.json --resume
  fanmill run gst.yaml --parallel 8 --connections conn_3,conn_17
  RESUME_JOBS=true FANMILL_DATA=D:/fanmill fanmill run gst.json`,
		Args: exactArgs(1),
	}
	fl := c.Flags()
	fl.BoolVar(&f.resume, "resume", false, "go on with the job's unfinished run (also RESUME_JOBS=true)")
	fl.IntVar(&f.parallel, "parallel", defaultParallel, "connections asked at a time")
	fl.StringSliceVar(&f.connections, "connections", nil, "ids of the connections to ask (default all)")
	fl.StringVar(&f.data, "data", "", "folder of the embedded server and fanmill's state (also FANMILL_DATA; default the user's application data)")
	fl.StringVar(&f.nats, "nats", "", "URL of a NATS server to use instead of the embedded one (also NATS_URL)")
	fl.Int64Var(&f.logMB, "log-max-mb", defaultLogMB, "bound of the run's row log on disk, in MB")
	fl.DurationVar(&f.lease, "lease", defaultLease, "how long a resume waits for a sign of life of an owner that it cannot prove to be gone")
	c.RunE = func(c *cobra.Command, args []string) error { return run(c, args[0], f, stdout, stderr) }
	return c
}

func run(c *cobra.Command, path string, f runFlags, stdout, stderr io.Writer) error {
	dotenv, err := config.DotEnv(path)
	if err != nil {
		return &exitError{exitBadJob, err}
	}
	env, err := config.Environment(dotenv)
	if err != nil {
		return &exitError{exitBadJob, err}
	}
	if c.Flags().Changed("resume") {
		env.ResumeJobs = f.resume
	}
	if f.data != "" {
		env.Data = f.data
	}
	if f.nats != "" {
		env.NATSURL = f.nats
	}
	if f.parallel < 1 || f.logMB < minLogMB || f.lease < time.Second {
		return &exitError{exitBadJob, fmt.Errorf("--parallel is at least 1, --log-max-mb at least %d, --lease at least 1s; see fanmill run --help", minLogMB)}
	}
	log := newLog(stderr, env)
	file, err := loadJob(path, log)
	if err != nil {
		return &exitError{exitBadJob, err}
	}
	for _, id := range f.connections {
		if _, err := file.Job.Connection(id); err != nil {
			return &exitError{exitBadJob, fmt.Errorf("--connections: %w", err)}
		}
	}
	s := settings{env: env, parallel: f.parallel, logMB: f.logMB, timeout: defaultTimeout, lease: f.lease, workDir: "."}
	out, err := runJob(c.Context(), s, file, pipeline.Trigger{Resume: env.ResumeJobs, Connections: f.connections}, log)
	if err != nil {
		return err
	}
	printOutcome(stdout, file, out)
	return outcomeError(out)
}

// runJob opens the store, runs the job and closes the store.
func runJob(ctx context.Context, s settings, file *config.File, t pipeline.Trigger, log *slog.Logger) (out *pipeline.Outcome, err error) {
	limitMemory(s.parallel)
	sys, err := open(ctx, s, file, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := sys.close(ctx); err == nil && cerr != nil {
			log.Warn("the run has ended, closing its store did not", "error", cerr)
		}
	}()
	log.Info("look around with the nats CLI: " + sys.conn.CLI() + " stream ls")
	sys.node.Observe = narrate(log, &file.Job)
	return sys.node.Run(ctx, &file.Job, t)
}

// outcomeError turns the end of a run into an exit code. The reader has seen the reasons.
func outcomeError(out *pipeline.Outcome) error {
	switch out.State {
	case pipeline.RunComplete:
		return nil
	case pipeline.RunPartial:
		return &exitError{code: exitPartial}
	}
	return &exitError{code: exitFailed}
}
