package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

func newNotify(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Try who is told how runs end; list who waits to be told",
		Long: `A job's notify says who is told how its runs end: in Slack, Discord or Teams, by a webhook or by e-mail. What is to be told stands in the
store until it is sent: by whoever serves, or by fanmill run. It is tried for a day.`,
		Example: `  fanmill notify test gst.json
  fanmill notify test gst.json --target finance --event failed
  fanmill notify ls`,
	}
	c.AddCommand(notifyTest(stdout, stderr), notifyList(stdout, stderr))
	return group(c)
}

func notifyTest(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var targets []string
	var event string
	c := &cobra.Command{
		Use:   "test JOB.json",
		Short: "Send a sample to the targets of a job, and show what they answer",
		Long: `test sends each target of a job a notice that is marked as a sample, with the job's own names, and shows what the receiver said. It runs
nothing and asks no database. Of Teams the answer says only that the card was accepted: look into the channel.

Exit codes: 0 all were sent, 1 some was not, 2 bad job or command line.`,
		Example: "  fanmill notify test gst.json\n  fanmill notify test gst.json --target finance --event late",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jsonFlag, jobFlag)
	c.Flags().StringArrayVar(&targets, "target", nil, "`id` of a target (default all); may be given several times")
	c.Flags().StringVar(&event, "event", string(pipeline.NoticePartial), "`event` of the sample: complete, partial, failed, recovered or late")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !slices.Contains(pipeline.NoticeEvents(), pipeline.NoticeEvent(event)) {
			return badLine(c, fmt.Errorf("--event is complete, partial, failed, recovered or late, not %q", event))
		}
		s, err := f.settings(c, args[0])
		if err != nil {
			return err
		}
		file, err := s.loadJob(c.Context(), args[0], nil, s.log(stderr))
		if err != nil {
			return err
		}
		chosen, err := targetsOf(&file.Job, targets)
		if err != nil {
			return &exitError{exitBadJob, err}
		}
		v := screen.NoticeTestView{Event: event, Lines: sendSamples(c.Context(), file, chosen, pipeline.NoticeEvent(event))}
		if err := s.print(stdout, v); err != nil {
			return err
		}
		if slices.ContainsFunc(v.Lines, func(l screen.NoticeTestLine) bool { return l.Error != "" }) {
			return &exitError{code: exitFailed}
		}
		return nil
	}
	return c
}

// targetsOf are the targets of a job with these ids; all if there are none.
func targetsOf(job *pipeline.Job, ids []string) (chosen []*pipeline.NotifyTarget, _ error) {
	var known []string
	for i := range job.Notify {
		t := &job.Notify[i]
		known = append(known, t.ID)
		if len(ids) == 0 || slices.Contains(ids, t.ID) {
			chosen = append(chosen, t)
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("job %s tells nobody; add notify to it, see docs/notifications.md", job.ID)
	}
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return nil, fmt.Errorf("job %s has no target %q; it has %s", job.ID, id, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// sendSamples sends each target a sample.
func sendSamples(ctx context.Context, file *config.File, targets []*pipeline.NotifyTarget, event pipeline.NoticeEvent) []screen.NoticeTestLine {
	kinds := notifyKinds()
	lines := make([]screen.NoticeTestLine, len(targets))
	var g errgroup.Group
	for i, t := range targets {
		g.Go(func() error {
			answer, err := kinds[t.Type].Send(ctx, pipeline.NotifySpec{Target: t, Notice: sampleNotice(&file.Job, event), Expand: file.Expand})
			lines[i] = screen.NoticeTestLine{Target: t.ID, Type: t.Type, Event: string(event), Answer: answer}
			if err != nil {
				lines[i].Answer, lines[i].Error = "", err.Error()
			}
			return nil
		})
	}
	_ = g.Wait()
	return lines
}

// sampleNotice is what a run of a job could tell.
func sampleNotice(job *pipeline.Job, event pipeline.NoticeEvent) *pipeline.Notice {
	now := time.Now().UTC()
	n := &pipeline.Notice{ID: pipeline.NewToken(), Event: event, Job: job.ID, JobName: job.Name, Run: "sample", TimeZone: job.TimeZone, At: now, Started: now.Add(-2 * time.Minute), Ended: now,
		Sample: true, Connections: len(job.Connections), Complete: len(job.Connections)}
	missing := 0
	switch event {
	case pipeline.NoticePartial:
		n.State, missing = pipeline.RunPartial, min(1, len(job.Connections))
	case pipeline.NoticeFailed:
		n.State, missing = pipeline.RunFailed, len(job.Connections)
	case pipeline.NoticeLate:
		n.Late, n.State, n.Started, n.Ended = "07:00", "", time.Time{}, time.Time{}
		n.Run, n.Connections, n.Complete = "", 0, 0
	default:
		n.State = pipeline.RunComplete
	}
	n.Complete -= min(missing, n.Complete)
	for i := range missing {
		if i == 20 {
			n.More = missing - i
			break
		}
		c := &job.Connections[i]
		n.Missing = append(n.Missing, pipeline.NoticeMissing{ID: c.ID, Name: c.Name, Why: "this is a sample, nothing is missing"})
	}
	if event == pipeline.NoticeLate {
		return n
	}
	kinds := sinkKinds()
	for i := range job.Destinations {
		d := &job.Destinations[i]
		where := d.FilePath
		if k := kinds[d.Type]; k != nil && where == "" {
			where = k.Where(d.Options)
		}
		n.Places = append(n.Places, pipeline.NoticePlace{Destination: d.ID, Where: where, State: pipeline.RecordFinished})
	}
	return n
}

func notifyList(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var all bool
	c := &cobra.Command{
		Use:     "ls [JOBID]",
		Short:   "List who waits to be told, and who could not be",
		Long:    "ls lists the notices that wait to be sent, with why the last attempt failed, and those that were given up, the newest first. With --all it lists those that were sent, too.",
		Example: "  fanmill notify ls\n  fanmill notify ls job_gst_data --all --json",
		Args:    arguments(0, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.Flags().BoolVar(&all, "all", false, "also those that were sent")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.look(c.Context(), stderr, func(node *process.Node) error {
			docs, err := checkpoint.Notices(c.Context(), node.Stores.Runs, func(err error) { node.Log.Warn(err.Error()) })
			if err != nil {
				return err
			}
			v := screen.NoticesView{All: all}
			for _, doc := range docs {
				rec := doc.Value()
				if (all || rec.State != checkpoint.NoticeSent) && (len(args) == 0 || rec.Job == args[0]) {
					v.Notices = append(v.Notices, noticeLine(doc))
				}
			}
			slices.SortStableFunc(v.Notices, func(a, b screen.NoticeLine) int { return b.Made.Compare(a.Made) })
			return s.print(stdout, v)
		})
	}
	return c
}

// noticeLine is a notice for people.
func noticeLine(doc *checkpoint.Document[checkpoint.NoticeRecord]) screen.NoticeLine {
	rec := doc.Value()
	return screen.NoticeLine{Job: rec.Job, Run: rec.Run, Day: checkpoint.LateDay(checkpoint.NoticeKeyOf(doc)), Event: string(rec.Event), Target: rec.Target.ID, Type: rec.Target.Type, State: string(rec.State),
		Made: rec.Made, Tries: rec.Tries, Next: rec.Next, Ended: rec.Ended, Error: rec.Error, Answer: rec.Answer}
}

// noticesOf are the notices of a run for people, in the order in which they were made.
func noticesOf(ctx context.Context, node *process.Node, run string) (lines []screen.NoticeLine, _ error) {
	docs, err := checkpoint.NoticesOf(ctx, node.Stores.Runs, run, func(err error) { node.Log.Warn(err.Error()) })
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		lines = append(lines, noticeLine(doc))
	}
	slices.SortStableFunc(lines, func(a, b screen.NoticeLine) int { return a.Made.Compare(b.Made) })
	return lines, nil
}

// probeNotify looks whether the targets of a job can be reached, and says which cannot.
func probeNotify(ctx context.Context, file *config.File) []string {
	kinds := notifyKinds()
	found := make([]string, len(file.Job.Notify))
	var g errgroup.Group
	for i := range file.Job.Notify {
		t := &file.Job.Notify[i]
		g.Go(func() error {
			if err := kinds[t.Type].Probe(ctx, pipeline.NotifySpec{Target: t, Expand: file.Expand}); err != nil {
				found[i] = fmt.Sprintf("notify %s: %v", t.ID, err)
			}
			return nil
		})
	}
	_ = g.Wait()
	return slices.DeleteFunc(found, func(text string) bool { return text == "" })
}
