package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// start runs the program, for a shell or for Windows' service manager.
//
// A service listens to no signals: Go turns the end of any user's session into SIGTERM, which every process of a service is told of, too.
func start() int {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return Main(os.Args[1:], os.Stdout, os.Stderr)
	}
	s := &service{run: runService}
	if err := svc.Run("", s); err != nil { // a service with a process of its own is given its name when it starts
		return exitFailed
	}
	return s.code
}

// service answers to the service manager on behalf of run, whose context ends when the service is to stop.
type service struct {
	run  func(ctx context.Context, name string) (exitCode int)
	code int
}

const (
	// stopBeat is how often a service that is stopping says that it is getting on. Waiting for a destination that cannot be written is
	// what takes longest.
	stopBeat = 2 * time.Second
	// stopHint is how long the service manager is to wait for the next such sign before it takes the service for stuck.
	stopHint = 30 * time.Second
)

// Execute runs until the program ends, by itself or because it was asked to. Before a shutdown a service that accepts PreShutdown is told
// while the network and its databases are still there; Windows then waits 10 s, before Windows 10 1703 three minutes
// (SERVICE_PRESHUTDOWN_INFO). What is not written whole by then is asked again by the next start.
func (s *service) Execute(args []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, code uint32) {
	name := "fanmill"
	if len(args) > 0 && args[0] != "" {
		name = args[0]
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan int)
	go func() { ended <- s.run(ctx, name) }()

	state := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptPreShutdown | svc.AcceptShutdown}
	changes <- state
	var beat <-chan time.Time
	for {
		select {
		case s.code = <-ended:
			s.code = serviceExit(ctx, s.code)
			return s.code != exitComplete, uint32(s.code)
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				changes <- state
			case svc.Stop, svc.PreShutdown, svc.Shutdown:
				if beat != nil {
					continue
				}
				stop()
				tick := time.NewTicker(stopBeat)
				defer tick.Stop()
				beat = tick.C
				state = svc.Status{State: svc.StopPending, WaitHint: uint32(stopHint.Milliseconds())}
				changes <- state
			}
		case <-beat:
			state.CheckPoint++
			changes <- state
		}
	}
}

// runService runs the program in the folder of its executable, with a log there in place of the screen. Windows' event log is told what
// the service manager's own entry of a failure does not say.
func runService(ctx context.Context, name string) int {
	fail := func(code int, format string, a ...any) int {
		if l, err := eventlog.Open(name); err == nil {
			_ = l.Error(1, "fanmill: "+fmt.Sprintf(format, a...))
			_ = l.Close()
		}
		return code
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(exitFailed, "find its own folder: %v", err)
	}
	home := filepath.Dir(exe)
	if err := os.Chdir(home); err != nil {
		return fail(exitFailed, "go to its own folder: %v", err)
	}
	log, err := openDailyLog(logOfService(home, name))
	if err != nil {
		return fail(exitFailed, "open the log of service %s: %v; let the account of the service write to %s", name, err, home)
	}
	defer log.Close()
	code := execute(ctx, os.Args[1:], log, log)
	if serviceExit(ctx, code) != exitComplete {
		return fail(code, "service %s ended with exit code %d; the reason is in %s", name, code, log.dir)
	}
	return code
}

// serviceExit is a service's exit code, given that of the program: to be interrupted is no failure of what was asked to stop.
func serviceExit(ctx context.Context, code int) int {
	if ctx.Err() != nil && code == exitInterrupted {
		return exitComplete
	}
	return code
}
