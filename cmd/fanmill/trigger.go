package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
)

// answerPatience is how long a trigger or a cancellation waits for an answer.
var answerPatience = 10 * time.Second

type triggerFlags struct {
	flags
	resume, startOver, moved, wait bool
	id, file                       string
}

func newTrigger(stdout, stderr io.Writer) *cobra.Command {
	var f triggerFlags
	c := &cobra.Command{
		Use:   "trigger JOBID",
		Short: "Ask whoever serves for a run of a job",
		Long: `trigger publishes a trigger message for a job and prints the answer: the run's id, and whether it runs or waits in line. If nobody
serves at the moment, the trigger is kept, and the run begins when fanmill serve starts. With --id the run gets that id, and the same --id is
the same run: a script may repeat it. One that was refused, or skipped because the job was running, may be asked for again under its id.

With --wait it returns when the run has ended, whatever process carries it out and however often that is started anew, shows the end as
fanmill run does, and ends with the run's exit code.

Exit codes: 0 the run was asked for, 1 it was refused, skipped, or nobody could be asked, 2 bad command line; with --wait those of
fanmill run, and 1 for a run that did not begin.`,
		Example: `  fanmill trigger job_gst_data
  fanmill trigger job_gst_data --resume --connections conn_3
  fanmill trigger job_gst_data --param from=2026-04-01 --id gst-2026-04-01
  fanmill trigger job_gst_data --id gst-2026-04-01 --wait
  fanmill trigger once --file once.json        bring the job along (fanmill serve --inline-jobs)`,
		Args: arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag, listFlag, connectionsFlag, paramFlag)
	fl := c.Flags()
	fl.BoolVar(&f.resume, "resume", false, "go on with the job's unfinished run")
	fl.BoolVar(&f.startOver, "start-over", false, "begin a new run also where the unfinished one has sent some of its rows, which are then sent again")
	fl.BoolVar(&f.moved, "target-moved", false, targetMoved)
	fl.BoolVar(&f.wait, "wait", false, "return when the run has ended, with its exit code")
	fl.StringVar(&f.id, "id", "", "`id` of the run, and Nats-Msg-Id of the message (default a new one)")
	fl.StringVar(&f.file, "file", "", "job `file` (JSON) to bring along, where fanmill serve takes --inline-jobs")
	c.RunE = func(c *cobra.Command, args []string) error { return publishTrigger(c, args[0], f, stdout, stderr) }
	return c
}

func publishTrigger(c *cobra.Command, job string, f triggerFlags, stdout, stderr io.Writer) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	if f.moved && !f.resume {
		return badLine(c, errors.New("--target-moved is for a run that goes on: add --resume"))
	}
	t := pipeline.Trigger{Resume: f.resume, StartOver: f.startOver, TargetMoved: f.moved, Connections: f.connections}
	if t.Params, err = givenParams(f.params); err != nil {
		return err
	}
	if f.file != "" {
		if t.Job, err = config.ReadText(f.file); err != nil {
			return &exitError{exitBadJob, fmt.Errorf("--file: %w", err)}
		}
		if !json.Valid(t.Job) {
			return &exitError{exitBadJob, fmt.Errorf("--file %s: a message brings a job along as JSON; convert it", f.file)}
		}
	}
	payload, err := json.Marshal(t)
	if err != nil {
		return err
	}
	id := f.id
	if id == "" {
		id = pipeline.NewRunID(time.Now())
	}
	topic := pipeline.TopicTrigger(job)
	if f.file != "" {
		topic = pipeline.TopicInline(job)
	}
	w := &asked{topic: topic, settings: &s, job: job, id: id, payload: payload, log: s.log(stderr)}
	var a pipeline.Answer
	err = s.bus(c.Context(), w.log, func(conn *nats.Conn) (err error) {
		ctx, cancel := context.WithTimeout(c.Context(), answerPatience)
		defer cancel()
		a, err = w.ask(ctx, conn.Bus())
		return err
	})
	text := ""
	switch {
	case errors.Is(err, pipeline.ErrNoAnswer):
		a = pipeline.Answer{Run: pipeline.Token(id), Job: job, State: pipeline.AnswerQueued}
		text = w.unanswered() + "\n"
	case err != nil:
		return err
	}
	switch {
	case f.wait && a.Error == "":
		w.log.Info(strings.TrimSuffix(cmp.Or(text, saidOf(a)), "\n"))
		return w.wait(c.Context(), stdout)
	case text != "":
		return s.say(stdout, a, text)
	}
	return s.answered(stdout, a)
}

// unanswered says that a trigger is kept.
func (w *asked) unanswered() string {
	return fmt.Sprintf("run %s of job %s is asked for; nobody answered in %s: it begins when fanmill serve runs", pipeline.Token(w.id), w.job, answerPatience)
}

// trimmed is a text without the end of its line.
func trimmed(text string) string { return strings.TrimSuffix(text, "\n") }

// answered prints what whoever serves has said.
func (s *settings) answered(w io.Writer, a pipeline.Answer) error {
	if err := s.say(w, a, saidOf(a)); err != nil {
		return err
	}
	if a.Error != "" {
		return &exitError{code: exitFailed}
	}
	return nil
}

// saidOf is an answer for people.
func saidOf(a pipeline.Answer) string {
	switch {
	case a.Skipped:
		return "skipped: " + a.Error + "\n"
	case a.Error != "":
		return "refused: " + a.Error + "\n"
	case a.Duplicate:
		return fmt.Sprintf("run %s of job %s was asked for before: %s\n", a.Run, a.Job, a.State)
	}
	return fmt.Sprintf("run %s of job %s: %s\n", a.Run, a.Job, a.State)
}

// say prints a value as JSON where that is asked for, else a text.
func (s *settings) say(w io.Writer, v any, text string) error {
	if !s.json {
		return screen.Message(w, text)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func newCancel(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "cancel RUN",
		Short: "Stop a run, or take one that waits out of line",
		Long: `cancel asks the process that carries a run out to stop it: its queries end, what they have delivered whole is written, and a resume
goes on from there. A run that still waits for its turn is dropped. The wish is kept in the store: a process that is frozen, or that
takes the run over later, finds it there. A run that was cancelled goes on only when somebody asks for a resume.`,
		Example: `  fanmill cancel 20261123-191112-psckdj
  fanmill runs                                  lists runs with their ids`,
		Args: arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.bus(c.Context(), s.log(stderr), func(conn *nats.Conn) error {
			node := readingNode(conn)
			node.Log = s.log(stderr)
			a, err := cancelRun(c.Context(), node, args[0])
			if err != nil {
				return err
			}
			return s.answered(stdout, a)
		})
	}
	return c
}

// newEnv prints the variables that fanmill reads.
func newEnv(stdout io.Writer) *cobra.Command {
	var asJSON bool
	var job string
	c := &cobra.Command{
		Use:   "env",
		Short: "Show the variables that fanmill reads, and what they are set to",
		Long: `env shows every variable that fanmill itself reads: its default, its present value, where that comes from. Flags win over variables,
variables of the environment over those of the .env file beside a job. Credentials are masked.`,
		Example: `  fanmill env
  fanmill env --job D:/jobs/gst.json           with the .env file beside that job`,
		Args: arguments(0, 0),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.Flags().StringVar(&job, "job", "", "job `file` whose .env counts")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var dotenv map[string]string
		if _, stored := config.StoredJob(job); stored {
			return badLine(c, errors.New("--job names a file: from the .env of jobs of the store fanmill itself takes nothing"))
		}
		if job != "" {
			var err error
			if dotenv, err = config.DotEnv(job); err != nil {
				return &exitError{exitBadJob, err}
			}
		}
		s := settings{json: asJSON}
		vars := config.Variables(dotenv)
		text := ""
		for _, v := range vars {
			text += fmt.Sprintf("%s=%s\n    %s\n    from %s; default %s\n", v.Name, v.Value, v.Description, v.Source, orNone(v.Default))
		}
		if err := s.say(stdout, vars, text); err != nil {
			return err
		}
		if _, err := config.Environment(dotenv); err != nil {
			return &exitError{exitBadJob, err}
		}
		return nil
	}
	return c
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
