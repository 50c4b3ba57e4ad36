package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"fanmill/pipeline/coordinate"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// output is where a command's log lines go: to its standard error, or above the progress of a run that is shown there.
type output struct {
	stderr io.Writer
	above  atomic.Pointer[io.Writer]
}

func (o *output) Write(p []byte) (int, error) {
	if w := o.above.Load(); w != nil {
		return (*w).Write(p)
	}
	return o.stderr.Write(p)
}

// follow makes who follows the runs of a process: each has its log file and its narrator; with bars, what runs is
// shown on the terminal, and of its narration there only what went wrong.
func (s *settings) follow(out *output, bars bool, memory *readings) func(*pipeline.Job, string, []pipeline.ManifestDestination) coordinate.Follower {
	running := new(atomic.Int64)
	return func(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) coordinate.Follower {
		running.Add(1)
		on := s.level()
		f := coordinate.Follower{}
		scope := screen.ScopeOf(job, nil, s.parallel).Into(destinations).Labelled(destinationLabels())
		var progress *screen.Progress
		if bars {
			progress = screen.NewProgress(out.stderr, scope)
			above := progress.Writer()
			out.above.Store(&above)
			memory.show(progress.Memory)
			on = max(on, slog.LevelWarn)
		}
		shown := func(level slog.Level) slog.Handler {
			h := s.handler(out, level, screen.Colors(out.stderr))
			if s.env.LogFormat == "json" { // where each line has it anyway
				return h
			}
			return namingJob{h, job.ID, running}
		}
		handlers := []slog.Handler{shown(s.level())}
		narrated := []slog.Handler{shown(on)}
		file, err := s.runLog(job.ID, run)
		if err == nil {
			h := s.runLogHandler(file)
			handlers, narrated = append(handlers, h), append(narrated, h)
		}
		f.Log = slog.New(slog.NewMultiHandler(handlers...))
		if s.env.LogFormat == "json" { // the narrator's lines name them, too: several runs may go on under serve
			f.Log = f.Log.With("job", job.ID, "run", run)
		}
		if err != nil {
			f.Log.Warn("this run has no log file", "error", err)
		}
		lines := screen.NewLines(slog.New(slog.NewMultiHandler(narrated...)), scope, s.env.LogFormat == "json")
		f.Event = func(e pipeline.Event) {
			lines.Observe(e)
			if progress != nil {
				progress.Observe(e)
			}
		}
		f.Checkpoint = func(c pipeline.PublicCheckpoint) {
			lines.Checkpoint(c)
			if progress != nil {
				progress.Checkpoint(c)
			}
		}
		if progress != nil {
			f.Rows = progress.Rows
		}
		f.Done = func(o *coordinate.Outcome, err error) {
			if progress != nil {
				memory.show(nil)
				progress.Close()
				out.above.Store(nil)
			}
			if o != nil {
				f.Log.Info(fmt.Sprintf("run %s ended: %s%s", o.Run, o.State, givenUp(o)))
			} else if file != nil { // the screen is told by whoever asked for the run
				slog.New(s.runLogHandler(file)).Error(fmt.Sprintf("run %s ended: %v", run, err))
			}
			if file != nil {
				_ = file.Close()
			}
			running.Add(-1)
		}
		return f
	}
}

// givenUp names the destinations that a run has given up, and those that are owing.
func givenUp(o *coordinate.Outcome) (text string) {
	_, all := screen.FromReports(o.Reports)
	for i := range all {
		switch d := &all[i]; d.State {
		case pipeline.RecordDetached:
			text += "; destination " + d.ID + " was given up: " + d.Error
		case pipeline.RecordOwing:
			text += "; destination " + d.ID + " " + d.Owes(d.Total, "a resume")
		}
	}
	return text
}

// destinationLabels are what people call the kinds of destinations.
func destinationLabels() map[string]string {
	labels := map[string]string{}
	for name, kind := range sinkKinds() {
		labels[name] = kind.Label
	}
	return labels
}
