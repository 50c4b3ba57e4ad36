package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// narrate tells a run's events as log lines. The marks and wording of the first words are what users search for.
func narrate(log *slog.Logger, job *pipeline.Job) func(pipeline.Event) {
	names := map[string]string{}
	for _, c := range job.Connections {
		names[c.ID] = c.Name
	}
	kinds := map[string]string{}
	for _, d := range job.Destinations {
		kinds[d.ID] = map[string]string{"csv": "CSV", "excel": "Excel"}[d.Type]
	}
	return func(e pipeline.Event) {
		name := names[e.Connection]
		switch e.Kind {
		case pipeline.EventConnected:
			log.Info(fmt.Sprintf("▶️ Executing connection: %s", name))
		case pipeline.EventCommitted:
			log.Info(fmt.Sprintf("💾 Progressive %s write: %s (%d rows) appended", kinds[e.Destination], name, e.Rows))
		case pipeline.EventFailed:
			log.Error(fmt.Sprintf("connection %s is missing from this run: %s", name, e.Error), "attempts", e.Attempt)
		}
	}
}

// printOutcome ends a run: what is missing and why, the totals, the files.
func printOutcome(w io.Writer, file *config.File, out *pipeline.Outcome) {
	printMissing(w, out.Reports)
	settled, rows := 0, int64(0)
	for i := range file.Job.Connections {
		if n, ok := everywhere(out.Reports, file.Job.Connections[i].ID); ok {
			settled++
			rows += n
		}
	}
	fmt.Fprintf(w, "run %s: %s, %d of %d connections, %d rows, %s\n", out.Run, out.State, settled, connections(out), rows, time.Since(out.Started).Round(10*time.Millisecond))
	for _, r := range out.Reports {
		if r.Error != "" {
			fmt.Fprintf(w, "  %s was given up: %s\n", r.Artifact, r.Error)
		}
		if info, err := os.Stat(r.Artifact); err == nil && delivered(r) {
			fmt.Fprintf(w, "  %s  %s\n", r.Artifact, bytesText(info.Size()))
		}
	}
	if out.State != pipeline.RunComplete {
		fmt.Fprintf(w, "run the same command with --resume to get what is missing\n")
	}
}

// delivered reports whether the artifact has anything of this run.
func delivered(r *pipeline.Report) bool {
	return slices.ContainsFunc(r.Connections, func(c pipeline.ReportConnection) bool { return c.State == pipeline.ReportSettled })
}

func connections(out *pipeline.Outcome) int {
	if len(out.Reports) == 0 {
		return 0
	}
	return len(out.Reports[0].Connections)
}

// printMissing names the connections that some destination lacks, once each where all lack them for the same reason.
func printMissing(w io.Writer, reports []*pipeline.Report) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := range reports[0].Connections {
		first := reports[0].Connections[i]
		same := true
		for _, r := range reports {
			same = same && r.Connections[i].State == first.State && r.Connections[i].Error == first.Error
		}
		for _, r := range reports {
			c := r.Connections[i]
			if c.State == pipeline.ReportSettled {
				continue
			}
			where := r.Destination
			if same && len(reports) > 1 {
				where = "everywhere"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%d attempts\t%s\n", c.Name, c.State, where, c.Attempts, c.Error)
			if same {
				break
			}
		}
	}
	_ = tw.Flush()
}

// everywhere counts a connection's rows if every destination has it.
func everywhere(reports []*pipeline.Report, id string) (rows int64, ok bool) {
	for _, r := range reports {
		for _, c := range r.Connections {
			if c.ID != id {
				continue
			}
			if c.State != pipeline.ReportSettled {
				return 0, false
			}
			rows, ok = 0, true
			for _, n := range c.Rows {
				rows += n
			}
		}
	}
	return rows, ok
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
}
