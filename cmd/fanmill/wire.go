package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/stages"
)

// settings are what flags and environment say, flags first.
type settings struct {
	env      config.Env
	parallel int
	logMB    int64
	timeout  time.Duration // destinationTimeout
	lease    time.Duration
	workDir  string // of logs/checkpoints
}

const (
	defaultParallel = 4
	defaultLogMB    = 512
	minLogMB        = 4
	defaultTimeout  = 10 * time.Minute
)

// What there is to read from and to write to. Tests put counting and failing ones in between.
var (
	drivers   = stages.Drivers
	sinkTypes = sinks.Types
)

// loadJob reads a job file against the databases and destinations there are.
func loadJob(path string, log *slog.Logger) (*config.File, error) {
	o := config.Options{Drivers: map[string]config.Driver{}, Destinations: map[string]config.Destination{}}
	for name := range drivers() {
		o.Drivers[name] = config.Driver{}
	}
	for name, t := range sinkTypes() {
		o.Destinations[name] = config.Destination{Keys: t.Keys(), Check: t.Check}
	}
	file, err := config.Load(path, o)
	if err != nil {
		return nil, err
	}
	if err := oneQuery(file); err != nil {
		return nil, err
	}
	for _, w := range file.Warnings {
		log.Warn(w.String())
	}
	return file, nil
}

// oneQuery refuses what a CSV cannot hold: its lines have the columns of one query.
func oneQuery(file *config.File) error {
	for _, d := range file.Job.Destinations {
		for _, c := range file.Job.Connections {
			if d.Type == "csv" && len(c.Queries) > 1 {
				return fmt.Errorf("%s: destination %s is a CSV file, which takes the rows of one query, and connection %s has %d; use a job for each query, or Excel alone", file.Path, d.ID, c.ID, len(c.Queries))
			}
		}
	}
	return nil
}

// system is a wired node.
type system struct {
	node  *pipeline.Node
	conn  *nats.Conn
	owner *owner
}

// open connects to the store and wires the node that runs file's job.
func open(ctx context.Context, s settings, file *config.File, log *slog.Logger) (*system, error) {
	if s.env.Data == "" {
		dir, err := nats.DefaultDataDir()
		if err != nil {
			return nil, err
		}
		s.env.Data = dir
	}
	if s.env.NATSURL != "" {
		if ids := config.SecretLiterals(&file.Job); len(ids) > 0 {
			return nil, &exitError{exitBadJob, fmt.Errorf("%s: the dsn of %s holds a password; with an external NATS server write it as ${VARIABLE} and set that in the environment or in .env beside the job", file.Path, strings.Join(ids, ", "))}
		}
	}
	own, err := newOwner(s.env.Data, s.lease)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Open(ctx, nats.Options{DataDir: s.env.Data, URL: s.env.NATSURL, Log: log})
	if err != nil {
		own.close()
		return nil, err
	}
	stores := conn.Stores()
	node := &pipeline.Node{
		Stores: stores, Records: checkpoint.NewRecords(stores.Checkpoints), RowLogs: conn.RowLogs(), Bus: conn.Bus(),
		Progress: checkpoint.NewProgress(stores.Checkpoints, filepath.Join(s.workDir, "logs", "checkpoints")),
		Drivers:  drivers(), Sinks: sinkTypes(),
		Resolve: func(job *pipeline.Job, run string, at time.Time) ([]pipeline.ManifestDestination, error) {
			return resolve(file, job, run, at)
		},
		Expand: file.Expand, Alive: own.alive,
		Owner: own.Owner, StoreID: conn.StoreID(), Parallel: s.parallel, LogMaxBytes: s.logMB << 20, Timeout: s.timeout, Log: log,
	}
	return &system{node: node, conn: conn, owner: own}, nil
}

// resolve replaces the tokens of a job's paths for one run.
func resolve(file *config.File, job *pipeline.Job, run string, at time.Time) ([]pipeline.ManifestDestination, error) {
	values := file.Values(run, at)
	var out []pipeline.ManifestDestination
	var bad []error
	for i := range job.Destinations {
		d := &job.Destinations[i]
		path, err := file.ResolvePath(d, values)
		if err != nil {
			bad = append(bad, fmt.Errorf("destination %s: %w", d.ID, err))
			continue
		}
		out = append(out, pipeline.ManifestDestination{ID: d.ID, Type: d.Type, Path: path, Mode: d.Mode, Options: d.Options})
	}
	return out, errors.Join(bad...)
}

// closePatience bounds the orderly end of the embedded server.
const closePatience = 20 * time.Second

func (s *system) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	err := s.conn.Close(ctx)
	s.owner.close()
	return err
}
