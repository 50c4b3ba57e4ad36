package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/view"

	"fanmill/internal/screen"
	"fanmill/internal/web"
	"fanmill/pipeline"
)

// lineCache keeps the lines of runs that do not move, by their records: a list of many runs is asked for often.
type lineCache struct {
	mu    sync.Mutex
	known map[string]cachedLine
}

type cachedLine struct {
	stamp string
	line  web.RunLine
}

// Runs implements web.Reader.
func (b *pageBackend) Runs(ctx context.Context) ([]web.RunLine, error) {
	waiting, err := b.sys.node.View().Waiting(ctx, "")
	if err != nil {
		return nil, err
	}
	runs, err := b.sys.node.View().List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]web.RunLine, 0, len(waiting)+len(runs))
	for _, w := range slices.Backward(waiting) {
		out = append(out, queuedLine(&w))
	}
	known := map[string]cachedLine{}
	newest := map[string]bool{}
	for _, r := range runs {
		line, stamp, err := b.line(ctx, r, !newest[r.Record.Job])
		newest[r.Record.Job] = true
		if errors.Is(err, pipeline.ErrNoKey) { // it was removed meanwhile, being old
			continue
		}
		if err != nil && !errors.Is(err, pipeline.ErrForeign) { // that is listed all the same
			return nil, fmt.Errorf("look at run %s: %w", r.Run, err)
		}
		if stamp != "" {
			known[r.Run] = cachedLine{stamp, line}
		}
		out = append(out, line)
	}
	b.lines.mu.Lock()
	b.lines.known = known
	b.lines.mu.Unlock()
	return out, nil
}

// queuedLine is a run that has not begun.
func queuedLine(w *view.Waiting) web.RunLine {
	return web.RunLine{Run: w.Run, JobID: w.Job, State: string(screen.StateQueued), Asked: w.Since, Millis: time.Since(w.Since).Milliseconds(), Revision: string(screen.StateQueued)}
}

// line is a run in a list, and the stamp of its record if it does not move.
func (b *pageBackend) line(ctx context.Context, r view.RunEntry, newest bool) (web.RunLine, string, error) {
	rec := r.Record
	line := web.RunLine{Run: r.Run, JobID: rec.Job, State: string(rec.State), Error: rec.Error, Started: rec.Started, Resumes: rec.Resumes, Revision: revision(&rec)}
	stamp := ""
	if rec.State == pipeline.RunRunning {
		if !rec.HandedOver && b.s.gone(rec.Owner) {
			line.State, line.Error = string(pipeline.RunInterrupted), goneText(&rec.Owner)
		}
	} else if text, err := json.Marshal(rec); err == nil {
		stamp = fmt.Sprint(newest, string(text))
		b.lines.mu.Lock()
		known, ok := b.lines.known[r.Run]
		b.lines.mu.Unlock()
		if ok && known.stamp == stamp {
			return known.line, stamp, nil
		}
	}
	end := time.Now()
	if !rec.Ended.IsZero() && rec.State != pipeline.RunRunning {
		line.Ended, end = rec.Ended, rec.Ended
	}
	line.Millis = end.Sub(rec.Started).Milliseconds()
	line.Resumable = newest && rec.State.Resumable() && line.State != string(pipeline.RunRunning)
	m, err := checkpoint.LoadManifest(ctx, b.sys.node.Stores.Runs, r.Run)
	if err != nil {
		return line, "", err
	}
	line.JobName, line.Scheduled, line.Missed = m.JobName, scheduledFor(m), missedBefore(m)
	records := map[string]checkpoint.CommitRecord{}
	for i := range m.Destinations {
		d := &m.Destinations[i]
		cell, err := checkpoint.LoadDocument[checkpoint.CommitRecord](ctx, b.sys.node.Stores.Checkpoints, checkpoint.RecordKey(r.Run, d.ID))
		if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
			return line, "", err
		}
		if err == nil {
			records[d.ID] = cell.Value()
		}
	}
	reports := checkpoint.NewReports(m, records, nil)
	for _, r := range reports {
		if r.State == pipeline.RecordOwing {
			line.Owing = append(line.Owing, r.Destination)
		}
	}
	connections, _ := screen.FromReports(reports)
	count(&line, connections)
	return line, stamp, nil
}

// count counts connections that are everywhere, and those that some destination does not get.
func count(line *web.RunLine, connections []screen.ConnectionView) {
	line.Total = len(connections)
	for i := range connections {
		switch c := &connections[i]; c.State {
		case screen.StateDone:
			line.Done++
			line.Rows += c.Rows
		case screen.StateFailed, screen.StateRejected:
			line.Failed++
		case screen.StatePartial:
			if slices.ContainsFunc(c.Missing, func(m screen.MissingView) bool {
				return m.State == screen.StateFailed || m.State == screen.StateRejected
			}) {
				line.Failed++
			}
		}
	}
}

// revision is what somebody who wants a run changed has seen of it.
func revision(rec *checkpoint.RunRecord) string {
	return fmt.Sprintf("%s.%d.%d", rec.State, rec.Resumes, rec.Epoch)
}

// goneText says that a run's process is gone.
func goneText(o *pipeline.Owner) string {
	return ownerText(o) + " is gone; the run goes on with a resume, or when fanmill serve starts"
}

// ownerText names the process that carries a run out.
func ownerText(o *pipeline.Owner) string { return fmt.Sprintf("process %d on %s", o.PID, o.Host) }
