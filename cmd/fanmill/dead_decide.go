package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"fanmill/checkpoint"
	"fanmill/pipeline/deliver"
	"fanmill/pipeline/process"

	"github.com/spf13/cobra"

	"fanmill/pipeline"
	"fanmill/pipeline/dead"
)

// decided is what was done with a dead request, as --json has it.
type decided struct {
	Key    string            `json:"key"`
	Job    string            `json:"job"`
	Run    string            `json:"run"`
	State  string            `json:"state"`            // to be sent, sent, to be dropped or dropped
	Resume string            `json:"resume,omitempty"` // the command that does it
	Answer *pipeline.Receipt `json:"receipt,omitempty"`
}

type replayFlags struct {
	flags
	resend, superseded bool
	job                string
}

func deadReplay(stdout, stderr io.Writer) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay KEY...",
		Short: "Have dead requests sent again, with the same bytes under the same key",
		Long: `replay marks dead requests in the record of their run; the next resume of that run, which asks no database for them, sends them and
records the answers. So nothing is sent twice, wherever a process ends.

A request that may have arrived is refused without --resend: look at the receiver first. One whose run has given way to a newer run is
refused, too, as that may have sent the same rows; with --superseded --job JOB.json it is sent at once, as the job file has its
destination now.`,
		Example: `  fanmill dead replay 3kq7
  fanmill dead replay 3kq7 m2xd
  fanmill run gst.json --resume
  fanmill dead replay 3kq7 --superseded --job gst.json`,
		Args: arguments(1, anyNumber),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.Flags().BoolVar(&f.resend, "resend", false, "send also what may have arrived")
	c.Flags().BoolVar(&f.superseded, "superseded", false, "send what a newer run may have sent under another key; needs --job")
	c.Flags().StringVar(&f.job, "job", "", "job `file` that has the destination, for --superseded")
	c.RunE = func(c *cobra.Command, args []string) error { return replay(c, args, f, stdout, stderr) }
	return c
}

func replay(c *cobra.Command, keys []string, f replayFlags, stdout, stderr io.Writer) error {
	if f.superseded != (f.job != "") {
		return badLine(c, errors.New("--superseded and --job belong together: the job file says how its destination is reached"))
	}
	s, err := f.settings(c, f.job)
	if err != nil {
		return err
	}
	log := s.log(stderr)
	one := func(sys *system, l dead.Letter) (decided, error) {
		err := sys.node.Letters().Replay(c.Context(), l, f.resend)
		if errors.Is(err, deliver.ErrSuperseded) {
			err = fmt.Errorf("%w; --superseded --job JOB.json sends it all the same", err)
		}
		return decided{Key: l.Key, Job: l.Job, Run: l.Run, State: dead.Again}, err
	}
	if f.superseded {
		file, err := s.loadJob(c.Context(), f.job, nil, log)
		if err != nil {
			return err
		}
		one = func(sys *system, l dead.Letter) (decided, error) {
			receipt, err := sys.node.Letters().Resend(c.Context(), definition(file), l, f.resend)
			return decided{Key: l.Key, Job: l.Job, Run: l.Run, State: "sent", Answer: receipt}, err
		}
	}
	return s.with(c.Context(), log, func(sys *system) error { return s.decide(c.Context(), sys, keys, stdout, one) })
}

func deadDrop(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "drop KEY...",
		Short: "Give dead requests up: their bytes go, their connections are missing for good",
		Long: `drop removes the bytes of dead requests. The next resume of their run turns their connections away in that destination, without asking
them again, as others of their requests may have arrived; the destination then can finish.`,
		Example: "  fanmill dead drop 3kq7\n  fanmill run gst.json --resume",
		Args:    arguments(1, anyNumber),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			return s.decide(c.Context(), sys, args, stdout, func(sys *system, l dead.Letter) (decided, error) {
				pending, err := sys.node.Letters().Drop(c.Context(), l)
				d := decided{Key: l.Key, Job: l.Job, Run: l.Run, State: "dropped"}
				if pending {
					d.State = dead.Dropped
				}
				return d, err
			})
		})
	}
	return c
}

// decide does one thing with each of the dead requests that are named, and tells what is left to do.
func (s *settings) decide(ctx context.Context, sys *system, keys []string, stdout io.Writer, one func(*system, dead.Letter) (decided, error)) error {
	all := []decided{}
	text := ""
	err := eachLetter(ctx, sys.node, keys, func(l dead.Letter) error {
		d, err := one(sys, l)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("request %s is %s", d.Key, d.State)
		if d.State == dead.Again || d.State == dead.Dropped {
			d.Resume = s.resumeOf(ctx, sys.node, l)
			line += ": " + d.Resume + " does it"
		}
		all, text = append(all, d), text+line+"\n"
		return nil
	})
	if len(all) > 0 || s.json {
		err = errors.Join(err, s.say(stdout, all, text))
	}
	return err
}

// resumeOf is the command that goes on with a letter's run.
func (s *settings) resumeOf(ctx context.Context, node *process.Node, l dead.Letter) string {
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, node.Stores.Runs, checkpoint.RunKey(l.Run))
	if err == nil && cell.Value().Trigger != 0 {
		return "fanmill trigger " + shellQuote(l.Job) + s.store + " --resume"
	}
	return "fanmill run <the file of job " + l.Job + ">" + s.store + " --resume"
}
