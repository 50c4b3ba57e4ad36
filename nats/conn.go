// Package nats is everything of fanmill that knows NATS: the embedded server and the folder it keeps its data in, the
// streams and buckets, the row log, the key-value stores, and the Watermill bus. It implements the interfaces of
// package pipeline over github.com/nats-io/nats.go/jetstream; nobody else in the module imports nats.go.
//
// A Conn is either embedded (a data folder, shared by the processes of one machine: the one that holds the folder's
// OS lock runs the server, the others connect to it and take over when it ends) or external (a URL). What is above a
// Conn cannot tell which.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	callTimeout = 10 * time.Second // of a request without a deadline of its own
	openTimeout = 30 * time.Second // of Open without a deadline: time for another process to start its server
	maxPayload  = 8 << 20          // bytes of a message on the embedded server
	headerRoom  = 16 << 10         // bytes of a message kept for headers and subject
	// A server that leaves three pings without an answer is taken as gone. Of several one that has lost its network must
	// be left before the lease of a process has passed; of a single one, the embedded, there is no other to go to, and
	// who holds it may be busy, or stand still.
	pingInterval         = 20 * time.Second
	externalPingInterval = 4 * time.Second
	maxReconnectIn       = time.Second
)

// Options says where the store is.
type Options struct {
	DataDir string // folder of the embedded server; DefaultDataDir if empty. Not used with Access.
	Access  Access // to external servers; without one, runs or joins the embedded one
	// Guest is for who reads, or asks those who serve: on external servers nothing is made and no permission asked
	// for before it is needed.
	Guest bool
	// Worker is for who works on what others coordinate: on external servers nothing is made, and Open waits, as long as
	// ctx allows, for a coordinator to have made it.
	Worker bool
	// Name is what operators see in `nats server report connections`; "fanmill" if empty.
	Name string
	// NoSync lets the embedded server acknowledge before its data is on disk. Only for tests that do not crash.
	NoSync bool
	// MaxStore bounds what the embedded server stores and reserves, in bytes; three quarters of the free disk if 0.
	MaxStore int64
	free     func(dir string) (bytes int64, ok bool) // of a disk; tests have their own
	Replicas int                                     // of streams on an external cluster; 0 is three where there are three nodes, else one
	Log      *slog.Logger
}

// Conn is a connection to the store. It reconnects by itself; calls wait for that within their deadline.
type Conn struct {
	opts     Options
	log      *slog.Logger
	nc       *nats.Conn
	js       jetstream.JetStream
	link     *link
	host     *host // nil when external
	storeID  string
	replicas int
	stores   pipeline.Stores
	root     context.Context // ends with Close
	stop     context.CancelFunc
	work     sync.WaitGroup // the goroutines of watches and subscribers
	refused  refusals
	said     atomic.Pointer[string] // the last error of the connection that was logged since it came up

	born map[string]time.Time // when the buckets were made that this connection found, or made: what the store is known by

	mu       sync.Mutex
	logs     map[string]*room   // by stream: publishers that wait for space and the trims that wake them
	failures map[string]failure // by stream
}

// DefaultDataDir is the user's local application-data folder for fanmill: what is in it stays on this machine.
func DefaultDataDir() (string, error) {
	switch runtime.GOOS {
	case "windows":
		if d := os.Getenv("LOCALAPPDATA"); d != "" {
			return filepath.Join(d, "fanmill"), nil
		}
		return "", errors.New("find the data folder: LOCALAPPDATA is not set; name a folder with --data")
	case "darwin":
	default:
		if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
			return filepath.Join(d, "fanmill"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the data folder: %w; name one with --data", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "fanmill"), nil
	}
	return filepath.Join(home, ".local", "share", "fanmill"), nil
}

// Open connects to the store, starting the embedded server if no other process has, and makes the streams and buckets
// that are missing, unless it is for a guest or a worker.
func Open(ctx context.Context, o Options) (*Conn, error) {
	waiting := ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openTimeout)
		defer cancel()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = "fanmill"
	}
	c := &Conn{opts: o, log: o.Log, link: newLink(), replicas: 1, logs: map[string]*room{}, failures: map[string]failure{}, born: map[string]time.Time{}}
	c.root, c.stop = context.WithCancel(context.Background())
	c.refused.alone.Store(true)
	c.said.Store(new(string))
	var err error
	if o.Access.External() {
		err = c.openExternal(ctx)
	} else {
		err = c.openEmbedded(ctx)
	}
	switch {
	case err != nil:
	case o.Guest && c.External():
		c.lookAt()
	case c.worker():
		err = c.findStores(waiting)
	default:
		err = c.ensureStreams(ctx)
	}
	c.refused.alone.Store(o.Guest)
	if err != nil {
		if c.host != nil && c.nc != nil {
			err = c.host.atStart(err)
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutPatience)
		defer cancel()
		return nil, errors.Join(err, c.Close(closing))
	}
	return c, nil
}

// clientOptions are those of every connection.
func (c *Conn) clientOptions() []nats.Option {
	ping := pingInterval
	if c.opts.Access.External() {
		ping = externalPingInterval
	}
	return []nats.Option{
		nats.Name(c.opts.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(time.Duration(attempts)*20*time.Millisecond, maxReconnectIn)
		}),
		// Nothing is sent behind a caller's back after a reconnect: every call decides for itself whether to try again.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(ping),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.link.down()
			if c.root.Err() == nil {
				c.log.Info("connection to NATS lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			if c.host != nil && nc.ConnectedServerName() != c.host.serverName() {
				c.log.Warn("another server answers at the data folder's address", "server", nc.ConnectedServerName())
				_ = nc.ForceReconnect()
				return
			}
			c.log.Info("connected to NATS again", "server", nc.ConnectedServerName())
			c.refused.forget()
			c.said.Store(new(string))
			c.link.up()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				if !c.refused.tell(err) { // whoever waits for it says it
					c.log.Warn(newRefusal(err).Error())
				}
				return
			}
			text := err.Error()
			if notLetIn(err) {
				text = "not let in" // whichever of the reasons
			}
			switch {
			case s != nil:
				c.log.Warn("NATS client", "subject", s.Subject, "error", err)
			case *c.said.Swap(&text) == text: // at every try to connect
			case notLetIn(err):
				c.log.Error("NATS does not let in "+c.opts.Access.who()+" any more; trying again until it does, with what its files hold then", "error", err)
			default:
				c.log.Warn("NATS client", "error", err)
			}
		}),
	}
}

// connected finishes what every kind of connection needs.
func (c *Conn) connected(nc *nats.Conn) error {
	c.nc = nc
	var js jetstream.JetStream
	var err error
	if domain := c.opts.Access.Domain.Value; domain != "" {
		js, err = jetstream.NewWithDomain(nc, domain, jetstream.WithDefaultTimeout(callTimeout))
	} else {
		js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	}
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	c.js = js
	c.link.up()
	return nil
}

// StoreID tells this store from every other: it stays through restarts and is the same for all who share the store.
func (c *Conn) StoreID() string { return c.storeID }

// External reports whether the store is on servers that fanmill does not run.
func (c *Conn) External() bool { return c.host == nil }

// worker reports whether this connection is for somebody who makes nothing.
func (c *Conn) worker() bool { return c.opts.Worker && c.External() }

// Stores are the buckets fanmill keeps its state in.
func (c *Conn) Stores() pipeline.Stores { return c.stores }

// CLI is a command of the nats CLI, ready to paste, that looks at this store: args is a subcommand such as "stream
// ls". It never has a password in it; where one is needed, a note behind it says where to put it.
func (c *Conn) CLI(args string) string {
	if c.host != nil {
		return "nats --context " + shellQuote(c.host.contextFile()) + " " + args
	}
	cmd, note := c.opts.Access.cli()
	if note != "" {
		note = " (" + note + ")"
	}
	return cmd + " " + args + note
}

func shellQuote(s string) string {
	if strings.ContainsAny(s, " \t'&;()$*?<>|\"") {
		return `"` + s + `"`
	}
	return s
}

// Close ends what still runs on this connection (watches, subscribers, readers) and waits for it. If this process runs
// the embedded server, the server ends too, with everything on disk; another process that shares the folder takes over.
func (c *Conn) Close(ctx context.Context) error {
	c.stop()
	done := make(chan struct{})
	go func() { c.work.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("close the store: %w", context.Cause(ctx))
	}
	if c.host != nil {
		c.host.stop() // what goes down from here on is not to be taken over by this process
	}
	if c.nc != nil {
		if c.nc.IsConnected() { // acknowledgements that are still in the buffer
			flush, cancel := context.WithTimeout(ctx, time.Second)
			_ = c.nc.FlushWithContext(flush)
			cancel()
		}
		c.nc.Close()
	}
	c.link.down()
	if c.host != nil {
		err = errors.Join(err, c.host.close())
	}
	return err
}
