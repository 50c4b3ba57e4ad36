package main

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// namingJob is the handler of a run's lines on the screen: as long as other runs go on beside it, a line says of
// which job it is.
type namingJob struct {
	slog.Handler
	job     string
	running *atomic.Int64 // runs of this process
}

// Handle implements slog.Handler.
func (h namingJob) Handle(ctx context.Context, r slog.Record) error {
	if h.running.Load() > 1 {
		r = r.Clone()
		r.AddAttrs(slog.String("job", h.job))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h namingJob) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup implements slog.Handler.
func (h namingJob) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
