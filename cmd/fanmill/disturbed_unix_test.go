//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/internal/receiver"
	"fanmill/internal/soak"
	"fanmill/pipeline"
)

// disturbance is what happens to one process in the middle of a run, and to a node of the cluster.
type disturbance struct {
	role   string
	freeze bool // for longer than its lease; else it is killed
	node   bool // which is stopped just before, and started again later
}

// disturbances are ten. The first ones are of both kinds, with a node and without.
var disturbances = []disturbance{
	{pipeline.RoleQuery, false, true},
	{pipeline.RoleSink, true, false},
	{pipeline.RoleCoordinator, false, false},
	{pipeline.RoleQuery, true, false},
	{pipeline.RoleSink, false, true},
	{pipeline.RoleCoordinator, true, false},
	{pipeline.RoleSink, false, false},
	{pipeline.RoleCoordinator, false, true},
	{pipeline.RoleQuery, false, false},
	{pipeline.RoleSink, true, true},
}

// roundPatience is for a takeover, and for the end of a run, on a machine that is busy with other tests while a cluster
// holds elections. How long each takes is logged.
const roundPatience = 3 * time.Minute

// Runs are done by processes of different roles over a NATS cluster. In each run one of the processes is killed, or
// stands still for longer than its lease, and in some a node of the cluster is away. Each run ends complete, and what
// it writes and sends is exact. Nothing is asked again whose eof is in the row log, and nothing at all but what a
// process had in hand that asks and is gone. What a process had in hand that is gone is taken over.
func TestRolesSurvive(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	h := newHosts(t, onThisHost(c), 24)
	defer func() {
		if t.Failed() {
			t.Log(h.said())
		}
	}()
	random := rand.New(rand.NewPCG(5, 8))
	for i, d := range disturbances[:soak.Rounds(2, len(disturbances))] {
		h.disturbed(c, fmt.Sprintf("round-%d", i+1), d, random)
		if t.Failed() {
			return
		}
	}
}

// disturbed has one run, disturbed.
func (h *hosts) disturbed(c *cluster, run string, d disturbance, random *rand.Rand) {
	h.t.Helper()
	free := 4 + random.IntN(12)
	held := h.conns[free:]
	h.hold(held)
	h.askedSince()
	h.targets["hook"].renew(h.t)
	h.trigger("gst", exitComplete, "--id", run, "--nats", c.urls())
	victim := h.victim(run, d.role, held, random)
	token := h.known(victim, "")
	node := random.IntN(len(c.nodes))
	if d.node {
		c.stop(node)
	}
	struck := time.Now()
	if d.freeze {
		h.freeze(victim)
	} else {
		victim.kill()
	}
	logged, before := h.logged(run), h.counts()
	var hand map[string]string
	await(h.t, "a look at what is in hand", time.Minute, func() (ok bool) {
		hand, ok = h.inHand(run, victim)
		return ok
	})
	h.t.Logf("%s: %d free, %+v, %d logged, in hand %v, node %d", run, free, d, len(logged), hand, node)
	h.letGo(held)
	if d.role == pipeline.RoleCoordinator && !d.freeze { // nobody else coordinates
		h.start(victim)
	}
	if d.role == pipeline.RoleCoordinator && d.freeze {
		h.leasesPass()
	} else {
		await(h.t, fmt.Sprintf("a takeover of %v in %s", hand, run), roundPatience, func() bool { return h.takenOver(run, victim, token, hand) })
	}
	took := time.Since(struck)
	if d.node {
		c.start(node)
	}
	switch {
	case d.freeze:
		if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			h.t.Fatal(err)
		}
	case d.role != pipeline.RoleCoordinator:
		h.start(victim)
	}
	await(h.t, "the end of "+run, roundPatience, func() bool {
		rec, err := h.run(run)
		return err == nil && rec.State != pipeline.RunRunning && rec.State != pipeline.RunInterrupted
	})
	if rec, err := h.run(run); err != nil || rec.State != pipeline.RunComplete {
		h.t.Fatalf("%s is %s: %v", run, rec.State, err)
	}
	h.t.Logf("%s: taken over after %s, complete after %s", run, took.Round(time.Millisecond), time.Since(struck).Round(time.Millisecond))
	h.exact()
	for id, n := range h.counts() {
		switch {
		case logged[id] && n > before[id]:
			h.t.Errorf("%s: %s was asked again, and its eof was in the row log", run, id)
		case n > 1 && !(d.role == pipeline.RoleQuery && hand[id] != ""):
			h.t.Errorf("%s: %s was asked %d times, and no process was gone that asked it", run, id, n)
		}
	}
	if d.role != pipeline.RoleCoordinator || !d.freeze {
		h.known(victim, token)
	}
	if d.node {
		c.whole()
	}
}

// victim waits until a process of a role is at work, in the middle of a run, and returns it.
func (h *hosts) victim(run, role string, held []worldConn, random *rand.Rand) *host {
	h.t.Helper()
	chosen := h.procs[role][random.IntN(len(h.procs[role]))]
	destination := []string{"book", "each", "hook"}[random.IntN(3)]
	await(h.t, "work for "+role, roundPatience, func() bool {
		switch role {
		case pipeline.RoleCoordinator: // a destination has committed
			rec, err := checkpoint.NewRecords(h.conn.Stores().Checkpoints).Load(h.t.Context(), run, destination)
			return err == nil && len(rec.Settled) > 0
		case pipeline.RoleQuery: // it has begun a branch that does not answer
			hand, _ := h.inHand(run, chosen)
			return slices.ContainsFunc(held, func(c worldConn) bool { return hand[c.id] != "" })
		}
		rec, err := checkpoint.NewRecords(h.conn.Stores().Checkpoints).Load(h.t.Context(), run, destination)
		if err != nil || len(rec.Settled) == 0 {
			return false
		}
		for _, p := range h.procs[role] { // who has committed
			if p.cmd.Process.Pid == rec.PID {
				chosen = p
				return true
			}
		}
		return false
	})
	return chosen
}

// inHand are the connections and destinations of a run that a process has, with its token there; not ok if the store
// does not answer.
func (h *hosts) inHand(run string, p *host) (tokens map[string]string, ok bool) {
	var mu sync.Mutex
	tokens = map[string]string{}
	has := func(id, token string, pid int) {
		mu.Lock()
		defer mu.Unlock()
		if token != "" && pid == p.cmd.Process.Pid {
			tokens[id] = token
		}
	}
	var looks errgroup.Group
	for _, c := range h.conns {
		looks.Go(func() error {
			doc, err := checkpoint.LoadConn(h.t.Context(), h.conn.Stores().Runs, run, c.id)
			if err == nil && doc.Value().State == checkpoint.ConnRunning {
				has(c.id, doc.Value().Owner, doc.Value().PID)
			}
			return err
		})
	}
	for _, id := range []string{"book", "each", "hook"} {
		looks.Go(func() error {
			rec, err := checkpoint.NewRecords(h.conn.Stores().Checkpoints).Load(h.t.Context(), run, id)
			if err == nil {
				has(id, rec.Token, rec.PID)
			}
			return err
		})
	}
	return tokens, looks.Wait() == nil
}

// takenOver reports whether others have what a process had in hand: the run, its connections, its files. What is to be
// sent is in the spool of its host, and waits for that.
func (h *hosts) takenOver(run string, victim *host, token string, hand map[string]string) bool {
	rec, err := h.run(run)
	if err != nil || rec.State == pipeline.RunRunning && rec.Owner.Token == token {
		return false
	}
	now, ok := h.inHand(run, victim)
	for id, at := range hand {
		ok = ok && (id == "hook" || now[id] != at && h.claimed(run, id))
	}
	return ok
}

// claimed reports whether some process has a destination, or is done with it; of a connection it is true.
func (h *hosts) claimed(run, id string) bool {
	if id != "book" && id != "each" {
		return true
	}
	rec, err := checkpoint.NewRecords(h.conn.Stores().Checkpoints).Load(h.t.Context(), run, id)
	return err == nil && (rec.Token != "" || rec.Ended())
}

// leasesPass waits until the other processes have renewed their leases so often that one has passed.
func (h *hosts) leasesPass() {
	h.t.Helper()
	other := h.procs[pipeline.RoleQuery][0]
	key := checkpoint.ProcessKey(h.known(other, ""))
	last, renewals := uint64(0), 0
	await(h.t, "renewals of a lease", time.Minute, func() bool {
		e, err := h.conn.Stores().Runs.Get(h.t.Context(), key)
		if err == nil && e.Revision != last {
			last = e.Revision
			renewals++
		}
		return renewals > 6 // each is a third of one, and some come earlier
	})
}

// renew has the target forget what it has got.
func (to *target) renew(t *testing.T) {
	t.Helper()
	r, err := receiver.New(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	to.mu.Lock()
	defer to.mu.Unlock()
	to.Receiver = r
}
