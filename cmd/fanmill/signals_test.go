package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Whoever stops a run reads what stopped it, whatever it was at; an error of its own stays.
func TestStoppedByWhat(t *testing.T) {
	for sig, want := range map[os.Signal]string{os.Interrupt: "stopped by Ctrl-C", syscall.SIGTERM: "stopped by SIGTERM", syscall.SIGHUP: "stopped by SIGHUP"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stopped{sig})
		full := errors.New("the disk is full")
		both := errors.Join(context.Cause(ctx), full)
		for err, said := range map[error]string{
			fmt.Errorf("start the embedded NATS server: not ready in time: %w", ctx.Err()): want,
			fmt.Errorf("run: %w", context.Cause(ctx)):                                      "run: " + want,
			both: want + "\n" + full.Error(),
			full: full.Error(),
		} {
			if got := whyStopped(ctx, err).Error(); got != said {
				t.Errorf("%q is said as %q, not %q", err, got, said)
			}
		}
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("%v does not count as the end of a context", context.Cause(ctx))
		}
	}
	if err := fmt.Errorf("look: %w", context.Canceled); whyStopped(t.Context(), err) != err {
		t.Error("nothing was stopped, and something else is said")
	}
}
