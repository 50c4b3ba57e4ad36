package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// hangupEcho is the time in which a second SIGHUP means no more than the signal before it: of a terminal that goes away the kernel tells, and the
// shell once more; systemd sends one right after its SIGTERM.
const hangupEcho = 3 * time.Second

// untilStopped is a context that ends with the first Ctrl-C, closed window or terminal, or systemctl stop: then the run ends in order.
// A second one, unhandled then, ends the process. Either way a resume goes on from what is committed. Under nohup a SIGHUP stays
// ignored. SIGQUIT is left to Go, which shows what all goroutines do.
func untilStopped(parent context.Context) (context.Context, context.CancelFunc) {
	// Output that nobody reads must not end the process; see screen.Outlet.
	signal.Ignore(syscall.SIGPIPE)
	hangup := !signal.Ignored(syscall.SIGHUP)
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if hangup {
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(parent)
	came, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(came, stops...)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-came:
		case <-over:
			return
		}
		cancel()
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
		cancel()
		signal.Stop(came)
	}
}
