package main

import (
	"context"
	"fmt"
	"log/slog"

	"fanmill/internal/telemetry"
)

// tracing sends traces where the environment says; nil without that. No run is kept from beginning by it.
func tracing(ctx context.Context, log *slog.Logger) *telemetry.Telemetry {
	if !telemetry.Wanted() {
		return nil
	}
	t, err := telemetry.New(ctx, version(), log)
	if err != nil {
		log.Warn(fmt.Sprintf("there are no traces: %v", err))
		return nil
	}
	return t
}

// closeTracing sends the last traces.
func (s *system) closeTracing(ctx context.Context) {
	if s.tracing == nil {
		return
	}
	if err := s.tracing.Close(ctx); err != nil {
		s.node.Log.Debug("traces were lost at the end", "error", err)
	}
}
