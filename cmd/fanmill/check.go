package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline/deliver"
	"fanmill/pipeline/query"
	"fanmill/pipeline/spec"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// checkParallel is how many connections are checked at a time: the check takes about as long as its slowest branch.
const checkParallel = 64

func newCheck(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "check JOB.json",
		Short: "Reach every branch before the night: login, queries, columns",
		Long: `check connects to every branch of a job, in parallel, logs in and has each query described, without running it where the database can. One table tells which
branches can be reached and how fast, the server's version, which columns are missing, extra or of another type than elsewhere, and
what the job's onDrift makes of that. It looks whether the destinations, and who is told by notify, can be reached, and sends nothing there. It warns of what means something else than it seems to. Where a setting would let a branch in (encryption, certificates), the error names it and its risk.

Exit codes: 0 all is well, 2 bad job or command line, 3 some branch or destination cannot be reached, a query fails, or a
branch differs where the job says onDrift: fail or skip.`,
		Example: "  fanmill check gst.json\n  fanmill check gst.json --connections conn_3,conn_17 --json",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jsonFlag, listFlag, jobFlag, connectionsFlag, paramFlag, queryFlag, placeFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, file, given, err := f.load(c, args[0], f.connections, stderr)
		if err != nil {
			return err
		}
		s.sayPlaces(s.log(stderr))
		view, err := s.checkJob(c.Context(), file, f.connections, given)
		if err != nil {
			return err
		}
		if err := s.print(stdout, view); err != nil {
			return err
		}
		if c.Context().Err() != nil {
			return context.Cause(c.Context())
		}
		if !good(&view) {
			return &exitError{code: exitPartial}
		}
		return nil
	}
	return c
}

// load reads the flags and the job of a command that asks its databases without running it.
func (f *flags) load(c *cobra.Command, path string, connections []string, stderr io.Writer) (settings, *config.File, []pipeline.Arg, error) {
	s, err := f.settings(c, path)
	if err != nil {
		return s, nil, nil, err
	}
	given, err := givenParams(f.params)
	if err != nil {
		return s, nil, nil, err
	}
	file, err := s.loadJob(c.Context(), path, connections, s.log(stderr))
	if err != nil {
		return s, nil, nil, err
	}
	if err := fits(file, connections, given); err != nil {
		return s, nil, nil, &exitError{exitBadJob, err}
	}
	args, err := file.Params(given, time.Now())
	return s, file, args, err
}

// checkJob asks every connection.
func (s *settings) checkJob(ctx context.Context, file *config.File, only []string, params []pipeline.Arg) (screen.CheckView, error) {
	started := time.Now()
	job := &file.Job
	view := screen.CheckView{JobID: job.ID}
	destinations, err := file.Destinations("check", started)
	if err != nil {
		return view, err
	}
	kinds := sinkKinds()
	if slices.ContainsFunc(destinations, func(d pipeline.ManifestDestination) bool {
		return kinds[d.Type].OneSchema(&d)
	}) {
		if view.OnDrift = job.OnDrift; view.OnDrift == "" {
			view.OnDrift = pipeline.DriftUnion
		}
	}
	describer := &query.Describer{Databases: databaseKinds(), QueryTimeout: s.env.QueryTimeout()}
	hosts := pipeline.NewHosts(job.ParallelPerHost)
	var mu sync.Mutex
	openings := map[string]*pipeline.Opening{}
	for _, c := range job.Connections {
		if len(only) == 0 || slices.Contains(only, c.ID) {
			view.Connections = append(view.Connections, screen.CheckLine{ID: c.ID, Name: c.Name})
		}
	}
	var g errgroup.Group
	g.SetLimit(checkParallel)
	for i := range view.Connections {
		line := &view.Connections[i]
		g.Go(func() error {
			reach := func(_ context.Context, session pipeline.Session) error {
				line.Server, line.Reachable = session.Server(), true
				return nil
			}
			look := func(ctx context.Context, session pipeline.Session) error {
				_ = reach(ctx, session)
				line.Warnings = warnings(job, line.ID, session)
				return rehearse(ctx, job, line.ID, session)
			}
			opening, took, err := describer.Describe(ctx, spec.Probe{Definition: definition(file), Connection: line.ID, Args: params, Hosts: hosts, Look: look})
			line.Millis = took.Milliseconds()
			if err != nil {
				line.Error = err.Error()
				if pipeline.IsPermanent(err) {
					// Does it let us in, and the query fails? What may pass, such as a server that is down, answers
					// this no better.
					_, _, _ = describer.Describe(ctx, spec.Probe{Definition: withoutQueries(file), Connection: line.ID, Hosts: hosts, Look: reach})
				}
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			openings[line.ID] = opening
			return nil
		})
	}
	_ = g.Wait()
	view.Destinations, err = probeTargets(ctx, file, destinations, started)
	if err != nil {
		return view, err
	}
	view.Destinations = append(view.Destinations, s.placeProblems(job)...)
	view.Destinations = append(view.Destinations, probeNotify(ctx, file)...)
	for _, missing := range s.missingPlaces(job) {
		view.Warnings = append(view.Warnings, missing+". Nobody has looked whether it can be written")
	}
	warnOfHeaders(&view, destinations, compare(&view, openings), openings)
	view.Millis = time.Since(started).Milliseconds()
	return view, nil
}

// probeTargets looks at the targets of a job's destinations, and says which cannot be reached or written.
func probeTargets(ctx context.Context, file *config.File, destinations []pipeline.ManifestDestination, at time.Time) ([]string, error) {
	m, err := pipeline.NewManifest(&file.Job, "check", at, 0, nil, destinations)
	if err != nil {
		return nil, err
	}
	targets := &deliver.Targets{Sinks: sinkKinds()}
	wholes := m.Wholes()
	found := make([]string, len(wholes))
	var g errgroup.Group
	for i := range wholes {
		g.Go(func() error {
			if err := targets.Probe(ctx, slog.New(slog.DiscardHandler), definition(file), m, &wholes[i]); err != nil {
				found[i] = err.Error()
			}
			return nil
		})
	}
	_ = g.Wait()
	return slices.DeleteFunc(found, func(text string) bool { return text == "" }), nil
}

// rehearse tries a connection's queries without running them, where its database can.
func rehearse(ctx context.Context, job *pipeline.Job, id string, session pipeline.Session) error {
	r, ok := session.(pipeline.Rehearser)
	if !ok {
		return nil
	}
	c, err := job.Connection(id)
	if err != nil {
		return err
	}
	for q := range c.Queries {
		if err := r.Rehearse(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// warnings are what a connection's database has to say of the job's queries.
func warnings(job *pipeline.Job, id string, session pipeline.Session) (all []string) {
	w, ok := session.(pipeline.Warner)
	c, err := job.Connection(id)
	if !ok || err != nil {
		return nil
	}
	for q := range c.Queries {
		all = append(all, w.Warnings(q)...)
	}
	return all
}

// withoutQueries is a job that only connects.
func withoutQueries(file *config.File) *spec.Definition {
	def := definition(file)
	job := *def.Job
	job.Connections = slices.Clone(job.Connections)
	for i := range job.Connections {
		job.Connections[i].Queries = nil
	}
	def.Job = &job
	return def
}

// good reports whether the job can be run as it is.
func good(view *screen.CheckView) bool {
	if len(view.Destinations) > 0 {
		return false
	}
	strict := view.OnDrift == pipeline.DriftFail || view.OnDrift == pipeline.DriftSkip
	return !slices.ContainsFunc(view.Connections, func(c screen.CheckLine) bool {
		return !c.Reachable || c.Error != "" || strict && len(c.Missing)+len(c.Extra)+len(c.Retyped) > 0
	})
}

// compare says how the columns of connections differ from what most of them have. It returns those of a file of all
// connections, by query.
func compare(view *screen.CheckView, openings map[string]*pipeline.Opening) (all []pipeline.OpeningQuery) {
	queries := 0
	for _, o := range openings {
		queries = max(queries, len(o.Queries))
	}
	for q := range queries {
		var known []pipeline.Described
		var label string
		for _, line := range view.Connections {
			if o := openings[line.ID]; o != nil && q < len(o.Queries) {
				known = append(known, pipeline.Described{Connection: line.ID, Columns: o.Queries[q].Columns})
				label = o.Queries[q].Name
			}
		}
		prefix := ""
		if queries > 1 {
			prefix = strings.TrimPrefix(label+".", ".")
		}
		usual, union := pipeline.Common(known), pipeline.Union(known)
		of := union
		if view.OnDrift == pipeline.DriftSkip {
			of = usual
		}
		all = append(all, pipeline.OpeningQuery{Name: label, Columns: of.Columns})
		for i := range view.Connections {
			line := &view.Connections[i]
			o := openings[line.ID]
			if o == nil || q >= len(o.Queries) {
				continue
			}
			d := usual.Compare(o.Queries[q].Columns)
			for _, name := range d.Missing {
				line.Missing = append(line.Missing, prefix+name)
			}
			for _, name := range d.Extra {
				line.Extra = append(line.Extra, prefix+name)
			}
			place := union.Place(o.Queries[q].Columns)
			for _, r := range d.Retyped {
				line.Retyped = append(line.Retyped, screen.RetypedView{Column: prefix + r.Column, Type: r.Type, Usual: r.Usual, Becomes: union.Columns[place[r.At]].Type})
			}
			for _, unclear := range d.Unclear {
				line.Warnings = append(line.Warnings, inQuery(label, queries)+unclear)
			}
		}
	}
	return all
}

// warnOfHeaders names what stands twice in a header: of a file that all connections share, or of a connection's own.
func warnOfHeaders(view *screen.CheckView, destinations []pipeline.ManifestDestination, all []pipeline.OpeningQuery, openings map[string]*pipeline.Opening) {
	kinds := sinkKinds()
	for i := range destinations {
		d := &destinations[i]
		kind := kinds[d.Type]
		if kind.HeaderTwins == nil {
			continue
		}
		twins := func(queries []pipeline.OpeningQuery) (out []string) {
			for _, twin := range kind.HeaderTwins(d, queries) {
				out = append(out, "destination "+d.ID+": "+twin)
			}
			return out
		}
		if kind.OneSchema(d) {
			view.Warnings = append(view.Warnings, twins(all)...)
			continue
		}
		for k := range view.Connections {
			if o := openings[view.Connections[k].ID]; o != nil {
				view.Connections[k].Warnings = append(view.Connections[k].Warnings, twins(o.Queries)...)
			}
		}
	}
}

// inQuery names the query that a warning is about, where there are several.
func inQuery(name string, queries int) string {
	if queries < 2 || name == "" {
		return ""
	}
	return "query " + name + ": "
}
