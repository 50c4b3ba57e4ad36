// Package post sends one recorded request to a webhook or an API: its bytes are fixed on disk, and Send makes one
// attempt. Trying again, pausing and giving up belong to the loop of the destination, which decides by the scope of the
// *pipeline.Trouble that Send returns.
//
// What an attempt does, in this order:
//
//	wait      for a slot of the governor, shared by all clients of one host and credential
//	authorize asks for an OAuth 2.0 token where there is none that is valid
//	verify    reads the section once: length, SHA-256 and the signatures, with all secrets in one pass
//	connect   proxy, TCP, TLS
//	upload    reads the section again; the last bytes leave only if the SHA-256 is right
//	answer    waits for the answer's header
//	read      reads at most 64 KB of the answer
//
// Nothing is sent unless the bytes are those recorded. What the answer means stands in one table: see Rules.
package post

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
)

// Request is a request as recorded: where its bytes are, and what they must be.
type Request struct {
	Key             string      // the idempotency key: 1 to 255 visible ASCII characters without "."
	Body            io.ReaderAt // has the section; it is not used once Send has returned
	Offset, Length  int64       // of the section, in bytes
	SHA256          [sha256.Size]byte
	ContentType     string
	ContentEncoding string // "" or "gzip": the section has the compressed bytes
	Sequence, Of    int    // "Fanmill-Sequence: 3/12"; Sequence 0 sends no such header, Of 0 is a total not yet known
	// Partition, of so many, counts Sequence for itself: "Fanmill-Partition: 2/4". Partitions 0 sends no such header.
	Partition, Partitions int
	// OnPhase is told, if set, when a phase begins. It must not block.
	OnPhase func(Phase)
}

// Receipt is what came of an attempt. After an error it has what was known by then.
type Receipt struct {
	Status int           // 0 without an answer
	ID     string        // what Options.Receipt points to in the answer
	At     time.Time     // when the answer's header was there
	Wire   int           // how often a request was on the wire: Go sends again by itself where nothing was lost
	Took   time.Duration // of the whole Send, waiting for the governor included
	Answer []byte        // at most 64 KB; secrets masked, control characters escaped
	Notes  []string      // what is worth telling though it is no error
}

// Client sends to one destination. It may be used by several goroutines at once.
type Client struct {
	o         Options
	url       *url.URL
	origin    string // scheme and host, as messages name it
	secrets   [][]byte
	receipt   jsonPath
	success   *condition
	mask      *masker
	transport *http.Transport
	governor  *governor
	tokens    *tokens // nil without OAuth 2.0
	notes     []string
	reached   atomic.Bool // a connection was made
	noExpect  atomic.Bool // the receiver answered 417
	told      sync.Map    // notes that are made once
	conflicts conflicts
	now       func() time.Time
	after     afterFunc
}

// New returns a client. The values of o are final: references have been replaced by what they stand for. All mistakes
// of the options come back in one error, without any value. Close gives back the client's place at the governor.
func New(o Options) (*Client, error) {
	o, notes := o.trimmed()
	if list := o.mistakes(final); len(list) > 0 {
		return nil, pipeline.Permanent(mistakesError(list))
	}
	o = o.withDefaults()
	u, err := url.Parse(o.URL)
	if err != nil { // cannot be: mistakes has looked at it
		return nil, pipeline.Permanent(errors.New("url: cannot be read"))
	}
	c := &Client{o: o, url: u, origin: origin(u), mask: newMasker(o), now: time.Now, after: realAfter}
	for _, m := range notes {
		c.notes = append(c.notes, m.String())
	}
	for _, s := range o.SigningSecrets {
		secret, _ := parseSecret(s)
		c.secrets = append(c.secrets, secret)
	}
	c.receipt, _ = parsePath(o.Receipt)
	c.success, _ = parseCondition(o.Success)
	if c.transport, err = newTransport(o); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("post to %s: %s", c.origin, c.mask.text(err.Error())))
	}
	if o.Auth.OAuth2 != nil {
		c.tokens = newTokens(*o.Auth.OAuth2, c.transport)
	}
	c.governor = governorFor(hostPort(u), o.Auth, o.Parallel, o.PerSecond)
	return c, nil
}

// Notes returns what is to be told once about the options: a line end that was cut off a secret.
func (c *Client) Notes() []string { return c.notes }

// Close gives up idle connections and the client's place at the governor.
func (c *Client) Close() error {
	c.governor.leave(c.o.Parallel, c.o.PerSecond)
	c.transport.CloseIdleConnections()
	return nil
}

// Send makes one attempt. A nil error says that the receiver has the request; else the error is a *pipeline.Trouble
// around a *Failure, with the scope, how long the receiver asked to wait, and whether the bytes may have arrived. The
// receipt comes back in both cases. What Send repeats by itself was refused before its body was read: a 417 without the
// expectation, a redirect of the same origin as far as Options.Redirects allows it. When ctx ends, Send returns within
// a second, whatever it is doing.
func (c *Client) Send(ctx context.Context, r Request) (Receipt, error) {
	s := &sending{client: c, request: r, began: c.now()}
	err := s.run(ctx)
	s.receipt.Took = c.now().Sub(s.began)
	var t *pipeline.Trouble
	if errors.As(err, &t) {
		if f, ok := t.Err.(*Failure); ok {
			f.Receipt = s.receipt
		}
	}
	return s.receipt, err
}

func (r Request) check() error {
	switch {
	case r.Body == nil || r.Offset < 0 || r.Length < 0:
		return fmt.Errorf("%w: it has no section", ErrDamaged)
	case !validKey(r.Key):
		return fmt.Errorf("%w: its key is not 1 to 255 visible ASCII characters without %q", ErrDamaged, ".")
	}
	return nil
}

func validKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' || key[i] == '.' {
			return false
		}
	}
	return len(key) > 0 && len(key) <= 255
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
