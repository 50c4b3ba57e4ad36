package minitds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// selfSigned makes the certificate that a SQL Server without one makes for itself, once per process: making an RSA key takes a while.
// Old servers offer nothing but RSA key exchange, which takes an RSA key.
var selfSigned = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "SSL_Self_Signed_Fallback"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
})

// tlsConfig is the server's side. Old versions come with old ciphers: those of RSA key exchange, which is all that they knew.
func (s *Server) tlsConfig() *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: s.config.TLSMin, MaxVersion: s.config.TLSMax}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS10
	}
	if c.MaxVersion == 0 {
		c.MaxVersion = tls.VersionTLS12 // what TDS 7 has
	}
	if c.MaxVersion < tls.VersionTLS12 {
		c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA}
	}
	return c
}

// startTLS performs the handshake that TDS 7 wraps in PRELOGIN packets [MS-TDS] 3.3.5.2.
func (s *Server) startTLS(nc net.Conn) (*tls.Conn, error) {
	w := &wrappedHandshake{Conn: nc, out: newPacketWriter(nc, msgPrelogin, 4096)}
	c := tls.Server(w, s.tlsConfig())
	if err := c.Handshake(); err != nil {
		_ = w.finish() // the alert
		return nil, err
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	w.bare = true
	return c, nil
}

// wrappedHandshake carries a TLS handshake in PRELOGIN packets; once bare is set it carries TLS as it is.
type wrappedHandshake struct {
	net.Conn
	out     *packetWriter
	pending bool
	in      []byte
	bare    bool
}

func (w *wrappedHandshake) Read(b []byte) (int, error) {
	if len(w.in) > 0 {
		n := copy(b, w.in)
		w.in = w.in[n:]
		return n, nil
	}
	if w.bare {
		return w.Conn.Read(b)
	}
	if err := w.finish(); err != nil {
		return 0, err
	}
	kind, body, _, err := readPacket(w.Conn)
	if err != nil {
		return 0, err
	}
	if kind != msgPrelogin || len(body) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, body)
	w.in = body[n:]
	return n, nil
}

func (w *wrappedHandshake) Write(b []byte) (int, error) {
	if w.bare {
		return w.Conn.Write(b)
	}
	w.pending = true
	return w.out.Write(b)
}

// finish ends the message that is being written.
func (w *wrappedHandshake) finish() error {
	if !w.pending {
		return nil
	}
	w.pending = false
	return w.out.end()
}

// Stranger is a certificate of somebody else, to be trusted in vain.
func Stranger() (der []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	return x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
}
