package stages_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/stages"
)

// A login that is refused, a database that is not there are permanent; a server that does not answer may be back.
// None of these errors, nor one about the DSN itself, holds the password.
func TestPostgresConnectErrors(t *testing.T) {
	const secret = "s3cr3t%2Fp@ss"
	good, err := url.Parse(testdb.Postgres(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	wrong := url.UserPassword("postgres", secret)
	for _, c := range []struct {
		name, dsn string
		permanent bool
		want      string
	}{
		{"password", with(func(u *url.URL) { u.User = wrong }), true, "28P01"},
		{"database", with(func(u *url.URL) { u.Path = "/nowhere" }), true, "3D000"},
		{"refused", with(func(u *url.URL) { u.User = wrong; u.Host = closed.Addr().String(); u.RawQuery = "sslmode=prefer" }), false, "refused"},
		{"name", with(func(u *url.URL) { u.User = wrong; u.Host = "branch.invalid:5432"; u.RawQuery = "sslmode=prefer" }), false, "branch.invalid"},
		{"unescaped", "postgres://me:" + secret + "%zz@127.0.0.1/db", true, "%40"},
		{"slash", "postgres://me:s3cr3t/p@ss@127.0.0.1/db", true, "%2F"},
		{"digits then slash", "postgres://me:1234/s3cr3t@127.0.0.1/db", true, "%2F"},
		{"list", "host=127.0.0.1 password=s3cr3t x y", true, "host="},
		{"quote", "host=127.0.0.1 password='s3cr3t", true, "host="},
		{"port", "host=127.0.0.1 password=s3cr3t port=s3cr3tx", true, "port"},
		{"ca", "host=127.0.0.1 password=s3cr3t sslmode=verify-full sslrootcert=/nowhere/s3cr3t.pem", true, "TLS"},
		{"empty", "  ", true, "empty"},
	} {
		_, err := stages.Kinds()["postgres"].Driver.Open(t.Context(), pipeline.Request{DSN: c.dsn, Queries: asQueries([]string{"select 1"})})
		switch {
		case err == nil:
			t.Errorf("%s: accepted", c.name)
		case pipeline.IsPermanent(err) != c.permanent, !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: permanent %v: %v", c.name, pipeline.IsPermanent(err), err)
		case strings.Count(err.Error(), c.want) > 1: // with and without encryption
			t.Errorf("%s: it is said twice: %v", c.name, err)
		case strings.Contains(err.Error(), "s3cr3t"), strings.Contains(err.Error(), "p@ss"), strings.Contains(err.Error(), "1234"):
			t.Errorf("%s: the password is in the error: %v", c.name, err)
		}
	}
}

// Rows come through TLS as they do without; a certificate that nobody vouches for is refused for good when the DSN
// asks for that.
func TestPostgresTLS(t *testing.T) {
	pg := testdb.Postgres(t)
	if !pg.TLS() {
		t.Skip("this server has no TLS")
	}
	with := func(mode string) string { return strings.Replace(pg.DSN(), "sslmode=disable", "sslmode="+mode, 1) }
	s := open(t, "postgres", with("require"), "select ssl from pg_stat_ssl where pid = pg_backend_pid()", "select generate_series(1, 100000)")
	rows, _ := texts(t, s, 0, 10)
	same(t, "encrypted", rows, []string{"true"})
	if rows, _ = texts(t, s, 1, 1000); len(rows) != 100000 {
		t.Errorf("%d rows", len(rows))
	}
	_, err := stages.Kinds()["postgres"].Driver.Open(t.Context(), pipeline.Request{DSN: with("verify-full"), Queries: asQueries([]string{"select 1"})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "sslrootcert") || !strings.Contains(err.Error(), "sslmode=require trusts") {
		t.Errorf("the error is %v", err)
	}
	s = open(t, "postgres", with("require")+"&ssl_min_protocol_version=TLSv1.3", "select version from pg_stat_ssl where pid = pg_backend_pid()")
	rows, _ = texts(t, s, 0, 10)
	same(t, "version", rows, []string{"TLSv1.3"})
}

// A server without encryption, and one that has only a version of it that is too old, are refused for good; the error
// names the setting that would connect and what it costs. With that setting the old one is spoken to.
func TestPostgresTLSAdvice(t *testing.T) {
	old := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}
	for _, c := range []struct {
		name, option string
		server       *tls.Config
		permanent    bool
		want         string
	}{
		{"no encryption", "", nil, true, "sslmode=disable connects without encryption"},
		{"old", "", old, true, "a lower one lets the server in; that before TLSv1.2, such as ssl_min_protocol_version=TLSv1,"},
		{"old and accepted", "&ssl_min_protocol_version=TLSv1", old, false, ""},
	} {
		dsn, greeted := postgresGreeter(t, c.server)
		_, err := stages.Kinds()["postgres"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn + c.option, Queries: asQueries([]string{"select 1"})})
		if err == nil || pipeline.IsPermanent(err) != c.permanent || c.permanent && !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: permanent %v: %v", c.name, pipeline.IsPermanent(err), err)
		}
		if met := <-greeted; met == c.permanent {
			t.Errorf("%s: a handshake: %v", c.name, met)
		}
	}
}

// postgresGreeter is a server that does no more than agree on TLS, with a config, or refuse it. It tells whether a
// handshake was done.
func postgresGreeter(t *testing.T, config *tls.Config) (dsn string, greeted <-chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	met := make(chan bool, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			met <- false
			return
		}
		defer c.Close()
		_, _ = io.ReadFull(c, make([]byte, 8)) // SSLRequest
		if config == nil {
			_, _ = c.Write([]byte("N"))
			met <- false
			return
		}
		_, _ = c.Write([]byte("S"))
		met <- tls.Server(c, config).HandshakeContext(t.Context()) == nil
	}()
	return "postgres://me:s3cr3t@" + l.Addr().String() + "/db?sslmode=require", met
}

// selfSigned makes a certificate with an RSA key, which the oldest versions of TLS need.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
