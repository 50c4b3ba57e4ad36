package nats_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"fanmill/nats"
	"fanmill/pipeline"
)

// at is a server by its URL alone.
func at(url string) nats.Access { return nats.Access{URL: nats.Given{Value: url, By: "--nats"}} }

// serve runs servers as an operator would; with more than one they form a cluster.
func serve(t *testing.T, n int, jetstream bool) (url string) {
	t.Helper()
	routes := freeRoutes(t, n)
	var servers []*server.Server
	for i := range n {
		servers = append(servers, serveMember(t, i, routes, jetstream))
	}
	clusterOf(t, servers)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	return strings.Join(urls, ",")
}

// freeRoutes are addresses for n servers to find each other: each must know the others' beforehand.
func freeRoutes(t *testing.T, n int) (routes []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, "nats://"+l.Addr().String())
		_ = l.Close()
	}
	return routes
}

// serveMember starts the server of the i-th route; a cluster is where there are several.
func serveMember(t *testing.T, i int, routes []string, jetstream bool) *server.Server {
	t.Helper()
	o := &server.Options{ServerName: fmt.Sprintf("s%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: jetstream, StoreDir: t.TempDir(), MaxPayload: 1 << 20}
	if len(routes) > 1 {
		port, _ := strconv.Atoi(routes[i][strings.LastIndexByte(routes[i], ':')+1:])
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("server not ready")
	}
	return s
}

// clusterOf waits until these servers, and no others, are a cluster.
func clusterOf(t *testing.T, servers []*server.Server) {
	t.Helper()
	if len(servers) == 1 {
		return
	}
	eventually(t, "the cluster has a leader", func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(servers) {
				return true
			}
		}
		return false
	})
}

// A single external server stores as the embedded one does, and is the same store to all who name it.
func TestExternal(t *testing.T) {
	url := serve(t, 1, true)
	openAt := func() *nats.Conn {
		c, err := nats.Open(within(t), nats.Options{Access: at(url)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut(t, c) })
		return c
	}
	a, b := openAt(), openAt()
	if !a.External() || a.StoreID() == "" || a.StoreID() != b.StoreID() || a.Replicas() != 1 {
		t.Errorf("stores %q and %q, %d replicas", a.StoreID(), b.StoreID(), a.Replicas())
	}
	l := newLog(t, a, "r", 16<<20)
	if l.MaxBody() >= 1<<20 || l.MaxBody() < 900_000 {
		t.Errorf("MaxBody %d with a server that takes 1 MiB", l.MaxBody())
	}
	publish(t, l, rows("a", 1, l.MaxBody()))
	lb, err := b.RowLogs().Open(within(t), "r", 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := lb.Reader(within(t), "csv", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read(t, r, 1, 100_000)
}

// Where there are three nodes everything is stored three times.
func TestClusterHasThreeReplicas(t *testing.T) {
	c, err := nats.Open(within(t), nats.Options{Access: at(serve(t, 3, true))})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, c)
	l := newLog(t, c, "r", 1<<20)
	publish(t, l, rows("a", 1, 1000))
	if f, err := l.LastFrame(within(t), "a", 1); err != nil || f == nil || f.Number != 1 {
		t.Errorf("last frame %+v, %v", f, err)
	}
	rev, err := c.Stores().Runs.Create(within(t), "k", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stores().Runs.Update(within(t), "k", []byte("2"), rev+1); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("an update at a revision that never was: %v", err)
	}
	if c.Replicas() != 3 {
		t.Errorf("%d replicas on three nodes", c.Replicas())
	}
	fencesInCluster(t, l)
}

// fencesInCluster holds what nats-server does with fences where a log has replicas: a repeated frame is a duplicate,
// and found by that, also when its attempt is fenced; of a frame and its fence that are stored at once, nothing follows
// the fence.
func fencesInCluster(t *testing.T, l pipeline.RowLog) {
	t.Helper()
	first := sure(l.Append(within(t), rows("b", 1, 1000)))(t)
	if again := sure(l.Append(within(t), rows("b", 1, 1000)))(t); again != first {
		t.Errorf("sent again it is at %d, was at %d", again, first)
	}
	zombie := make(chan error, 1)
	go func() {
		for n := uint64(2); ; n++ {
			if _, err := l.Append(within(t), rows("b", n, 1000)); err != nil {
				zombie <- err
				return
			}
		}
	}()
	if err := l.Fence(within(t), "b", 2); err != nil {
		t.Fatal(err)
	}
	last := sure(l.LastFrame(within(t), "b", 1))(t)
	if err := <-zombie; !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("the fenced attempt ends with %v", err)
	}
	if f := sure(l.LastFrame(within(t), "b", 1))(t); f.Seq != last.Seq {
		t.Errorf("frame %d was stored behind the fence", f.Number)
	}
	if again := sure(l.Append(within(t), rows("b", last.Number, 1000)))(t); again != last.Seq {
		t.Errorf("the last frame before the fence, sent again, is at %d, was at %d", again, last.Seq)
	}
	second := rows("b", 0, 1000)
	second.Attempt = 2
	sure(l.Append(within(t), second))(t)
}

// What was made while nodes were away is stored once, and three times as soon as there are as many; what somebody
// made with one copy is left so.
func TestCopiesAreMadeUpFor(t *testing.T) {
	routes := freeRoutes(t, 3)
	servers := []*server.Server{serveMember(t, 0, routes[:2], true), serveMember(t, 1, routes[:2], true)}
	clusterOf(t, servers)
	copies := func() map[string]int {
		t.Helper()
		c, err := nats.Open(within(t), nats.Options{Access: at(servers[0].ClientURL())})
		if err != nil {
			t.Fatal(err)
		}
		defer shut(t, c)
		list, err := c.StreamReplicas(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	all := func(n int) map[string]int {
		return map[string]int{"FANMILL_JOBS": n, "FANMILL_WORK": n, "FANMILL_TRIGGERS": n, "FANMILL_EVENTS": n, "FANMILL_DEAD": n, "KV_fanmill_jobs": n, "KV_fanmill_runs": n, "KV_fanmill_checkpoints": n}
	}
	for range 2 { // no more at the second start than at the first
		if got, want := copies(), all(1); !maps.Equal(got, want) {
			t.Fatalf("on two nodes the copies are %v, want %v", got, want)
		}
	}
	servers = append(servers, serveMember(t, 2, routes, true))
	clusterOf(t, servers)
	eventually(t, "three copies of each", func() bool { return maps.Equal(copies(), all(3)) }) // where the new node is known
	c, err := nats.Open(within(t), nats.Options{Access: at(servers[0].ClientURL())})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReplicas(within(t), "FANMILL_EVENTS", 1); err != nil {
		t.Fatal(err)
	}
	shut(t, c)
	if n := copies()["FANMILL_EVENTS"]; n != 1 {
		t.Errorf("what somebody keeps once is stored %d times", n)
	}
}

// A server that cannot serve says why and what to do.
func TestExternalRefusals(t *testing.T) {
	_, err := nats.Open(within(t), nats.Options{Access: at(serve(t, 1, false))})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "-js") {
		t.Errorf("without JetStream: %v", err)
	}
	_, err = nats.Open(within(t), nats.Options{Access: at("nats://joe:secret@127.0.0.1:1")})
	if err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
	for version, good := range map[string]bool{"2.11.0": true, "2.11": true, "2.10.29": false, "v2.15.2-RC.1": true, "3.0.1": true, "2.9.25": false, "1.4.1": false,
		"": false, "2": false, "two.ten": false} {
		if err := nats.CheckVersion(version); (err == nil) != good {
			t.Errorf("version %q: %v", version, err)
		}
	}
	if got := nats.Redact("nats://u:p@a:1,tls://token@b:2,nats://c"); got != "nats://u:xxxxx@a:1,tls://xxxxx@b:2,nats://c" {
		t.Errorf("redacted: %s", got)
	}
}
