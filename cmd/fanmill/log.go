package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"

	"fanmill/pipeline"
)

// handler writes lines for people (coloured on a terminal) or JSON for machines.
func (s *settings) handler(w io.Writer, level slog.Level, color bool) slog.Handler {
	if s.env.LogFormat == "json" {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !color})
}

// logsKept is how many logs of a job's runs are kept.
const logsKept = 30

// runLog opens logs/<job>/<run>.log; a resumed run goes on in it. The oldest of the job's logs go.
func (s *settings) runLog(job, run string) (io.WriteCloser, error) {
	dir := filepath.Join(s.workDir, "logs", pipeline.Token(job))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, pipeline.Token(run)+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	pruneLogs(dir)
	return f, nil
}

// pruneLogs removes the oldest logs of a folder but for the newest. One that another process still writes to may not go on Windows; the
// next run tries again.
func pruneLogs(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	type aged struct {
		name string
		at   time.Time
	}
	var logs []aged
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			logs = append(logs, aged{name, info.ModTime()})
		}
	}
	slices.SortFunc(logs, func(a, b aged) int { return b.at.Compare(a.at) })
	for _, l := range logs[min(len(logs), logsKept):] {
		_ = os.Remove(l.name)
	}
}

// runLogHandler writes a run's log file: everything from info on, whatever the screen shows.
func (s *settings) runLogHandler(w io.Writer) slog.Handler {
	level := min(s.env.Level(), slog.LevelInfo)
	if s.env.LogFormat == "json" {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.DateTime, NoColor: true})
}

// tailOfLog is the end of a run's log file, whole lines of at most most bytes; "" if this process finds none where it
// writes logs itself.
func (s *settings) tailOfLog(job, run string, most int64) (string, error) {
	root, err := os.OpenRoot(filepath.Join(s.workDir, "logs", pipeline.Token(job)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(pipeline.Token(run) + ".log")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(info.Size()-most, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return "", err
	}
	if from > 0 { // the first line is cut
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return strings.ToValidUTF8(string(text), "\uFFFD"), nil
}
