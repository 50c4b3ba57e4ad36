package stages

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// certificateAdvice says why a server's certificate was refused and what helps against that, and nothing that weakens
// what is not the cause: name is for one of another name, authority for one that nobody vouches for.
func certificateAdvice(err error, name, authority string) string {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		names := certificateNames(host.Certificate)
		if names == "" {
			return "the certificate names no server, as those that a server makes for itself: " + authority
		}
		return "the certificate is for " + names + ": " + name
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if c := invalid.Cert; c != nil && time.Now().Before(c.NotBefore) {
			return fmt.Sprintf("the certificate is valid from %s on: is this machine's clock right?", c.NotBefore.Format(time.DateOnly))
		} else if c != nil {
			return fmt.Sprintf("the certificate has expired on %s: the server needs a new one", c.NotAfter.Format(time.DateOnly))
		}
		return "the certificate has expired: the server needs a new one"
	default:
		return authority
	}
}

// certificateNames lists whom a certificate is for.
func certificateNames(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	const shown = 5
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
