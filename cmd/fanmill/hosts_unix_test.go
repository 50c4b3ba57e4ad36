//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/internal/gst"
	"fanmill/internal/receiver"
	"fanmill/internal/verify"
	"fanmill/nats"
	"fanmill/pipeline"
)

// hosts is a job that processes of different roles do, each with a data folder of its own as on a host of its own. They
// share a NATS cluster, and the folder that they write to.
type hosts struct {
	*requestsWorld
	on      *premises
	conn    *nats.Conn
	procs   map[string][]*host // by role
	rows    verify.Dataset     // what the branches have
	columns []verify.Column
}

// premises are where hosts stand.
type premises struct {
	urls         string // of the NATS cluster, as --nats takes them
	address      string // where the receiver of the webhook listens
	coordinators int
	lease        time.Duration // of the processes
	move         func(host string, cmd *exec.Cmd)
}

// onThisHost has all processes on the host of the test.
func onThisHost(c *cluster) *premises {
	return &premises{urls: c.urls(), address: "127.0.0.1", coordinators: 1, lease: 2 * time.Second, move: func(string, *exec.Cmd) {}}
}

// host is a process, however often it was started.
type host struct {
	*server
	name string
	args []string
}

// newHosts makes the job and starts its processes: those that coordinate, two that ask, and two that write.
func newHosts(t *testing.T, on *premises, branches int) *hosts {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	made, err := gst.Generate(t.Context(), filepath.Join(w.dir, "branches"), branches, 300, 11, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &hosts{requestsWorld: &requestsWorld{world: w}, on: on, procs: map[string][]*host{}}
	h.targets = map[string]*target{"hook": newTargetAt(t, on.address, &h.killer, receiver.Options{})}
	var connections []object
	for i, b := range made {
		c := worldConn{id: fmt.Sprintf("conn_%d", i+1), name: b.Name, dsn: filepath.ToSlash(b.Path), rows: 1000}
		w.conns = append(w.conns, c)
		connections = append(connections, object{"id": c.id, "name": c.name, "driver": "sqlite", "dsn": c.dsn})
	}
	h.rows, h.columns = w.truth()
	w.args = []string{"--nats", on.urls, "--lease", on.lease.String(), "--log-max-mb", "4"}
	w.env = []string{"FANMILL_TEST_HELD=1"}
	jobs, reports := filepath.Join(w.dir, "jobs"), filepath.Join(w.dir, "reports")
	for _, dir := range []string{jobs, reports} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeJob(t, filepath.Join(jobs, "gst.json"), object{"id": "gst", "name": "GST", "query": w.conns[0].query(), "connections": connections, "destinations": []object{
		{"id": "book", "type": "excel", "place": "reports", "filePath": "{jobName}.xlsx"},
		{"id": "each", "type": "csv", "place": "reports", "filePath": "each/{connection}.csv"},
		{"id": "hook", "type": "webhook", "mode": "stream", "maxRowsPerRequest": 100, "url": h.targets["hook"].url + "/in"}}})
	if h.conn, err = nats.Open(t.Context(), nats.Options{Access: nats.Access{URL: nats.Given{Value: on.urls, By: "--nats"}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.conn.Close(context.WithoutCancel(t.Context())) })
	for _, p := range []struct {
		role string
		n    int
		args []string
	}{
		{pipeline.RoleCoordinator, on.coordinators, []string{"--jobs", jobs}},
		{pipeline.RoleQuery, 2, []string{"--parallel", "2"}},
		{pipeline.RoleSink, 2, []string{"--place", "reports=" + reports}},
	} {
		for i := range p.n {
			name := fmt.Sprintf("%s-%d", p.role, i)
			one := &host{name: name, args: append([]string{"--roles", p.role, "--data", filepath.Join(w.dir, name)}, p.args...)}
			h.procs[p.role] = append(h.procs[p.role], one)
			h.start(one)
		}
	}
	return h
}

// start starts the process of a host, again if it has had one.
func (h *hosts) start(p *host) {
	h.t.Helper()
	p.server = h.processOn(func(cmd *exec.Cmd) { h.on.move(p.name, cmd) }, "serving", p.args...)
}

// token is that by which a host's process is known now; "" if no such process lives.
func (h *hosts) token(p *host) string {
	keys, err := h.conn.Stores().Runs.Keys(h.t.Context(), "process.*")
	if err != nil {
		return ""
	}
	for _, key := range keys {
		doc, err := checkpoint.LoadDocument[checkpoint.ProcessRecord](h.t.Context(), h.conn.Stores().Runs, key)
		if err != nil {
			continue
		}
		if rec := doc.Value(); rec.Owner.PID == p.cmd.Process.Pid && !rec.Over() {
			return rec.Owner.Token
		}
	}
	return ""
}

// known waits until a host's process is known, by another token than that.
func (h *hosts) known(p *host, other string) (token string) {
	h.t.Helper()
	await(h.t, "a sign of life of "+p.name, time.Minute, func() bool {
		token = h.token(p)
		return token != "" && token != other
	})
	return token
}

// run is a run's record; the error is of the store.
func (h *hosts) run(run string) (checkpoint.RunRecord, error) {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](h.t.Context(), h.conn.Stores().Runs, checkpoint.RunKey(run))
	if err != nil {
		return checkpoint.RunRecord{}, err
	}
	return doc.Value(), nil
}

// logged are the connections whose eof is in the row log.
func (h *hosts) logged(run string) map[string]bool {
	h.t.Helper()
	found := map[string]bool{}
	await(h.t, "a look at what is in the row log", time.Minute, func() bool {
		rec, err := h.run(run)
		if err != nil {
			return false
		}
		log, err := h.conn.RowLogs().Open(h.t.Context(), run, rec.Generation)
		if err != nil && !errors.Is(err, pipeline.ErrNoLog) {
			return false
		}
		var mu sync.Mutex
		var looks errgroup.Group
		for _, c := range h.conns {
			looks.Go(func() error {
				doc, err := checkpoint.LoadConn(h.t.Context(), h.conn.Stores().Runs, run, c.id)
				if err != nil {
					return err
				}
				whole := doc.Value().State == checkpoint.ConnDone
				if !whole && log != nil {
					last, err := log.LastFrame(h.t.Context(), c.id, doc.Value().Attempt)
					if err != nil {
						return err
					}
					whole = last != nil && last.Kind == pipeline.FrameEOF
				}
				mu.Lock()
				defer mu.Unlock()
				if whole {
					found[c.id] = true
				}
				return nil
			})
		}
		return looks.Wait() == nil
	})
	return found
}

// counts is how often each connection was asked since askedSince was called.
func (h *hosts) counts() map[string]int {
	h.t.Helper()
	text, err := os.ReadFile(h.asked())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	asked := strings.Fields(string(text))
	out := map[string]int{}
	for _, c := range h.conns {
		for _, dsn := range asked {
			if dsn == c.dsn {
				out[c.id]++
			}
		}
	}
	return out
}

// hold keeps connections from answering until they are let go.
func (h *hosts) hold(of []worldConn) {
	h.t.Helper()
	for _, c := range of {
		if err := os.WriteFile(c.dsn+heldSuffix, nil, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hosts) letGo(of []worldConn) {
	h.t.Helper()
	for _, c := range of {
		if err := os.Remove(c.dsn + heldSuffix); err != nil {
			h.t.Fatal(err)
		}
	}
}

// freeze returns when the process stands still.
func (h *hosts) freeze(p *host) {
	h.t.Helper()
	if err := errors.Join(p.cmd.Process.Signal(syscall.SIGSTOP), awaitStop(p.cmd.Process.Pid)); err != nil {
		h.t.Fatal(err)
	}
}

// exact compares what the run has written and sent with the branches, value for value.
func (h *hosts) exact() {
	h.t.Helper()
	book, err := verify.Workbook(filepath.Join(h.dir, "reports", "GST.xlsx"), h.columns, "Summary")
	if err != nil {
		h.t.Fatal(err)
	}
	if d := verify.Diff(h.rows, book); len(d) > 0 {
		h.t.Errorf("workbook: %s", strings.Join(d, "\n"))
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "reports", "each", "*.csv"))
	if err != nil || len(files) != len(h.conns) {
		h.t.Errorf("%d CSV files, want %d: %v", len(files), len(h.conns), err)
	}
	all := verify.Dataset{}
	for _, file := range files {
		one, err := verify.CSV(file, verify.CSVOptions{Columns: h.columns, Key: "branch"})
		if err != nil {
			h.t.Fatal(err)
		}
		maps.Copy(all, one)
	}
	if d := verify.Diff(h.rows, all); len(d) > 0 {
		h.t.Errorf("CSV files: %s", strings.Join(d, "\n"))
	}
	h.exactly("hook")
}

// said is what all processes have said, for a test that has failed.
func (h *hosts) said() string {
	var b strings.Builder
	for _, role := range slices.Sorted(maps.Keys(h.procs)) {
		for _, p := range h.procs[role] {
			text, _ := p.out.text()
			fmt.Fprintf(&b, "\n%s says:\n%s", p.name, text)
		}
	}
	return b.String()
}
