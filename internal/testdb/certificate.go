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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "fanmill test server"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: cert},
		"server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := pg.write(filepath.Join(data, name), string(pem.EncodeToMemory(block))); err != nil {
			return err
		}
	}
	pg.tls = true
	return nil
}
