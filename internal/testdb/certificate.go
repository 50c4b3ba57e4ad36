package testdb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// certify gives the server a self-signed certificate for 127.0.0.1 if it was built with TLS.
func (pg *PG) certify() error {
	data := dataFolder(pg.dir)
	show := exec.Command(filepath.Join(pg.bin, program("postgres")), "-D", data, "-C", "ssl_library")
	show.Dir = pg.dir
	if err := dropPrivileges(show); err != nil {
		return err
	}
	// Servers before version 12 do not know the setting; they go without.
	if out, err := show.Output(); err != nil || strings.TrimSpace(string(out)) == "" {
		return nil
	}
	cert, key, err := selfSigned()
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(data, "server.crt"), cert); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(data, "server.key"), key); err != nil {
		return err
	}
	pg.tls = true
	return nil
}

// selfSigned makes a certificate for 127.0.0.1 that is its own authority, and its key, both as PEM.
func selfSigned() (cert, key string, err error) {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "fanmill test server"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true,

		BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, &template, &template, &pair.PublicKey, pair)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return cert, key, nil
}
