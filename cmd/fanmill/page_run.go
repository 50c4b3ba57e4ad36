package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/view"

	"fanmill/internal/screen"
	"fanmill/internal/web"
	"fanmill/pipeline"
)

// Run implements web.Reader.
func (b *pageBackend) Run(ctx context.Context, run string) (*web.Run, error) {
	info, err := b.inspect(ctx, run)
	if errors.Is(err, pipeline.ErrNoKey) {
		waiting, noTrigger := b.queued(ctx, run)
		if !errors.Is(noTrigger, web.ErrNone) {
			return waiting, noTrigger
		}
		// It may have begun between the two looks.
		if info, err = b.inspect(ctx, run); errors.Is(err, pipeline.ErrNoKey) {
			return nil, noTrigger
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look at run %s: %w", run, err)
	}
	rec, m := &info.Record, info.Manifest
	status := b.s.statusView(info)
	r := &web.Run{RunLine: web.RunLine{Run: info.Run, JobID: m.JobID, JobName: m.JobName, State: string(status.State), Error: status.Error, Started: status.Started,
		Scheduled: scheduledFor(m), Missed: missedBefore(m), Millis: status.Millis, Resumes: status.Resumes, Revision: revision(rec)},
		Owner: status.Owner, Resume: status.Resume, Again: status.Again, TimeZone: m.TimeZone, Selected: m.Selected,
		Params: paramViews(m.Params), Drift: []string{}, Suggestions: []string{}}
	if rec.State != pipeline.RunRunning {
		r.Ended = rec.Ended
	}
	count(&r.RunLine, status.Connections)
	if rec.Measures != nil {
		r.Suggestions = append(r.Suggestions, screen.Suggest(*rec.Measures)...)
	}
	if status.State == pipeline.RunRunning {
		r.Cancel = "fanmill cancel " + shellQuote(run) + b.s.store
	} else if newest, err := b.sys.node.View().LastRun(ctx, m.JobID); err == nil && newest == run {
		r.Resumable = rec.State.Resumable()
	}
	if !r.Resumable {
		r.Resume, r.Again = "", ""
	}
	for i := range m.Schemas {
		for _, id := range slices.Sorted(maps.Keys(m.Schemas[i].Drift)) {
			r.Drift = append(r.Drift, m.Schemas[i].Drift[id])
		}
	}
	going := status.State == pipeline.RunRunning
	r.Connections = make([]web.Connection, len(status.Connections))
	for i := range status.Connections {
		c := connectionView(&status.Connections[i])
		if known, ok := info.Connections[c.ID]; ok && c.State == screen.StateRunning {
			c.Since, c.Millis = known.Started, 0
			c.Rows, c.Rate = b.live.progress(run, c.ID)
		}
		if c.State == screen.StateDelivered {
			c.Rows, _ = b.live.progress(run, c.ID)
		}
		if going && underWay(&c) { // the rest of the destinations are at it
			c.State = screen.StateDelivered
		}
		r.Connections[i] = c
	}
	if !going {
		if r.Told, err = b.told(ctx, run); err != nil {
			return nil, err
		}
	}
	r.Destinations = b.destinationViews(ctx, info, status.Destinations)
	if info.Log != nil {
		r.Log = &web.Fill{Bytes: info.Log.Bytes, Max: info.Log.MaxBytes}
	}
	r.Memory, r.Charts = b.live.charts(run, going, r.Log)
	return r, nil
}

// told says who was told how a run ended, or is to be.
func (b *pageBackend) told(ctx context.Context, run string) (lines []string, _ error) {
	all, err := noticesOf(ctx, b.sys.node, run)
	if err != nil {
		return nil, fmt.Errorf("look at who was told of run %s: %w", run, err)
	}
	for i := range all {
		lines = append(lines, fmt.Sprintf("%s of %s: %s", all[i].Target, all[i].Event, all[i].Words()))
	}
	return lines, nil
}

// inspect reads a run, by a mirror of it where there is one.
func (b *pageBackend) inspect(ctx context.Context, run string) (*view.RunInfo, error) {
	look := b.sys.node.View()
	// Only what there is is watched, as anybody may ask for any id.
	if _, err := look.Runs.Get(ctx, checkpoint.RunKey(run)); err != nil {
		return nil, err
	}
	if m := b.mirrors.of(b.sys.node.Stores, run); m != nil {
		look.Runs, look.Records = m.runs, checkpoint.NewRecords(m.checkpoints)
	}
	return look.Inspect(ctx, run)
}

// queued is a run that has not begun: all that is known is its trigger.
func (b *pageBackend) queued(ctx context.Context, run string) (*web.Run, error) {
	waiting, err := b.sys.node.View().Waiting(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := range waiting {
		if waiting[i].Run == run {
			return &web.Run{RunLine: queuedLine(&waiting[i]), Cancel: "fanmill cancel " + shellQuote(run) + b.s.store,
				Params: []web.Param{}, Connections: []web.Connection{}, Destinations: []web.Destination{}, Drift: []string{}, Charts: []web.Chart{}, Suggestions: []string{}}, nil
		}
	}
	return nil, web.None("there is no run %q; it may have been removed, being old", run)
}

// Manifest implements web.Reader.
func (b *pageBackend) Manifest(ctx context.Context, run string) ([]byte, error) {
	m, err := checkpoint.LoadManifest(ctx, b.sys.node.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, web.None("there is no run %q, or it has not begun", run)
	}
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(m, "", "  ")
}

func paramViews(args []pipeline.Arg) []web.Param {
	out := make([]web.Param, 0, len(args))
	for _, a := range args {
		out = append(out, web.Param{Name: a.Name, Type: string(a.Type), Value: a.Text})
	}
	return out
}

func connectionView(c *screen.ConnectionView) web.Connection {
	out := web.Connection{ID: c.ID, Name: c.Name, State: c.State, Rows: c.Rows, Millis: c.Millis, Attempts: c.Attempts,
		Missing: []web.Missing{}, Losses: []web.Loss{}, Notes: []web.Note{},
		Verified: string(c.Verified), Doubts: append([]string{}, c.Doubts()...), LastTime: c.LastTime(), Alerts: append([]string{}, c.Alerts()...), Waits: append([]string{}, c.Waits...)}
	var said []string
	for i := range c.Controls {
		said = append(said, c.Controls[i].Say())
	}
	out.Totals = strings.Join(said, "; ")
	for _, m := range c.Missing {
		out.Missing = append(out.Missing, web.Missing{Destination: m.Destination, State: m.State, Error: m.Error})
	}
	for _, l := range c.Losses {
		out.Losses = append(out.Losses, web.Loss(l))
	}
	for _, n := range c.Notes {
		out.Notes = append(out.Notes, web.Note(n))
	}
	return out
}

// underWay reports whether some destination has a connection, and the others have yet to get it.
func underWay(c *web.Connection) bool {
	return c.State == screen.StatePartial && !slices.ContainsFunc(c.Missing, func(m web.Missing) bool {
		return m.Error != "" || m.State != screen.StatePending && m.State != screen.StateSealed
	})
}

func (b *pageBackend) destinationViews(ctx context.Context, info *view.RunInfo, views []screen.DestinationView) []web.Destination {
	labels := destinationLabels()
	out := make([]web.Destination, len(views))
	for i := range views {
		v := &views[i]
		d := web.Destination{ID: v.ID, Type: v.Type, Label: labels[v.Type], Where: v.File, State: string(v.State), Error: v.Error, Bytes: v.Bytes, Connections: v.Connections,
			Total: v.Total, Rows: v.Rows, Sealed: v.Sealed, Lag: v.Lag, Unclaimed: v.Unclaimed, Awaited: v.Awaited, Requests: requestsView(v.Delivery)}
		d.Files, d.MoreFiles = b.fileViews(ctx, info.Manifest, &info.Destinations[i], v)
		if info.Destinations[i].Path != "" && !slices.ContainsFunc(d.Files, func(f web.File) bool { return f.Why == "" }) {
			d.Bytes = 0 // what stands there is another run's
		}
		out[i] = d
	}
	return out
}

func requestsView(d *pipeline.Delivery) *web.Requests {
	if d == nil {
		return nil
	}
	r := &web.Requests{Total: d.Requests, Sent: d.Sent, Refused: d.Refused, Dropped: d.Dropped, IDs: append([]string{}, d.IDs...)}
	if d.Last != nil {
		r.Last = &web.Receipt{Status: d.Last.Status, ID: d.Last.ID, At: d.Last.At, Attempts: d.Last.Attempts, Notes: d.Last.Notes}
	}
	return r
}

// Log implements web.Reader.
func (b *pageBackend) Log(ctx context.Context, run string, most int64) (string, error) {
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, b.sys.node.Stores.Runs, checkpoint.RunKey(run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return "", nil // it has not begun
	}
	if err != nil {
		return "", err
	}
	return b.s.tailOfLog(cell.Value().Job, run, most)
}

// fillPatience bounds a look at a row log for a chart.
const fillPatience = 5 * time.Second

// fill is how full a run's row log is; nil if that cannot be seen.
func (b *pageBackend) fill(run string) *web.Fill {
	ctx, cancel := context.WithTimeout(context.Background(), fillPatience)
	defer cancel()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, b.sys.node.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		return nil
	}
	log, err := b.sys.node.RowLogs.Open(ctx, run, cell.Value().Generation)
	if err != nil {
		return nil
	}
	state, err := log.State(ctx)
	if err != nil {
		return nil
	}
	return &web.Fill{Bytes: state.Bytes, Max: state.MaxBytes}
}

// at is a moment of a chart.
func at(t time.Time, bytes int64) web.Point { return web.Point{At: t.UTC(), Bytes: bytes} }
