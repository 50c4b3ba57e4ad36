package stages

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"fanmill/pipeline"
)

// connect logs in. The error is worded and classified.
func (t *sqlserverTarget) connect(ctx context.Context) (*mssql.Conn, *sqlserverLink, error) {
	const op = "connect to sqlserver"
	config, limit := t.forDriver()
	if config.ServerSPN == "" {
		config.ServerSPN = sqlserverSPN(config.Host, config.Instance, config.Port)
	}
	link := &sqlserverLink{everywhere: config.MultiSubnetFailover}
	if config.TLSConfig != nil {
		config.TLSConfig = sqlserverTLS(config.TLSConfig, link)
	}
	connector := mssql.NewConnectorConfig(config)
	connector.Dialer = link

	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The driver looks at a context while it dials, not while it shakes hands or logs in.
	stop := context.AfterFunc(within, link.close)
	conn, err := connector.Connect(within)
	// A dialler may notice the end of its time a moment before the context does.
	deadline, _ := within.Deadline()
	switch inTime := stop(); {
	case ctx.Err() != nil:
		link.close()
		return nil, nil, fmt.Errorf("%s: %w", op, ctx.Err())
	case !inTime, err != nil && !time.Now().Before(deadline):
		link.close()
		return nil, nil, pipeline.Transient(fmt.Errorf("%s: no answer within %v", op, limit))
	case err != nil:
		link.close()
		return nil, nil, sqlserverConnectError(op, err, link, t)
	}
	own, ok := conn.(*mssql.Conn)
	if !ok {
		link.close()
		return nil, nil, fmt.Errorf("%s: the driver returns %T", op, conn)
	}
	return own, link, nil
}

// forDriver is the configuration without the driver's own limits, and the limit for all that comes before the first
// query.
func (t *sqlserverTarget) forDriver() (config msdsn.Config, limit time.Duration) {
	config, limit = t.config, sqlserverLoginTimeout
	if config.ConnTimeout > 0 {
		limit = config.ConnTimeout
	}
	config.ConnTimeout = 0 // to the driver it is the longest silence at any time, also of a query that computes
	if config.Parameters[msdsn.DialTimeout] == "" {
		// The driver would dial for 15 seconds, whatever the limit. A partner to fail over to shall have its share.
		if config.DialTimeout = limit; config.FailOverPartner != "" {
			config.DialTimeout = limit / 2
		}
	}
	return config, limit
}

// sqlserverSPN is the name by which Windows logins know the server. The driver makes one only if it looks up the host
// itself.
func sqlserverSPN(host, instance string, port uint64) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	switch {
	case instance != "":
		return "MSSQLSvc/" + host + ":" + instance
	case port == 0:
		port = sqlserverPort
	}
	return fmt.Sprintf("MSSQLSvc/%s:%d", host, port)
}

// sqlserverTLS is the driver's TLS configuration, with two changes. A certificate that is refused is remembered: the
// driver keeps its text only. And where the DSN accepts versions before 1.2, it accepts their ciphers too, which Go
// no longer offers by itself: Windows before 2012 has no others.
func sqlserverTLS(c *tls.Config, link *sqlserverLink) *tls.Config {
	c = c.Clone()
	if c.MinVersion != 0 && c.MinVersion < tls.VersionTLS12 && c.CipherSuites == nil {
		for _, s := range tls.CipherSuites() {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
		c.CipherSuites = append(c.CipherSuites, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA)
	}
	if pinned := c.VerifyPeerCertificate; pinned != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			err := pinned(raw, chains)
			link.refuse(err)
			return err
		}
	}
	if c.InsecureSkipVerify {
		return c
	}
	// What crypto/tls does by itself, in a place where the outcome can be seen.
	c.InsecureSkipVerify = true
	pinned := c.VerifyPeerCertificate
	c.VerifyPeerCertificate = nil
	c.VerifyConnection = func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: c.RootCAs, DNSName: c.ServerName, Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(cert)
		}
		chains, err := state.PeerCertificates[0].Verify(options)
		if err == nil && pinned != nil {
			err = pinned(nil, chains)
		}
		link.refuse(err)
		return err
	}
	return c
}

// sqlserverLink dials for the driver and keeps hold of the connection, which the driver gives nobody. It is a
// mssql.HostDialer, so that names are looked up here, where the context is heeded.
type sqlserverLink struct {
	everywhere bool        // try all addresses of a name at once
	broken     atomic.Bool // a read or write has failed
	refused    atomic.Pointer[certificateError]

	mu    sync.Mutex
	conn  net.Conn // the last one dialled: a login may be sent on to another server
	ended bool
}

// certificateError is why the server's certificate was refused.
type certificateError struct{ error }

// refuse remembers that the server's certificate was refused, or was not.
func (l *sqlserverLink) refuse(err error) {
	if err == nil {
		l.refused.Store(nil)
		return
	}
	l.refused.Store(&certificateError{err})
}

var errLinkClosed = errors.New("the connection has been given up")

// HostName makes the link a mssql.HostDialer.
func (l *sqlserverLink) HostName() string { return "" }

// DialContext implements mssql.Dialer.
func (l *sqlserverLink) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.Join(errLinkClosed, conn.Close())
	}
	l.conn = conn
	return &sqlserverNetConn{Conn: conn, link: l}, nil
}

func (l *sqlserverLink) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	host, port, err := net.SplitHostPort(address)
	if err != nil || network != "tcp" || !l.everywhere {
		return dialer.DialContext(ctx, network, address)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addresses) == 1 {
		return dialer.DialContext(ctx, network, net.JoinHostPort(addresses[0], port))
	}
	return l.first(ctx, dialer, addresses, port)
}

// first dials all addresses of an availability group's listener, of which one answers, and keeps the first connection.
func (l *sqlserverLink) first(ctx context.Context, dialer net.Dialer, addresses []string, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome)
	for _, a := range addresses {
		go func() {
			conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(a, port))
			outcomes <- outcome{conn, err}
		}()
	}
	var won net.Conn
	var failed error
	for range addresses {
		switch o := <-outcomes; {
		case o.err != nil && failed == nil:
			failed = o.err
		case o.err == nil && won == nil:
			won = o.conn
			cancel()
		case o.err == nil:
			_ = o.conn.Close()
		}
	}
	if won == nil {
		return nil, failed
	}
	return won, nil
}

// close cuts the connection, and any that would be made from now on.
func (l *sqlserverLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// sqlserverNetConn remembers whether the network failed: the driver's errors about TLS do not say.
type sqlserverNetConn struct {
	net.Conn
	link *sqlserverLink
}

func (c *sqlserverNetConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.link.broken.Store(true)
	}
	return n, err
}

func (c *sqlserverNetConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.link.broken.Store(true)
	}
	return n, err
}
