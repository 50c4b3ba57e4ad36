package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"fanmill/internal/config"
)

// newLog writes lines for people (coloured on a terminal) or JSON for machines.
func newLog(w io.Writer, env config.Env) *slog.Logger {
	if env.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: env.Level()}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: env.Level(), TimeFormat: time.TimeOnly, NoColor: !terminal(w)}))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())) && os.Getenv("NO_COLOR") == ""
}
