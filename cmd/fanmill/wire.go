package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline/deliver"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/notify"
	"fanmill/internal/telemetry"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/stages"
)

// What there is to read from and to write to. Tests put counting and failing ones in between.
var (
	databaseKinds = stages.Kinds
	sinkKinds     = sinks.Kinds
	notifyKinds   = func() map[string]*pipeline.NotifyKind { return notify.Kinds(postNotice) }
)

// jobOptions say what a job file may name.
func jobOptions(strict bool, only []string) config.Options {
	return config.Options{Strict: strict, Only: only, Databases: databaseKinds(), Destinations: sinkKinds(), Notify: notifyKinds()}
}

// servedOptions say what a job that is served may name. What it refers to for a role that this process does not have
// need not be here.
func (s *settings) servedOptions() config.Options {
	o := jobOptions(s.strict, nil)
	has := func(role string) bool { return len(s.roles) == 0 || slices.Contains(s.roles, role) }
	o.OthersAsk, o.OthersWrite = !has(pipeline.RoleQuery), !has(pipeline.RoleSink)
	return o
}

// loadJob reads a job file, or store:ID, against the databases and destinations there are. only are the ids of the
// connections it is for.
func (s *settings) loadJob(ctx context.Context, path string, only []string, log *slog.Logger) (*config.File, error) {
	var file *config.File
	var err error
	if job, ok := config.StoredJob(path); ok {
		if file, err = s.loadStoredJob(ctx, job, only, log); err != nil {
			return nil, err
		}
	} else if file, err = config.Load(path, jobOptions(s.strict, only)); err != nil {
		return nil, &exitError{exitBadJob, err}
	}
	for _, w := range file.Warnings {
		log.Warn(w.String())
	}
	if err := s.noLiterals(file); err != nil {
		return nil, &exitError{exitBadJob, err}
	}
	return file, nil
}

// noLiterals refuses secrets in a job that goes to a NATS server which others use.
func (s *settings) noLiterals(file *config.File) error {
	if !s.external() {
		return nil
	}
	if ids := config.SecretLiterals(&file.Job, databaseKinds()); len(ids) > 0 {
		return fmt.Errorf("%s: the address of %s holds a password in clear; with an external NATS server write it as ${VARIABLE} and set that in the environment or in .env beside the job", file.Path, strings.Join(ids, ", "))
	}
	return nil
}

// definition is a job file as the pipeline has it.
func definition(file *config.File) *spec.Definition {
	return &spec.Definition{Job: &file.Job, Resolve: file.Destinations, Params: file.Params, Expand: file.Expand}
}

// system is a wired node.
type system struct {
	node    *process.Node
	conn    *nats.Conn
	owner   *owner
	reading *readings
	tracing *telemetry.Telemetry // nil where the environment names no collector
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// open connects to the store and wires a node.
func (s *settings) open(ctx context.Context, log *slog.Logger) (*system, error) {
	if err := s.needData(); err != nil {
		return nil, err
	}
	access, err := s.access(log)
	if err != nil {
		return nil, err
	}
	locks, err := s.locks()
	if err != nil {
		return nil, err
	}
	own, err := newOwner(locks, s.lease)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Open(ctx, nats.Options{DataDir: s.env.Data, Access: access, Worker: !s.coordinates(), Log: log})
	if err != nil {
		own.close()
		return nil, err
	}
	sys := &system{conn: conn, owner: own, reading: &readings{}}
	budget := s.budget()
	memory := memory.NewWatch(memory.WatchOptions{Threshold: s.threshold(), Resident: resident, Every: memoryEvery, Patience: memoryPatience,
		Budget: budget, Parallel: s.parallel, Log: log, Show: sys.reading.read})
	stores := conn.Stores()
	sys.node = &process.Node{
		Store: conn, Stores: stores, Records: checkpoint.NewRecords(stores.Checkpoints), RowLogs: conn.RowLogs(), Bus: conn.Bus(),
		Progress: checkpoint.NewProgress(stores.Checkpoints, filepath.Join(s.workDir, "logs", "checkpoints")),
		Specs:    &spec.Cache{Runs: stores.Runs}, Jobs: &spec.Jobs{Elsewhere: config.ExpandIn(s.envDir)},
		Databases: databaseKinds(), Sinks: sinkKinds(), Notify: notifyKinds(), Alive: own.alive, Untold: own.untold,
		Owner: own.Owner, Disks: &deliver.Places{Home: own.Home, Folders: s.places}, Program: version(), StoreID: conn.StoreID(), Roles: s.roles, Writes: s.sinks, Parallel: s.parallel, LogMaxBytes: s.logMB << 20, Timeout: s.timeout,
		QueryTimeout: s.env.QueryTimeout(), Budget: budget, Memory: memory, Spool: s.spool(conn.StoreID(), log),
		Dead: s.dead(), Reports: filepath.Join(s.env.Data, "reports"), Log: log,
	}
	if sys.tracing = tracing(ctx, log); sys.tracing != nil {
		sys.node.Tracing = sys.tracing
	}
	watching, stop := context.WithCancel(context.Background())
	sys.stop = stop
	sys.work.Go(func() { memory.Run(watching) })
	return sys, nil
}

// closePatience bounds the orderly end of the embedded server.
const closePatience = 20 * time.Second

func (s *system) close(ctx context.Context) error {
	s.stop()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	s.work.Go(func() { s.closeTracing(ctx) }) // beside the store, which takes time as well
	err := s.conn.Close(ctx)
	s.work.Wait()
	s.owner.close()
	return err
}

// with opens the store for the length of f.
func (s *settings) with(ctx context.Context, log *slog.Logger, f func(*system) error) error {
	sys, err := s.open(ctx, log)
	if err != nil {
		return err
	}
	err = f(sys)
	if cerr := sys.close(ctx); cerr != nil {
		log.Warn("the store was not closed in order", "error", cerr)
	}
	return err
}
