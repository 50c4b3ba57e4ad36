package post

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"fanmill/pipeline"
)

// handshakeError is a TLS handshake that both sides could finish, and one of them would not.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// unfinished reports whether a handshake failed for a reason of the moment: time, or a connection that broke.
func unfinished(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || broken(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed)
}

func broken(err error) bool {
	var n syscall.Errno
	return errors.As(err, &n)
}

// kindOf tells what kept a request from getting an answer. reached says that a connection was made before.
func kindOf(err error, reached bool) kind {
	var (
		stall     *stalledError
		proxy     *proxyError
		dns       *net.DNSError
		verifying *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		handshake *handshakeError
	)
	switch {
	case errors.Is(err, ErrDamaged):
		return damaged
	case errors.As(err, &stall):
		return stalled
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ended
	case errors.As(err, &proxy):
		if ruleOf(proxy.status).Scope == pipeline.OfMoment {
			return network
		}
		return proxyRefused
	case errors.As(err, &verifying), untrustedText(err):
		return untrusted
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return notTLS
	case errors.As(err, &handshake), alert(err):
		return refusedTLS
	case errors.As(err, &dns) && dns.IsNotFound:
		if reached {
			return lostHost
		}
		return unknownHost
	}
	return network
}

// untrustedText finds the errors of crypto/x509 outside of a tls.CertificateVerificationError.
func untrustedText(err error) bool {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	return errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &invalid)
}

// alert finds what the other side's TLS said. With TLS 1.3 a refused client certificate turns up only as the first read
// fails. crypto/tls marks such an error by its operation.
func alert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
