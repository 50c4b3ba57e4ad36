package sheets

import (
	"context"
	"time"
)

// Clock is the time, and waiting for it. Tests have their own.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error // ends with the context's error
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
