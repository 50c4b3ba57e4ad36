//go:build netsplit

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fanmill/internal/soak"
	"fanmill/pipeline"
)

// netsplitLease is the lease of the processes, as serve has it by itself.
const netsplitLease = 15 * time.Second

// partition is what happens to the network in the middle of a run, for longer than two leases.
type partition struct {
	what  string
	role  string // of the process that it takes from the others; "" is none
	store bool   // it takes a node of the store from the others
	cut   func(n *netSwitch, victim string, node int)
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i%clusterNodes) }

const clusterNodes = 3

// alone has a process reach nobody.
func alone(n *netSwitch, victim string, _ int) { n.cut([]string{victim}, n.others(victim)) }

// partitions are all kinds.
var partitions = []partition{
	{"a host that asks is alone", pipeline.RoleQuery, false, alone},
	{"a host that writes is alone", pipeline.RoleSink, false, alone},
	{"the host that coordinates is alone", pipeline.RoleCoordinator, false, alone},
	{"a node of the store is alone", "", true, func(n *netSwitch, _ string, node int) { n.cut([]string{nodeName(node)}, n.others(nodeName(node))) }},
	{"a host of each role and a node are on one side, all others on the other", pipeline.RoleCoordinator, true, func(n *netSwitch, victim string, node int) {
		number := victim[strings.LastIndexByte(victim, '-'):]
		side := []string{nodeName(node), pipeline.RoleCoordinator + number, pipeline.RoleQuery + number, pipeline.RoleSink + number}
		n.cut(side, n.others(side...))
	}},
	{"a host that asks reaches only a node that reaches no other", pipeline.RoleQuery, true, func(n *netSwitch, victim string, node int) {
		side := []string{nodeName(node), victim}
		n.cut(side, n.others(side...))
	}},
	{"two nodes of the store do not reach each other", "", true, func(n *netSwitch, _ string, node int) {
		n.cut([]string{nodeName(node)}, []string{nodeName(node + 1)})
	}},
	{"what a host that writes sends arrives, and it hears nothing", pipeline.RoleSink, false, func(n *netSwitch, victim string, _ int) {
		n.lose(n.others(victim), []string{victim})
	}},
	{"what a host that asks sends is lost, and it hears everything", pipeline.RoleQuery, false, func(n *netSwitch, victim string, _ int) {
		n.lose([]string{victim}, n.others(victim))
	}},
}

// Runs are done by processes of different roles over a NATS cluster, each on a host of its own. In each run the network
// is cut for longer than two leases, and heals. FANMILL_NETSPLIT_DELAY is what a packet between two hosts takes; a
// write to the store is up to six of them, from a node to its leader and from there to the others. Each run ends
// complete, and what it writes and sends is exact. Nothing is asked again whose eof was in the row log, and nothing at
// all but what a process had in hand that asks and was cut off. What a process had in hand that was cut off is taken
// over within two leases, where the store has all its nodes.
func TestNetworkSplits(t *testing.T) {
	n := newNetSwitch(t)
	on := &premises{address: n.ports[0].address(), coordinators: 2, lease: netsplitLease, move: n.move}
	nodes := n.nodes()
	for _, host := range []string{"coordinator-0", "coordinator-1", "query-0", "query-1", "sink-0", "sink-1"} {
		n.join(host)
	}
	on.urls = strings.Join(nodes.urls, ",")
	nodes.whole()
	h := newHosts(t, on, 24)
	defer func() {
		if t.Failed() {
			t.Log(h.said())
		}
	}()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("FANMILL_NETSPLIT_SEED"), 10, 64); err == nil {
		seed = given
	}
	delay, _ := time.ParseDuration(os.Getenv("FANMILL_NETSPLIT_DELAY"))
	t.Logf("FANMILL_NETSPLIT_SEED=%d FANMILL_NETSPLIT_DELAY=%s", seed, delay)
	random := rand.New(rand.NewPCG(seed, 8))
	for i := range soak.Rounds(len(partitions), 5*len(partitions)) {
		n.slow(delay)
		h.split(n, nodes, fmt.Sprintf("round-%d", i+1), partitions[i%len(partitions)], random)
		if t.Failed() {
			return
		}
	}
}

// split has one run, over a network that is cut in the middle of it.
func (h *hosts) split(n *netSwitch, nodes *netNodes, run string, p partition, random *rand.Rand) {
	h.t.Helper()
	free := 4 + random.IntN(12)
	held := h.conns[free:]
	h.hold(held)
	h.askedSince()
	h.targets["hook"].renew(h.t)
	began := time.Now()
	h.trigger("gst", exitComplete, "--id", run, "--nats", h.on.urls)
	victim := h.cutOff(run, p.role, held, random)
	token := h.known(victim, "")
	node := random.IntN(clusterNodes)
	struck := time.Now()
	p.cut(n, victim.name, node)
	logged, before := h.logged(run), h.counts()
	var hand map[string]string
	await(h.t, "a look at what is in hand", time.Minute, func() (ok bool) {
		hand, ok = h.inHand(run, victim)
		return ok
	})
	h.t.Logf("%s: %s (%s, %s), delay %s; after %s %d logged, in hand %v", run, p.what, victim.name, nodeName(node), n.delay, struck.Sub(began).Round(time.Millisecond), len(logged), hand)
	h.letGo(held)
	if p.role != "" {
		await(h.t, fmt.Sprintf("a takeover of %v in %s", hand, run), roundPatience, func() bool { return h.takenOver(run, victim, token, hand) })
	}
	took := time.Since(struck)
	if p.role != "" && !p.store && took > 2*netsplitLease {
		h.t.Errorf("%s: taken over after %s, which is more than two leases of %s", run, took, netsplitLease)
	}
	<-time.After(time.Until(struck.Add(2*netsplitLease + time.Second))) // it is the fault that lasts so long
	n.heal()
	healed := time.Now()
	await(h.t, "the end of "+run, roundPatience, func() bool {
		rec, err := h.run(run)
		return err == nil && rec.State != pipeline.RunRunning && rec.State != pipeline.RunInterrupted
	})
	if rec, err := h.run(run); err != nil || rec.State != pipeline.RunComplete {
		h.t.Fatalf("%s is %s: %v", run, rec.State, err)
	}
	if p.role != "" {
		h.t.Logf("%s: taken over after %s", run, took.Round(time.Millisecond))
	}
	h.t.Logf("%s: complete %s after the network was whole", run, time.Since(healed).Round(time.Millisecond))
	h.exact()
	for id, n := range h.counts() {
		switch {
		case logged[id] && n > before[id]:
			h.t.Errorf("%s: %s was asked again, and its eof was in the row log", run, id)
		case n > 1 && !(p.role == pipeline.RoleQuery && hand[id] != "") && !p.store:
			h.t.Errorf("%s: %s was asked %d times, and no process was cut off that asked it", run, id, n)
		}
	}
	for _, all := range h.procs {
		for _, p := range all {
			h.known(p, "")
		}
	}
	nodes.whole()
}

// cutOff is victim, or any process where none is to be one; of those that coordinate the one that has the run.
func (h *hosts) cutOff(run, role string, held []worldConn, random *rand.Rand) *host {
	h.t.Helper()
	if role == "" {
		role = pipeline.RoleQuery
	}
	victim := h.victim(run, role, held, random)
	if role != pipeline.RoleCoordinator {
		return victim
	}
	await(h.t, "the owner of "+run, time.Minute, func() bool {
		rec, err := h.run(run)
		for _, p := range h.procs[role] {
			if err == nil && rec.Owner.PID == p.cmd.Process.Pid {
				victim = p
				return true
			}
		}
		return false
	})
	return victim
}

// netNodes are the nodes of a NATS cluster, each on a host of its own.
type netNodes struct {
	t       *testing.T
	urls    []string
	monitor []string
}

// nodes starts a cluster.
func (n *netSwitch) nodes() *netNodes {
	n.t.Helper()
	c := &netNodes{t: n.t}
	var addresses, routes []string
	for i := range clusterNodes {
		address := n.join(nodeName(i))
		addresses = append(addresses, address)
		routes = append(routes, "nats://"+address+":6222")
		c.urls = append(c.urls, "nats://"+address+":4222")
		c.monitor = append(c.monitor, "http://"+address+":8222")
	}
	dir := n.t.TempDir()
	for i, address := range addresses {
		conf := filepath.Join(dir, nodeName(i)+".conf")
		text, err := json.MarshalIndent(object{"server_name": nodeName(i), "listen": address + ":4222", "http": address + ":8222", "max_payload": 8 << 20,
			"log_file": conf + ".log", "jetstream": object{"store_dir": filepath.Join(dir, nodeName(i))},
			"cluster": object{"name": "test", "listen": address + ":6222", "routes": routes}}, "", "  ")
		if err == nil {
			err = os.WriteFile(conf, text, 0o600)
		}
		self, err2 := os.Executable()
		if err != nil || err2 != nil {
			n.t.Fatal(err, err2)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "FANMILL_TEST_NATS="+conf)
		n.move(nodeName(i), cmd)
		if err := cmd.Start(); err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	return c
}

// whole waits until all nodes say that they have what the others have, and one of them leads.
func (c *netNodes) whole() {
	c.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	get := func(url string, into any) bool {
		r, err := client.Get(url)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK && json.NewDecoder(r.Body).Decode(into) == nil
	}
	await(c.t, "a whole NATS cluster", time.Minute, func() bool {
		for _, m := range c.monitor {
			var health struct{ Status string }
			var state struct {
				Meta struct {
					Leader string `json:"leader"`
					Size   int    `json:"cluster_size"`
				} `json:"meta_cluster"`
			}
			if !get(m+"/healthz", &health) || health.Status != "ok" || !get(m+"/jsz", &state) || state.Meta.Leader == "" || state.Meta.Size != clusterNodes {
				return false
			}
		}
		return true
	})
}
