package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/process"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

type runFlags struct {
	flags
	resume    bool
	startOver bool
	moved     bool
	id        string
}

// targetMoved is the help of --target-moved.
const targetMoved = "go on where the job's webhooks and APIs are now: the same receivers, which know the keys that they were sent, at other addresses"

// errMoved is --target-moved of a run that is new.
var errMoved = errors.New("--target-moved is for a run that goes on: add --resume, or the run's --id")

func newRun(stdout, stderr io.Writer) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run JOB.json",
		Short: "Run a job and end with its artifacts on disk",
		Long: `run executes the job of a JSON or YAML file: it asks every connection, several at a time, and delivers the rows to every
destination, a connection at a time, whole or not at all. Killed or interrupted at any moment, its files are whole; with --resume the
next run goes on from what they hold. The first Ctrl-C stops the queries and writes what they have delivered whole; the second one ends
at once.

With --id the run has that id, and the same id is the same run: one that was killed, stopped or is partial goes on, and one that is complete
is answered for at once, with its table and exit code 0. So what starts fanmill may start it again until it ends with 0, and the rows are
delivered once. A date in the id makes it a run a day.

` + exitCodes,
		Example: `  fanmill run gst.json
  fanmill run gst.json --resume
  fanmill run gst.yaml --connections conn_3,conn_17 --param from=2026-04-01
  fanmill run gst.json --id gst-2026-04-01     the same again does nothing, or what is left to do
  id=gst-$(date +%F); until fanmill run gst.json --id $id; do sleep 60; done
  RESUME_JOBS=true FANMILL_DATA=D:/fanmill fanmill run gst.json`,
		Args: arguments(1, 1),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jsonFlag, listFlag, jobFlag, connectionsFlag, paramFlag, queryFlag, workFlags, placeFlag)
	c.Flags().BoolVar(&f.resume, "resume", false, "go on with the job's unfinished run (also RESUME_JOBS=true)")
	c.Flags().BoolVar(&f.startOver, "start-over", false, "begin a new run also where the unfinished one has sent some of its rows, which are then sent again")
	c.Flags().BoolVar(&f.moved, "target-moved", false, targetMoved)
	c.Flags().StringVar(&f.id, "id", "", "`id` of the run (default a new one); the same id is the same run, which goes on if it is not complete")
	c.RunE = func(c *cobra.Command, args []string) error { return run(c, args[0], f, stdout, stderr) }
	return c
}

func run(c *cobra.Command, path string, f runFlags, stdout, stderr io.Writer) error {
	s, err := f.settings(c, path)
	if err != nil {
		return err
	}
	if c.Flags().Changed("resume") {
		s.env.ResumeJobs = f.resume
	}
	if c.Flags().Changed("id") {
		if err := pipeline.CheckRunID(f.id); err != nil {
			return badLine(c, fmt.Errorf("--id: %w", err))
		}
		if f.resume {
			return badLine(c, errors.New("--id and --resume: an id says itself which run goes on; leave --resume out"))
		}
		s.env.ResumeJobs, s.id = false, f.id
	}
	if f.startOver {
		if f.resume {
			return badLine(c, errors.New("--start-over and --resume: the one gives the unfinished run up, the other goes on with it; leave one of them out"))
		}
		s.env.ResumeJobs = false
	}
	if f.moved && !s.env.ResumeJobs && f.id == "" {
		return badLine(c, errMoved)
	}
	params, err := givenParams(f.params)
	if err != nil {
		return err
	}
	out := &output{stderr: stderr}
	log := slog.New(s.handler(out, s.level(), screen.Colors(stderr)))
	file, err := s.loadJob(c.Context(), path, f.connections, log)
	if err != nil {
		return err
	}
	if err := fits(file, f.connections, params); err != nil {
		return &exitError{exitBadJob, err}
	}
	if missing := append(s.missingPlaces(&file.Job), s.placeProblems(&file.Job)...); len(missing) > 0 {
		return &exitError{exitBadJob, errors.New(strings.Join(missing, "\n"))}
	}
	return s.runJob(c.Context(), file, pipeline.Trigger{ID: f.id, Resume: s.env.ResumeJobs, StartOver: f.startOver, TargetMoved: f.moved, Connections: f.connections, Params: params}, stdout, out, log)
}

// fits looks whether a trigger fits its job.
func fits(file *config.File, connections []string, params map[string]any) error {
	var bad []error
	for _, id := range connections {
		if _, err := file.Job.Connection(id); err != nil {
			bad = append(bad, fmt.Errorf("%w; it has %s", err, someIDs(file)))
		}
	}
	if _, err := file.Params(params, time.Now()); err != nil {
		bad = append(bad, fmt.Errorf("--param: %w", err))
	}
	return errors.Join(bad...)
}

// someIDs names the first connections of a job.
func someIDs(file *config.File) string {
	var ids []string
	for i, c := range file.Job.Connections {
		if i == 5 {
			return strings.Join(ids, ", ") + " and others"
		}
		ids = append(ids, c.ID)
	}
	return strings.Join(ids, ", ")
}

// givenParams reads NAME=VALUE.
func givenParams(texts []string) (map[string]any, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	params := map[string]any{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, &exitError{exitBadJob, fmt.Errorf("--param %q: write NAME=VALUE, such as from=2026-04-01", text)}
		}
		params[name] = value
	}
	return params, nil
}

// runJob opens the store, runs the job, closes the store, and shows how it went.
func (s *settings) runJob(ctx context.Context, file *config.File, t pipeline.Trigger, stdout io.Writer, out *output, log *slog.Logger) error {
	s.limitMemory()
	var result *coordinate.Outcome
	var halted *screen.RunView
	told := func(pipeline.Owner) {}
	started := time.Now()
	err := s.with(ctx, log, func(sys *system) error {
		if !s.quiet {
			log.Info("look around with the nats CLI: " + sys.conn.CLI("stream ls"))
		}
		bars := screen.PageFor(out.stderr).Width > 0 && !s.quiet && s.env.LogFormat == "text"
		sys.node.Follow = s.follow(out, bars, sys.reading)
		told = sys.owner.told
		var err error
		if result, err = sys.node.Run(ctx, definition(file), t); err != nil {
			if code := exitCode(ctx, err); code == exitInterrupted || code == exitMemory {
				halted = s.halted(ctx, sys.node, file)
			}
		}
		return err
	})
	if err != nil {
		if halted != nil {
			_ = s.print(stdout, *halted)
		}
		return &stoppedRun{err, s.resume(file)}
	}
	v := s.runView(file, result, started)
	_ = s.print(stdout, v)
	failpoint.Hit("before-told")
	told(result.Owner)
	return outcomeError(result)
}

// haltedPatience bounds how long a stopped run looks at how far it has come.
const haltedPatience = 5 * time.Second

// halted is how far a run of this process has come that was stopped; nil if it had not begun, or the store does not
// say.
func (s *settings) halted(ctx context.Context, node *process.Node, file *config.File) *screen.RunView {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltedPatience)
	defer cancel()
	run, err := node.View().LastRun(ctx, file.Job.ID)
	if err != nil {
		return nil
	}
	info, err := node.View().Inspect(ctx, run)
	if err != nil || info.Record.Owner.Token != node.Owner.Token {
		return nil
	}
	v := s.statusView(info).RunView
	if v.Offer(s.resume(file)); !s.json {
		v.Resume = "" // which is said last
	}
	return &v
}

// runView is a run's end for people.
func (s *settings) runView(file *config.File, o *coordinate.Outcome, started time.Time) screen.RunView {
	v := screen.RunView{Run: o.Run, JobID: file.Job.ID, JobName: file.Job.Name, State: o.State, Started: o.Started, Millis: time.Since(started).Milliseconds(), Measures: o.Measures, Resumed: o.Started.Before(started), Already: o.Already}
	if o.Already {
		v.Millis = 0 // that was another process's work
	}
	v.Connections, v.Destinations = screen.FromReports(o.Reports)
	measure(v.Destinations)
	if o.State != pipeline.RunComplete {
		v.Offer(s.resume(file))
	}
	return v
}

// resume is the command that goes on with a job's run, in the store that it is in.
func (s *settings) resume(file *config.File) string {
	line := "fanmill run " + shellQuote(file.Path) + s.store
	if _, stored := config.StoredJob(file.Path); stored && s.envDir != s.env.Data {
		line += " --env-dir " + shellQuote(s.envDir)
	}
	if s.id != "" {
		return line + " --id " + s.id
	}
	return line + " --resume"
}

// measure finds out how large the files are.
func measure(all []screen.DestinationView) {
	for i := range all {
		d := &all[i]
		if d.Files == nil {
			if size := sizeOf(d.File); size > 0 {
				d.Bytes = size
			}
			continue
		}
		d.Bytes = 0
		for _, file := range d.Files {
			d.Bytes += sizeOf(file)
		}
	}
}

// sizeOf is a file's size in bytes; 0 if it is not there.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// print shows a view as the flags ask for it.
func (s *settings) print(w io.Writer, v screen.View) error {
	if s.json {
		return screen.JSON(w, v)
	}
	page := screen.PageFor(w)
	page.Verbose = s.verbose
	return screen.Text(w, v, page)
}

// shellQuote writes a word for a shell, as Windows' and the others understand it.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"'$&()<>|;*?[]{}!`\\^%~#") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// outcomeError turns the end of a run into an exit code. The reader has seen the reasons.
func outcomeError(out *coordinate.Outcome) error {
	switch out.State {
	case pipeline.RunComplete:
		return nil
	case pipeline.RunPartial:
		return &exitError{code: exitPartial}
	}
	return &exitError{code: exitFailed}
}
