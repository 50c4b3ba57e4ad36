package coordinate

import (
	"context"
	"fmt"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// putBefore keeps what the connections of a run that begins delivered the last time.
func (r *run) putBefore(ctx context.Context) error {
	known, err := checkpoint.LoadFigures(ctx, r.c.Stores.Runs, r.m.JobID)
	if err != nil {
		return err
	}
	for id := range known {
		if r.m.Index(id) < 0 || known[id].Run == r.m.Run {
			delete(known, id)
		}
	}
	return checkpoint.StoreBefore(ctx, r.c.Stores.Runs, r.m.Run, known)
}

// compare sets what changed since the last time, in the reports of a run that has ended, and returns what is to be
// named, by connection. It is for people: what cannot be read costs a log line.
func (n *Coordinator) compare(ctx context.Context, m *pipeline.Manifest, reports []*pipeline.Report) map[string]string {
	before, err := checkpoint.LoadBefore(ctx, n.Stores.Runs, m.Run)
	if err != nil {
		n.Log.Warn(fmt.Sprintf("run %s is not compared with the one before it", m.Run), "error", err)
		return nil
	}
	alerts := map[string]string{}
	for _, report := range reports {
		report.Compare(before, m.Alert)
		for i := range report.Connections {
			c := &report.Connections[i]
			if text := pipeline.AlertText(c.Alerts()); text != "" && alerts[c.ID] == "" {
				alerts[c.ID] = text
			}
		}
	}
	return alerts
}

// remember keeps what the run's connections delivered, for the next run. It comes before the run's end is recorded, as
// nobody would do it after that; who ends the run once more writes the same.
func (r *run) remember(ctx context.Context, reports []*pipeline.Report) {
	all := map[string]pipeline.Figures{}
	for _, report := range reports {
		for i := range report.Connections {
			c := &report.Connections[i]
			if c.Rows == nil {
				continue
			}
			f, known := all[c.ID]
			if f = (pipeline.Figures{Run: r.m.Run, At: r.m.Created, Rows: c.Rows, Sums: pipeline.SumsOf(c.Controls)}); known && len(all[c.ID].Sums) > len(f.Sums) {
				continue // a destination of one query alone knows less
			}
			all[c.ID] = f
		}
	}
	if err := checkpoint.NoteFigures(ctx, r.c.Stores.Runs, r.m.JobID, all); err != nil {
		r.c.Log.Warn(fmt.Sprintf("what run %s delivered could not be kept; the next run is compared with an earlier one", r.m.Run), "error", err)
	}
}
