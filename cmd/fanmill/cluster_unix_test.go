//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// cluster is three NATS servers in the test's process. Each can be stopped, and started again at its address with what
// it has stored.
type cluster struct {
	t     *testing.T
	nodes []*natsserver.Server
	as    []*natsserver.Options
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var routes []string
	for i := range 3 {
		o := &natsserver.Options{ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(),
			MaxPayload: 8 << 20, NoSigs: true, NoLog: true, Cluster: natsserver.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: freePort(t)}}
		c.as = append(c.as, o)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", o.Cluster.Port))
	}
	for _, o := range c.as {
		o.Routes = natsserver.RoutesFromStr(strings.Join(routes, ","))
	}
	c.nodes = make([]*natsserver.Server, len(c.as))
	for i := range c.as {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	c.whole()
	return c
}

// freePort is a port that no system gives to outgoing connections: it is still free after a server was stopped.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.IntN(12_000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// urls is what --nats takes.
func (c *cluster) urls() string {
	var all []string
	for _, o := range c.as {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(all, ",")
}

func (c *cluster) start(i int) {
	c.t.Helper()
	s, err := natsserver.NewServer(c.as[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	c.nodes[i] = s
	if !s.ReadyForConnections(time.Minute) {
		c.t.Fatalf("NATS server %d does not start", i)
	}
}

func (c *cluster) stop(i int) {
	c.nodes[i].Shutdown()
	c.nodes[i].WaitForShutdown()
}

// whole waits until all three have a leader, and have caught up with it.
func (c *cluster) whole() {
	c.t.Helper()
	await(c.t, "a whole NATS cluster", time.Minute, func() bool {
		led := false
		for _, s := range c.nodes {
			if !s.JetStreamIsCurrent() {
				return false
			}
			led = led || s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(c.nodes)
		}
		return led
	})
}

// await returns when something has happened, which it looks for again and again.
func await(t *testing.T, what string, within time.Duration, happened func() bool) {
	t.Helper()
	deadline, look := time.After(within), time.NewTicker(20*time.Millisecond)
	defer look.Stop()
	for !happened() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("within %s there is not: %s", within, what)
		}
	}
}
