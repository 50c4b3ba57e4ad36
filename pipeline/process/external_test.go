package process_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"fanmill/nats"
	"fanmill/pipeline"
)

// cluster is a NATS of several servers, each of which can be stopped and started again.
type cluster struct {
	t       *testing.T
	options []*server.Options
	servers []*server.Server
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, servers: make([]*server.Server, n)}
	var routes []string
	port := func() int { // one that is free: it must be known beforehand, and stay
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	for i := range n {
		o := &server.Options{ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: port(), NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port()}
			routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(o.Cluster.Port))
		}
		c.options = append(c.options, o)
	}
	for i, o := range c.options {
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.stop(i)
		}
	})
	for i := range c.servers {
		if !c.servers[i].ReadyForConnections(20 * time.Second) {
			t.Fatal("server not ready")
		}
	}
	c.ready()
	return c
}

func (c *cluster) start(i int) {
	s, err := server.NewServer(c.options[i])
	if err != nil {
		c.t.Error(err)
		return
	}
	c.servers[i] = s
	go s.Start()
}

func (c *cluster) stop(i int) {
	c.servers[i].Shutdown()
	c.servers[i].WaitForShutdown()
}

// leads is the server that leads a stream; -1 if none does.
func (c *cluster) leads(stream string) int {
	for i, s := range c.servers {
		if s.JetStreamIsStreamLeader("$G", stream) {
			return i
		}
	}
	return -1
}

func (c *cluster) url() string {
	var urls []string
	for _, o := range c.options {
		urls = append(urls, "nats://127.0.0.1:"+strconv.Itoa(o.Port))
	}
	return strings.Join(urls, ",")
}

// ready waits until every server can be given its copy of a stream.
func (c *cluster) ready() {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := nats.Open(c.t.Context(), nats.Options{Access: nats.Access{URL: nats.Given{Value: c.url()}}, Replicas: len(c.servers)})
		if err == nil {
			if err = conn.Close(context.Background()); err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the servers are not ready: %v", err)
		}
	}
}

// A run goes on when its external NATS server is restarted under it, and when a cluster loses the server that leads
// its streams.
func TestRunOutlivesItsServers(t *testing.T) {
	servers := map[string]int{"one": 1, "three": 3}
	if testing.Short() {
		delete(servers, "three")
	}
	for name, n := range servers {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, n)
			w := newWorldAt(t, 8*mb, nats.Options{Access: nats.Access{URL: nats.Given{Value: c.url()}}, Replicas: n})
			reached, gone := make(chan struct{}), make(chan struct{})
			reachedOnce := sync.OnceFunc(func() { close(reached) }) // however often it is asked
			long := of(60, 64<<10)
			long.before = func(ctx context.Context, _, _, row int) error {
				if row == 30 {
					reachedOnce()
					<-gone
				}
				return ctx.Err()
			}
			w.connect("long", long)
			for i := range 8 {
				w.connect(fmt.Sprint("b", i), of(20, 16<<10))
			}
			w.node.Parallel = 2
			w.deliverTo("x", "y")
			var over sync.WaitGroup
			over.Go(func() { // electing new leaders takes a cluster some seconds, for each stream
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				if out, err := w.node.Run(ctx, w.definition(), pipeline.Trigger{}); err != nil || out.State != pipeline.RunComplete {
					t.Errorf("the run: %v, %v", out, err)
				}
			})
			<-reached
			w.until(pipeline.EventCommitted, "")
			victim := 0
			if n > 1 {
				victim = c.leads("FANMILL_ROWS_" + w.lastRun() + "_1")
			}
			c.stop(victim)
			close(gone)
			if n == 1 {
				c.start(victim)
			}
			over.Wait()
			ids := []string{"long"}
			for i := range 8 {
				ids = append(ids, fmt.Sprint("b", i))
			}
			w.exact("x", ids...)
			w.exact("y", ids...)
		})
	}
}
