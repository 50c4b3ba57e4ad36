package post

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// expectWait is how long a receiver may think about "Expect: 100-continue" before the body is sent all the same.
	expectWait = time.Second
	// idleFor is below what most servers keep idle connections for, so that fewer of them are found closed.
	idleFor = 30 * time.Second
	// answerGrace is how long an answer may take to come in after a write has failed: a receiver that refuses a body
	// early answers and closes, and the answer says more than "broken pipe".
	answerGrace = time.Second
)

func newTransport(o Options) (*http.Transport, error) {
	config, err := tlsConfig(o.TLS)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:            dial(&net.Dialer{Timeout: o.Stall, KeepAlive: 15 * time.Second}),
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true, // a dialer or TLS of one's own turns HTTP/2 off otherwise
		MaxIdleConnsPerHost:    o.Parallel,
		IdleConnTimeout:        idleFor,
		ExpectContinueTimeout:  expectWait,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		DisableCompression:     true, // answers are bounded as they are on the wire
		OnProxyConnectResponse: proxyAnswer,
	}
	switch o.Proxy {
	case "":
		t.Proxy = http.ProxyFromEnvironment
	case "none":
	default:
		u, err := url.Parse(o.Proxy)
		if err != nil {
			return nil, errors.New("proxy: cannot be read")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// proxyError is a proxy that answered CONNECT with something else than 200.
type proxyError struct {
	status int
	header http.Header
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.status, http.StatusText(e.status))
}

func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{r.StatusCode, r.Header}
}

func dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c, read: make(chan struct{}), closed: make(chan struct{})}, nil
	}
}

// patientConn holds a failed write back until the answer was read, the connection is at its end, or answerGrace is
// over: net/http gives up the connection, and an answer that is on its way, with the first error of a write.
type patientConn struct {
	net.Conn
	read, closed         chan struct{}
	readOnce, closedOnce sync.Once
}

func (c *patientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil {
		return n, nil
	}
	grace := time.NewTimer(answerGrace)
	defer grace.Stop()
	select {
	case <-c.read:
	case <-c.closed:
	case <-grace.C:
	}
	return n, err
}

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.readOnce.Do(func() { close(c.read) })
	}
	return n, err
}

func (c *patientConn) Close() error {
	c.closedOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// answered tells a connection that the answer is there before the request was written: a failed write need not wait.
func answered(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*patientConn); ok {
		p.readOnce.Do(func() { close(p.read) })
	}
}

const pemBegin = "-----BEGIN "

// pemText returns s if it is PEM, else what the file of that name has.
func pemText(s string) ([]byte, error) {
	if strings.Contains(s, pemBegin) {
		return []byte(s), nil
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return nil, fmt.Errorf("is neither a PEM text nor a file that can be read: %w", bareError(err))
	}
	return b, nil
}

// bareError leaves the path out of a file's error: what was taken for a path may be a key without its first line.
func bareError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func keyPair(t TLS) (tls.Certificate, error) {
	cert, err := pemText(t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := pemText(t.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot be used, tls.key %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("and tls.key do not fit: %w", err)
	}
	return pair, nil
}

func authorities(ca string) (*x509.CertPool, error) {
	pem, err := pemText(ca)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // a system without a store of its own
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("has no certificate in PEM")
	}
	return pool, nil
}

func tlsConfig(t TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.MinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if t.Cert != "" {
		pair, err := keyPair(t)
		if err != nil {
			return nil, fmt.Errorf("tls.cert %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if t.CA != "" {
		pool, err := authorities(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca %w", err)
		}
		config.RootCAs = pool
	}
	return config, nil
}
