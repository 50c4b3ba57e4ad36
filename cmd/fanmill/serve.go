package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

type serveFlags struct {
	flags
	jobs    []string
	maxRuns int
	inline  inlineFlags
	page    pageFlags
	roles   roleFlags
}

func newServe(stdout, stderr io.Writer) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve [--jobs DIR|store] [--roles ROLES]",
		Short: "Run the jobs of a folder, or of the store, when triggers ask for them",
		Long: `serve loads the job files of a folder (.json, .yaml, .yml), keeps watching it, and runs what trigger messages ask for. With --jobs store
it serves the jobs that fanmill job put has put into the store, on every host that has it; with both, all of them:

  nats req fanmill.jobs.run.<jobId> '{"resume":true,"connections":["conn_3"],"params":{"from":"2026-04-01"}}'

All keys are optional; {} asks for a fresh run of everything. nats req is answered with the run's id, nats pub is taken just the same.
One run of a job goes on at a time; others wait in line, or are skipped where the job says onOverlap: skip. PowerShell 5 and cmd.exe want
other quotes: see docs/serve.md. A job with the key schedule runs by itself, too: fanmill schedule ls says when. A trigger that cannot be understood is answered, and kept in the stream FANMILL_DEAD.

Triggers are kept until their runs have ended: what a crash or a stop interrupts goes on when serve starts again. Ctrl-C (or the stop of
the service) stops the queries, writes what they have delivered whole, and ends; the second one ends at once.

A page shows runs, jobs and files, on 127.0.0.1:8420 unless --http says otherwise; --http off leaves it out. See docs/page.md.

On an external NATS server any number of processes, on any hosts, share the work. Each does what its --roles say: the coordinator takes
triggers, query workers ask connections, sink workers write destinations; one that dies costs its own work only. A process without the role
coordinator needs no --jobs: what a run is made from stands in the store, and the variables that its jobs refer to in --env-dir.

With --inline-jobs a trigger may bring its job along: {"job":{...}}, published to fanmill.jobs.inline.<jobId>. Such a job gets no variable and no
file of this machine; it writes below --artifact-root, and reads databases on each --allow-host and database files below each --allow-folder.

` + serviceHelp,
		Example: `  fanmill serve --jobs D:/fanmill/jobs
  fanmill serve --jobs store --nats nats://nats.example.org:4222 --env-dir /etc/fanmill
  fanmill serve --jobs /etc/fanmill --nats nats://nats.example.org:4222 --max-runs 2
  fanmill serve --roles coordinator --jobs store --nats nats://nats.example.org:4222
  fanmill serve --roles query --parallel 16 --nats nats://nats.example.org:4222 --env-dir /etc/fanmill
  fanmill serve --roles sink --sinks excel,csv --nats nats://nats.example.org:4222
  fanmill serve --jobs /etc/fanmill/jobs --inline-jobs --artifact-root /srv/adhoc --allow-host '*.branches.example.org:5432'
  fanmill serve --jobs store --nats nats://nats.example.org:4222 --place reports=D:/Reports
  nats req fanmill.jobs.run.job_gst_data '{}'
  fanmill trigger job_gst_data --resume`,
		Args: arguments(0, 0),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jobFlag, queryFlag, workFlags, placeFlag)
	fl := c.Flags()
	fl.StringArrayVar(&f.jobs, "jobs", nil, "`folder` of job files, or: store; may be given twice, once for each")
	fl.IntVar(&f.maxRuns, "max-runs", 2, "`number` of runs, of different jobs, that go on at a time; they share the memory")
	f.inline.add(fl)
	f.page.add(fl)
	f.roles.add(fl)
	c.RunE = func(c *cobra.Command, _ []string) error { return serve(c, f, stderr) }
	return c
}

func serve(c *cobra.Command, f serveFlags, stderr io.Writer) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	if s.roles, s.sinks, err = f.roles.check(); err != nil {
		return badLine(c, err)
	}
	switch {
	case len(f.jobs) == 0 && s.coordinates():
		return badLine(c, errors.New("--jobs is missing; it names the folder of job files, or store for the jobs of the store. A process without the role coordinator needs none"))
	case f.maxRuns < 1:
		return badLine(c, fmt.Errorf("--max-runs is at least 1, not %d", f.maxRuns))
	}
	dir, store, err := jobsFrom(f.jobs)
	if err != nil {
		return badLine(c, err)
	}
	apart := []string{s.env.Data, s.envDir, filepath.Join(s.workDir, "logs")}
	if dir != "" {
		apart = append(apart, dir)
	}
	bounds, err := f.inline.bounds(apart...)
	if err != nil {
		return badLine(c, err)
	}
	page, err := f.page.page(s.env)
	if err != nil {
		return badLine(c, err)
	}
	out := &output{stderr: stderr}
	log := slog.New(s.handler(out, s.level(), screen.Colors(stderr)))
	jobs, err := s.openJobs(dir, store, log)
	if err != nil {
		return &exitError{exitBadJob, err}
	}
	jobs.bounds = bounds
	if left := lacking(s.roles, s.sinks); left != "" && !s.external() {
		log.Warn("this process leaves to others: " + left + ". With the embedded server only processes of this machine with the same --data can do that")
	}
	s.limitMemory()
	s.sayPlaces(log)
	ctx := c.Context()
	shown, err := page.openPage(log)
	if err != nil {
		return &exitError{exitBadJob, err}
	}
	defer shown.close()
	defer context.AfterFunc(ctx, shown.drain)()
	for {
		err := s.serveOnce(ctx, f, jobs, out, log, shown)
		if errors.Is(err, checkpoint.ErrDead) {
			log.Error(fmt.Sprintf("%v. Others go on with what it had; it serves on as another process", err))
			continue
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // it was stopped while it waited for a coordinator
		}
		if !errors.Is(err, pipeline.ErrStore) {
			return err
		}
		log.Error(fmt.Sprintf("%v. Its runs cannot go on: ask for them again. What is missing there is made, and jobs are served on", err))
		jobs.restored()
	}
}

// serveOnce serves until ctx ends, or the store is no longer the one that it was.
func (s *settings) serveOnce(ctx context.Context, f serveFlags, jobs *served, out *output, log *slog.Logger, page *pageServer) error {
	return s.with(ctx, log, func(sys *system) error {
		backend := newPageBackend(s, sys, jobs)
		page.show(backend)
		defer backend.close()
		defer page.show(nil)
		jobs.in(sys)
		sys.node.Jobs.Served, sys.node.Jobs.Elsewhere = jobs.last, jobs.unserved(s.envDir)
		sys.node.ServedJobs = jobs.now
		jobs.look(ctx)
		follow := s.follow(out, false, sys.reading)
		sys.node.Follow = func(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) coordinate.Follower {
			inline := !backend.jobs.has(job.ID)
			return page.meter(job, inline, destinations, backend.live.follow(run, follow(job, run, destinations)))
		}
		watching, stop := context.WithCancel(ctx)
		defer stop()
		jobs.watch(watching, &sys.work)
		silence := func() {}
		defer func() { silence() }()
		err := sys.node.Serve(ctx, trigger.Service{MaxRuns: f.maxRuns, Served: jobs, Alarms: sys.conn.Alarms(), Ready: func() {
			if !s.coordinates() {
				log.Info("serving as " + strings.Join(s.roles, " and ") + "; runs are coordinated by other processes")
				return
			}
			silence = natsAPI{backend}.offer(sys.conn)
			log.Info(fmt.Sprintf("serving %s of %s; ask for a run: %s", screen.Of(int64(jobs.count()), "job"), jobs.where(), sys.conn.CLI("req 'fanmill.jobs.run.<jobId>' '{}'")))
			if page != nil {
				log.Info("the page: " + page.url)
			}
		}, Find: func(id string, inline json.RawMessage) (*spec.Definition, error) {
			if len(inline) > 0 {
				return s.inlineJob(jobs, id, inline)
			}
			return jobs.find(id)
		}})
		if err == nil && ctx.Err() != nil {
			log.Info("stopped; what was interrupted goes on when fanmill serve starts again")
		}
		return err
	})
}
