package nats

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"fanmill/pipeline"
	"fanmill/pipeline/oslock"
)

const (
	dialTimeout = 2 * time.Second
	lockPoll    = 25 * time.Millisecond // between looks at a lock that another process holds
	memoryStore = 256 << 20             // bytes of JetStream's memory storage: reader positions only
)

// host is this process's share in an embedded store. The holder of the folder's lock runs the server; the others dial
// it and, when it is gone, try for the lock: one of them gets it, starts the server, and everybody reconnects. A
// holder that closes therefore does not wait for the others, and they lose a fraction of a second, not their runs.
type host struct {
	dir  folder
	c    *Conn
	stop context.CancelFunc
	done chan struct{}

	srv      atomic.Pointer[server.Server] // runs in this process
	starting atomic.Bool                   // is about to

	mu    sync.Mutex
	id    identity
	lock  *os.File        // not nil while held
	dying <-chan struct{} // closes when the server before has ended

	ailment chan string            // what the server says that keeps it from storing
	illness atomic.Pointer[string] // the same for people, until it is cured
	cured   time.Time              // when it was last started anew
	low     bool                   // the disk is full, and the log says so
	free    func(dir string) (bytes int64, ok bool)
}

func (c *Conn) openEmbedded(ctx context.Context) error {
	dir := c.opts.DataDir
	if dir == "" {
		var err error
		if dir, err = DefaultDataDir(); err != nil {
			return err
		}
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("open the data folder: %w; --data or FANMILL_DATA names another one", err)
	}
	h := &host{dir: folder(dir), c: c, done: make(chan struct{}), ailment: make(chan string, 1), free: c.opts.free}
	if h.free == nil {
		h.free = freeBytes
	}
	c.host = h
	var keep context.Context
	keep, h.stop = context.WithCancel(context.Background())
	nc, err := h.join(ctx)
	if err != nil {
		close(h.done)
		return h.atStart(err)
	}
	if err := c.connected(nc); err != nil {
		close(h.done)
		return err
	}
	c.storeID = h.id.ID
	go h.keep(keep)
	return nil
}

// join connects to the server of the folder, starting it if nobody has.
func (h *host) join(ctx context.Context) (*nats.Conn, error) {
	for {
		if _, err := h.tryHold(ctx); err != nil {
			return nil, err
		}
		id, err := h.dir.identity(false)
		if err == nil {
			h.mu.Lock()
			if h.id.ID == "" {
				h.id = id
			}
			h.mu.Unlock()
			var nc *nats.Conn
			nc, err = nats.Connect("nats://127.0.0.1", append(h.c.clientOptions(),
				nats.UserInfo(id.User, id.Password), nats.SetCustomDialer(h), nats.IgnoreDiscoveredServers())...)
			if err == nil {
				if nc.ConnectedServerName() == h.serverName() {
					return nc, nil
				}
				err = fmt.Errorf("another server answers there: %s", nc.ConnectedServerName())
				nc.Close()
			}
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			var a address
			_ = h.dir.read("server.json", &a)
			return nil, fmt.Errorf("data folder %s is in use by process %d, whose NATS server does not answer at %q: "+
				"end that process, or name another folder with --data: %w", h.dir, a.PID, a.Host, errors.Join(ctx.Err(), err))
		}
	}
}

// keep takes the server over whenever it is gone, and cures the one that runs here.
func (h *host) keep(ctx context.Context) {
	defer close(h.done)
	looks := time.NewTicker(diskLook)
	defer looks.Stop()
	for ctx.Err() == nil {
		alive, change := h.c.link.state()
		if alive {
			select {
			case <-change:
			case cause := <-h.ailment:
				h.cure(ctx, cause)
			case <-looks.C:
				h.look()
			case <-ctx.Done():
			}
			continue
		}
		pause := lockPoll
		if _, err := h.tryHold(ctx); err != nil && ctx.Err() == nil {
			h.c.log.Error("take over the embedded NATS server", "folder", string(h.dir), "error", err)
			pause = time.Second
		}
		select {
		case <-change:
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// tryHold takes the lock and starts the server, unless this process or another one holds it.
func (h *host) tryHold(ctx context.Context) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lock != nil {
		return true, nil
	}
	f, err := os.OpenFile(h.dir.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, fmt.Errorf("open the data folder: %w; --data or FANMILL_DATA names another one", err)
	}
	held, err := oslock.Try(f)
	if !held {
		_ = f.Close()
		return false, err
	}
	if h.id.ID == "" { // written once: it is read without the lock from then on
		h.id, err = h.dir.identity(true)
	}
	if err == nil {
		h.starting.Store(true)
		var srv *server.Server
		if srv, err = h.start(ctx); err == nil {
			h.srv.Store(srv)
		}
		h.starting.Store(false)
	}
	if err != nil {
		_ = f.Close()
		return false, fmt.Errorf("start the embedded NATS server in %s: %w", h.dir, err)
	}
	h.lock = f
	return true, nil
}

func (h *host) serverName() string { return "fanmill-" + h.id.ID }

// start runs the server and tells the others where.
func (h *host) start(ctx context.Context) (*server.Server, error) {
	log := &serverLog{log: h.c.log.With("component", "nats-server"), fatal: make(chan string, 1), host: h}
	for _, port := range h.ports() {
		srv, err := server.NewServer(&server.Options{
			ServerName: h.serverName(),
			Host:       "127.0.0.1",
			Port:       port,
			// The folder holds the password in the clear, for its owner alone; the server need not warn of that.
			CustomClientAuthentication: doorman(h.id),
			MaxPayload:                 maxPayload,
			JetStream:                  true,
			StoreDir:                   string(h.dir),
			SyncAlways:                 !h.c.opts.NoSync,
			JetStreamMaxStore:          h.c.opts.MaxStore,
			JetStreamMaxMemory:         memoryStore,
			DisableJetStreamBanner:     true,
			NoSigs:                     true,
		})
		if err != nil {
			return nil, err
		}
		srv.SetLoggerV2(log, false, false, false)
		go srv.Start()
		if err = ready(ctx, srv, log); err != nil {
			srv.Shutdown()
			srv.WaitForShutdown()
			if ctx.Err() != nil || port == server.RANDOM_PORT {
				return nil, err
			}
			h.c.log.Warn("the embedded NATS server takes another port", "port", port, "error", err)
			continue
		}
		if err = h.dir.announce(address{Host: srv.Addr().String(), PID: os.Getpid()}, h.id); err != nil {
			srv.Shutdown()
			srv.WaitForShutdown()
			return nil, err
		}
		return srv, nil
	}
	panic("unreachable: a random port ends the list")
}

// doorman lets in who can read the folder.
type doorman identity

// Check compares what a client says, taking the same time whatever it says.
func (d doorman) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	user := subtle.ConstantTimeCompare([]byte(o.Username), []byte(d.User))
	return user&subtle.ConstantTimeCompare([]byte(o.Password), []byte(d.Password)) == 1
}

// ports are those to try: the last one again, so that addresses users keep stay right, else any free one.
func (h *host) ports() []int {
	var a address
	if h.dir.read("server.json", &a) == nil {
		if l, err := net.Listen("tcp", a.Host); err == nil {
			_ = l.Close()
			if _, p, err := net.SplitHostPort(a.Host); err == nil {
				if port, err := strconv.Atoi(p); err == nil && port > 0 {
					return []int{port, server.RANDOM_PORT}
				}
			}
		}
	}
	return []int{server.RANDOM_PORT}
}

// ready waits until the server accepts clients, which it does once its streams are recovered.
func ready(ctx context.Context, srv *server.Server, log *serverLog) error {
	for {
		if srv.ReadyForConnections(20 * time.Millisecond) {
			return nil
		}
		select {
		case text := <-log.fatal:
			return errors.New(text)
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", ctx.Err())
		default:
		}
	}
}

// Dial is how nats.go reaches the server: in memory if it runs here, else over TCP where the folder says. It is called
// with the client's lock held, so it does nothing slow.
func (h *host) Dial(_, _ string) (net.Conn, error) {
	if h.starting.Load() {
		return nil, errors.New("the server is starting")
	}
	if srv := h.srv.Load(); srv != nil {
		return srv.InProcessConn()
	}
	var a address
	if err := h.dir.read("server.json", &a); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("the server has not started yet")
		}
		return nil, err
	}
	return net.DialTimeout("tcp", a.Host, dialTimeout)
}

func (h *host) contextFile() string { return h.dir.path("context.json") }

// close ends the server if it runs here and gives the folder up.
func (h *host) close() error {
	h.stop()
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	if srv := h.srv.Swap(nil); srv != nil {
		h.dying = shutdown(srv)
	}
	if !ended(h.dying) { // the lock stays until the process ends: two servers on one folder would ruin it
		return fmt.Errorf("the embedded NATS server in %s does not end", h.dir)
	}
	if h.lock != nil {
		err := h.lock.Close() // the lock goes with it
		h.lock = nil
		return err
	}
	return nil
}

// atStart adds to an error of the start what is to be done, where the disk is the cause.
func (h *host) atStart(err error) error {
	n, ok := h.free(string(h.dir))
	if ok && n < lowDisk || ails(err.Error()) {
		return pipeline.Transient(fmt.Errorf("the disk of the data folder %s is full (%s): free space there, or name another folder with --data: %w", h.dir, h.space(), err))
	}
	return err
}
