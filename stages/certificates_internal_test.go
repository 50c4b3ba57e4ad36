package stages

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// What is advised about a certificate is for what is wrong with it.
func TestCertificateAdvice(t *testing.T) {
	named := &x509.Certificate{DNSNames: []string{"a.branch", "b.branch"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}
	old := &x509.Certificate{NotAfter: time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC)}
	early := &x509.Certificate{NotBefore: time.Date(9999, 2, 28, 0, 0, 0, 0, time.UTC)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{x509.HostnameError{Certificate: named, Host: "c"}, "the certificate is for a.branch, b.branch, 10.0.0.1: NAME"},
		{x509.HostnameError{Certificate: old, Host: "c"}, "the certificate names no server, as those that a server makes for itself: AUTHORITY"},
		{x509.CertificateInvalidError{Cert: old, Reason: x509.Expired}, "the certificate has expired on 2020-02-29: the server needs a new one"},
		{x509.CertificateInvalidError{Cert: early, Reason: x509.Expired}, "the certificate is valid from 9999-02-28 on: is this machine's clock right?"},
		{x509.UnknownAuthorityError{Cert: named}, "AUTHORITY"},
		{errors.Join(errors.New("x"), x509.HostnameError{Certificate: named}), "the certificate is for a.branch, b.branch, 10.0.0.1: NAME"},
	} {
		if got := certificateAdvice(c.err, "NAME", "AUTHORITY"); got != c.want {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}

// What is advised about a handshake that failed is for what the DSN says and the two sides said.
func TestSQLServerHandshakeAdvice(t *testing.T) {
	const version, other = "TLS Handshake failed: remote error: tls: protocol version not supported", "TLS Handshake failed: EOF"
	for _, c := range []struct{ options, text, want string }{
		{"encrypt=true", version, "tlsmin=1.0 accepts"},
		{"encrypt=true", other, "tlsmin=1.0 accepts"},
		{"encrypt=true&tlsmin=1.2", version, "write a lower one"},
		{"encrypt=true&tlsmin=1.3", other, "leave tlsmin out"},
		{"encrypt=true&tlsmin=1.0", version, "encrypt=disable does without"},
		{"encrypt=true&packet+size=512", other, "such as packet size=4096"},
		{"encrypt=true&packet+size=512", version, "tlsmin=1.0 accepts"},
		{"encrypt=disable", other, "insists on encryption"},
	} {
		target, err := sqlserverParseDSN("sqlserver://me:pw@a.branch?database=sales&" + c.options)
		if err != nil {
			t.Fatal(err)
		}
		got := target.handshakeAdvice(c.text)
		if !strings.Contains(got, c.want) || strings.Contains(got, "encrypt=disable") != strings.Contains(c.want, "encrypt=disable") && c.want != "insists on encryption" {
			t.Errorf("%s, %s: %s", c.options, c.text, got)
		}
	}
}
