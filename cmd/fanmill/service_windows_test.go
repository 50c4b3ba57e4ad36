package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/windows/svc"
)

// manager is the service manager's end of a service.
type manager struct {
	t        *testing.T
	requests chan svc.ChangeRequest
	changes  chan svc.Status
	ended    chan [2]uint32 // whether the code is the service's own, and the code
}

// manage starts a service that does what run does.
func manage(t *testing.T, run func(ctx context.Context, name string) int) *manager {
	m := &manager{t, make(chan svc.ChangeRequest), make(chan svc.Status), make(chan [2]uint32, 1)}
	s := &service{run: run}
	go func() {
		specific, code := s.Execute([]string{"night"}, m.requests, m.changes)
		if s.code != int(code) {
			t.Errorf("the process ends with %d, its service with %d", s.code, code)
		}
		var own uint32
		if specific {
			own = 1
		}
		m.ended <- [2]uint32{own, code}
	}()
	got := <-m.changes
	if got.State != svc.Running || got.Accepts != svc.AcceptStop|svc.AcceptPreShutdown|svc.AcceptShutdown {
		t.Errorf("it began with %+v", got)
	}
	return m
}

func (m *manager) ask(cmd svc.Cmd) svc.Status {
	m.requests <- svc.ChangeRequest{Cmd: cmd}
	return <-m.changes
}

func (m *manager) wantEnd(own, code uint32) {
	m.t.Helper()
	if got := <-m.ended; got != [2]uint32{own, code} {
		m.t.Errorf("it ended with %v, want %v", got, [2]uint32{own, code})
	}
}

// Each way to ask a service to stop ends the program as the first Ctrl-C does. Until it has ended the service manager is told, again
// and again, to wait.
func TestServiceStops(t *testing.T) {
	for _, cmd := range []svc.Cmd{svc.Stop, svc.PreShutdown, svc.Shutdown} {
		synctest.Test(t, func(t *testing.T) {
			drained := make(chan int)
			m := manage(t, func(ctx context.Context, name string) int {
				if name != "night" {
					t.Errorf("the service is called %q", name)
				}
				<-ctx.Done()
				return <-drained
			})
			if got := m.ask(svc.Interrogate); got.State != svc.Running {
				t.Errorf("before: %+v", got)
			}
			asked := time.Now()
			first := m.ask(cmd)
			if first.State != svc.StopPending || first.WaitHint == 0 || first.Accepts != 0 {
				t.Errorf("asked to stop: %+v", first)
			}
			m.requests <- svc.ChangeRequest{Cmd: svc.Shutdown} // Windows ends while the service stops: nothing new
			for n := uint32(1); n <= 40; n++ {
				got := <-m.changes
				if got.State != svc.StopPending || got.CheckPoint != n {
					t.Errorf("sign %d: %+v", n, got)
				}
			}
			if each := time.Since(asked) / 40; each >= time.Duration(first.WaitHint)*time.Millisecond/2 {
				t.Errorf("a sign of life every %s, with %d ms promised", each, first.WaitHint)
			}
			drained <- exitInterrupted // as it was asked to
			m.wantEnd(0, 0)
		})
	}
}

// A program that ends by itself ends its service, and its exit code is what the service manager shows.
func TestServiceEndsByItself(t *testing.T) {
	for _, code := range []int{exitComplete, exitFailed, exitBadJob, exitInterrupted, exitMemory} {
		m := manage(t, func(context.Context, string) int { return code })
		own := uint32(1)
		if code == 0 {
			own = 0
		}
		m.wantEnd(own, uint32(code))
	}
}

// A failure while stopping is one.
func TestServiceFailsWhileStopping(t *testing.T) {
	m := manage(t, func(ctx context.Context, _ string) int { <-ctx.Done(); return exitFailed })
	m.ask(svc.Stop)
	m.wantEnd(1, exitFailed)
}
