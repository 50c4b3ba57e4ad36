package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// fleet is processes of fanmill serve that share a NATS server: one that coordinates, and some that ask and write.
type fleet struct {
	b           *bench
	dir         string
	nats        *natsserver.Server
	coordinator *logged
	workers     []*logged
	env         []string
	runs        int
}

// logged is a process whose lines are read as they come.
type logged struct {
	cmd   *exec.Cmd
	lines chan line // closed at its end
}

type line struct {
	text string
	at   time.Time
}

// startFleet starts the processes for a job, whose dsn goes to those that ask.
func (b *bench) startFleet(ctx context.Context, job map[string]any, queries, sinks int) (_ *fleet, err error) {
	dir, err := os.MkdirTemp(b.tmp, "fleet-")
	if err != nil {
		return nil, err
	}
	f := &fleet{b: b, dir: dir, env: append(os.Environ(), fmt.Sprintf("%s=%s", dsnVariable, job["dsn"]), "FANMILL_HTTP=off", "LOG_LEVEL=info", "MEMORY_THRESHOLD_MB=")}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	jobs := filepath.Join(dir, "jobs")
	text, err := json.Marshal(without(job, "dsn"))
	if err == nil {
		err = os.Mkdir(jobs, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jobs, scalePart+".json"), text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	if f.nats, err = startNATS(filepath.Join(dir, "nats")); err != nil {
		return nil, err
	}
	if f.coordinator, err = f.serve(ctx, "--roles", "coordinator", "--jobs", jobs); err != nil {
		return nil, err
	}
	for range queries {
		if err = f.worker(ctx, "--roles", "query", "--parallel", "1"); err != nil {
			return nil, err
		}
	}
	for range sinks {
		if err = f.worker(ctx, "--roles", "sink"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func without(all map[string]any, key string) map[string]any {
	out := map[string]any{}
	for k, v := range all {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// worker starts a process whose lines nobody needs.
func (f *fleet) worker(ctx context.Context, args ...string) error {
	p, err := f.serve(ctx, args...)
	if err != nil {
		return err
	}
	go func() {
		for range p.lines {
		}
	}()
	f.workers = append(f.workers, p)
	return nil
}

// program is a command of fanmill on the fleet's store.
func (f *fleet) program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, f.b.binary, append(args, "--nats", f.nats.ClientURL(), "--data", filepath.Join(f.dir, "data"))...)
	cmd.Dir, cmd.Env = f.dir, f.env
	return cmd
}

// serve starts a process and waits until it serves.
func (f *fleet) serve(ctx context.Context, args ...string) (*logged, error) {
	cmd := f.program(ctx, append([]string{"serve"}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &logged{cmd: cmd, lines: make(chan line, 1000)}
	go p.read(said)
	if _, err := p.says("serving "); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *logged) read(said io.Reader) {
	defer close(p.lines)
	for in := bufio.NewScanner(said); in.Scan(); {
		p.lines <- line{in.Text(), time.Now()}
	}
}

// saysWithin bounds the wait for a line.
const saysWithin = 2 * time.Minute

// says waits for a line that has a text in it, and returns when it came.
func (p *logged) says(want string) (time.Time, error) {
	patience := time.After(saysWithin)
	last := ""
	for {
		select {
		case l, ok := <-p.lines:
			switch {
			case !ok:
				return time.Time{}, fmt.Errorf("%s has ended; the last that it said is %q", strings.Join(p.cmd.Args, " "), last)
			case strings.Contains(l.text, want):
				return l.at, nil
			}
			last = l.text
		case <-patience:
			return time.Time{}, fmt.Errorf("%s does not say %q within %s; the last that it said is %q", strings.Join(p.cmd.Args, " "), want, saysWithin, last)
		}
	}
}

func (p *logged) stop() {
	_ = p.cmd.Process.Kill()
	for range p.lines { // until its end
	}
	_ = p.cmd.Wait()
}

// run has the job run, and measures from its first command to its end, as its coordinator tells.
func (f *fleet) run(ctx context.Context) (result, error) {
	f.runs++
	id := fmt.Sprintf("run-%d", f.runs)
	if text, err := f.program(ctx, "trigger", scalePart, "--id", id).CombinedOutput(); err != nil {
		return result{}, fmt.Errorf("trigger: %w\n%s", err, text)
	}
	began, err := f.coordinator.says("run " + id + " of job")
	if err != nil {
		return result{}, err
	}
	ended, err := f.coordinator.says("run " + id + " ended: complete")
	if err != nil {
		return result{}, err
	}
	return result{wall: ended.Sub(began)}, nil
}

// stop ends the processes, which have nothing to be kept, and their server.
func (f *fleet) stop() {
	if f.coordinator != nil {
		f.coordinator.stop()
	}
	for _, p := range f.workers {
		p.stop()
	}
	if f.nats != nil {
		f.nats.Shutdown()
		f.nats.WaitForShutdown()
	}
	_ = os.RemoveAll(f.dir)
}
