package nats

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// The least max_payload of a server, in bytes: manifests and commit records are single messages, and rows in small
// pieces are slow.
const leastPayload = 128 << 10

// The oldest server with everything fanmill uses: the fence of the row log compares with another subject than a frame's
// own, which an older one would not do without a word.
const oldestMajor, oldestMinor = 2, 11

func (c *Conn) openExternal(ctx context.Context) error {
	a := &c.opts.Access
	where := redact(a.URL.Value)
	access, err := a.options()
	if err != nil {
		return pipeline.Permanent(err)
	}
	nc, err := nats.Connect(strings.Join(urls(a.URL.Value), ","), append(c.clientOptions(), access...)...)
	if err != nil {
		return a.unreachable(where, err)
	}
	if err := c.connected(nc); err != nil {
		return err
	}
	if err := checkVersion(nc.ConnectedServerVersion()); err != nil {
		return pipeline.Permanent(fmt.Errorf("connect to NATS at %s: %w", where, err))
	}
	if most := nc.MaxPayload(); most < leastPayload {
		return pipeline.Permanent(fmt.Errorf("NATS at %s takes messages of at most %d bytes, and fanmill needs %d: raise its max_payload", where, most, leastPayload))
	}
	if c.opts.Guest || c.opts.Worker {
		return nil
	}
	var without error
	if err := c.call(ctx, "ask NATS at "+where+" for JetStream", func(ctx context.Context) error {
		_, err := c.js.AccountInfo(ctx)
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			without, err = err, nil
		}
		return err
	}); err != nil {
		return err
	}
	if without != nil {
		return pipeline.Permanent(fmt.Errorf("NATS at %s has no JetStream, in which fanmill stores rows: start the server with it "+
			"(nats-server -js), or enable it for this account: %w", where, without))
	}
	switch {
	case c.opts.Replicas > 0:
		c.replicas = c.opts.Replicas
	case nc.ConnectedClusterName() != "":
		c.replicas = 3 // where there are as many nodes
	}
	return nil
}

func checkVersion(v string) error {
	if major, minor, ok := readVersion(v); !ok {
		return fmt.Errorf("server version %q is not one that fanmill can read", v)
	} else if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("the server is version %s and fanmill needs at least %d.%d: update it", v, oldestMajor, oldestMinor)
	}
	return nil
}

// atLeast reports whether a server is of a version, or later.
func atLeast(v string, major, minor int) bool {
	has, hasMinor, ok := readVersion(v)
	return ok && (has > major || has == major && hasMinor >= minor)
}

func readVersion(v string) (major, minor int, ok bool) {
	part := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(part) < 2 {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(part[0])
	minor, err2 := strconv.Atoi(part[1])
	return major, minor, err1 == nil && err2 == nil
}

// unreachable says why a connection was not made, and what to look at.
func (a *Access) unreachable(where string, err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var expired x509.CertificateInvalidError
	permanent := func(format string, args ...any) error {
		return pipeline.Permanent(fmt.Errorf("connect to NATS at %s: %w", where, fmt.Errorf(format, args...)))
	}
	text := err.Error()
	switch {
	case notLetIn(err):
		return permanent("the server does not let in %s: %w; who connects is said by --nats-creds, --nats-nkey, NATS_USER with NATS_PASSWORD, NATS_TOKEN, or --nats-context",
			a.who(), err)
	case errors.As(err, &authority):
		return permanent("%w: name the file of the authority that signed the server's certificate with --nats-ca", err)
	case errors.As(err, &host):
		return permanent("%w: write a name that the server's certificate has in --nats", err)
	case errors.As(err, &expired):
		return permanent("the server's certificate is not valid: %w", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return permanent("the server has no TLS, which %s asks for: %w", a.wantsTLS(), err)
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"), strings.Contains(text, "unknown certificate"),
		// The server looks at it when the client takes the handshake for done, and may close before it has said why
		// [RFC 8446 4.4.2.4].
		a.wantsTLS() != "" && (strings.Contains(text, "after TLS handshake") || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return permanent("the server accepts no client without a certificate that it knows: %w; name yours with --nats-cert and --nats-key", err)
	case strings.Contains(text, "first record does not look like a TLS handshake") && a.TLSFirst:
		return permanent("the server does not begin with TLS, which tls_first of %s asks for: %w", a.Context.Value, err)
	}
	todo := "check " + a.URL.By + " and that the server runs"
	if !a.TLSFirst && a.wantsTLS() != "" {
		todo += "; a server that begins with TLS (handshake_first) needs a context with tls_first (--nats-context)"
	}
	return pipeline.Transient(fmt.Errorf("connect to NATS at %s: %w; %s", where, err, todo))
}

// notLetIn reports an error by which a server turns a user away.
func notLetIn(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// wantsTLS names what makes TLS a must.
func (a *Access) wantsTLS() string {
	switch {
	case a.CA.Value != "":
		return a.CA.By
	case a.Cert.Value != "":
		return a.Cert.By
	case a.TLSFirst:
		return "tls_first of " + a.Context.Value
	case strings.Contains(a.URL.Value, "tls://"):
		return a.URL.By
	}
	return ""
}
