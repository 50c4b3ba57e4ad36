// Package receiver is a webhook receiver for tests. It deduplicates by key alone, insists on the same bytes for the
// same key, verifies Standard Webhooks signatures with that project's own library, and fails as real ones do: at random
// by a seed, or by a script. What a sender must never do is collected as violations.
package receiver

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Options say how a receiver behaves where no step of a script says otherwise.
type Options struct {
	Seed    uint64
	Percent Percent
	Secrets []string    // Standard Webhooks secrets; one that fits is enough. Without any, signatures are not looked at
	TLS     *tls.Config // nil for plain HTTP; see Authority.Server
	Address string      // "127.0.0.1:0" by default
}

// Percent has shares of requests in percent, chosen at random by the seed.
type Percent struct {
	Fail     int // 500, 502, 503 or 504, not stored
	Drop     int // stored, then the connection breaks without an answer
	Hang     int // stored, then no answer until the sender gives up
	Throttle int // 429 with "Retry-After: 0" or a date of now, not stored
}

// Request is one request as it came in.
type Request struct {
	Method, Path, Query, Host string
	Header                    http.Header
	Key                       string
	SHA256                    [sha256.Size]byte // of the body on the wire
	Length                    int64             // of the body on the wire
	Body                      []byte            // decoded; only of what was stored first under its key
	Stored                    bool
	Duplicate                 bool // the key was known
	Status                    int  // 0 if no answer was sent
}

// Receiver listens until Close. Its state outlives Stop and Start.
type Receiver struct {
	URL string

	o       Options
	hooks   []*standardwebhooks.Webhook
	address string

	mu         sync.Mutex
	random     *rand.Rand
	server     *http.Server
	listener   net.Listener
	gone       chan struct{} // closed when the server stops: hanging handlers end
	script     []Step
	requests   []Request
	bodies     map[string]int // index of the stored request by key
	violations []string
}

// New returns a receiver that listens.
func New(o Options) (*Receiver, error) {
	r := &Receiver{o: o, random: rand.New(rand.NewPCG(o.Seed, o.Seed)), bodies: map[string]int{}, address: o.Address}
	if r.address == "" {
		r.address = "127.0.0.1:0"
	}
	for _, s := range o.Secrets {
		hook, err := newHook(s)
		if err != nil {
			return nil, fmt.Errorf("receiver's secret: %w", err)
		}
		r.hooks = append(r.hooks, hook)
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	return r, nil
}

// Start listens again at the same address.
func (r *Receiver) Start() error {
	listener, err := listen(r.address)
	if err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.address = listener.Addr().String()
	r.URL = "http://" + r.address
	if r.o.TLS != nil {
		r.URL = "https://" + r.address
		listener = tls.NewListener(listener, r.o.TLS)
	}
	gone := make(chan struct{})
	r.gone = gone
	server := &http.Server{Handler: r, ErrorLog: Quiet}
	r.server, r.listener = server, listener
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.violate("the receiver ended: %v", err)
		}
	}()
	return nil
}

// listen listens where an address says. A free port is one that no system gives to outgoing connections (of Linux those
// begin at 32,768, of others at 49,152): so nobody else has it while the receiver is stopped.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "0" {
		return net.Listen("tcp", address)
	}
	for range 100 {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(20_000+rand.IntN(12_000)))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", address)
}

// Stop closes the port and all connections.
func (r *Receiver) Stop() {
	r.mu.Lock()
	server, listener, gone := r.server, r.listener, r.gone
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		close(gone)
		_ = server.Close()
		_ = listener.Close() // which the server may not know of yet
	}
}

// Close ends the receiver.
func (r *Receiver) Close() { r.Stop() }

// Script adds steps: each takes one request, in the order in which their headers come in. Without a step a request is
// stored, unless Percent says otherwise.
func (r *Receiver) Script(steps ...Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, steps...)
}

// Requests returns what came in, in the order of the answers.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Request(nil), r.requests...)
}

// Stored returns the first request of each key, in the order in which they were stored.
func (r *Receiver) Stored() []Request {
	var stored []Request
	for _, q := range r.Requests() {
		if q.Stored && !q.Duplicate {
			stored = append(stored, q)
		}
	}
	return stored
}

// Violations returns what a sender must never do and did: another body for a key, a body without length, a signature
// that does not fit, a gzip body that some readers would read half of.
func (r *Receiver) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.violations...)
}

func (r *Receiver) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}
