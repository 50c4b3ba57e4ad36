package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// hangupEcho is the time in which a second SIGHUP means no more than the signal before it: of a terminal that goes
// away the kernel tells, and the shell once more; systemd sends one right after its SIGTERM.
const hangupEcho = 3 * time.Second

// untilStopped is a context that ends with the first Ctrl-C, closed window or terminal, or systemctl stop: then the
// run ends in order. A second one, unhandled then, ends the process. Either way a resume goes on from what is
// committed. Under nohup a SIGHUP stays ignored. SIGQUIT is left to Go, which shows what all goroutines do.
func untilStopped(parent context.Context) (context.Context, context.CancelFunc) {
	// Output that nobody reads must not end the process; see screen.Outlet.
	signal.Ignore(syscall.SIGPIPE)
	hangup := !signal.Ignored(syscall.SIGHUP)
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if hangup {
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancelCause(parent)
	came, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(came, stops...)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case s := <-came:
			cancel(stopped{s})
		case <-over:
			return
		}
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		if !hangup {
			return
		}
		echo := time.NewTimer(hangupEcho)
		defer echo.Stop()
		select {
		case <-echo.C:
			signal.Reset(syscall.SIGHUP)
		case <-over:
		}
	})
	return ctx, func() {
		close(over)
		watching.Wait()
		cancel(nil)
		signal.Stop(came)
	}
}

// stopped is why a process that got a signal ends. It counts as context.Canceled, and reads better.
type stopped struct{ by os.Signal }

func (s stopped) Error() string {
	switch s.by {
	case os.Interrupt:
		return "stopped by Ctrl-C"
	case syscall.SIGTERM:
		return "stopped by SIGTERM"
	case syscall.SIGHUP:
		return "stopped by SIGHUP"
	}
	return "stopped by a signal: " + s.by.String()
}

func (stopped) Is(target error) bool { return target == context.Canceled }

// whyStopped is what a user reads of an error: of one that only says that ctx has ended, in the middle of whatever
// went on then, what ended ctx.
func whyStopped(ctx context.Context, err error) error {
	var cause stopped
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &cause) && !errors.As(err, &cause) {
		return cause
	}
	return err
}
