package nats_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"fanmill/nats"
	"fanmill/pipeline"
)

// by is a setting of the command line.
func by(value, flag string) nats.Given { return nats.Given{Value: value, By: flag} }

// enters opens the store, writes a key, and brings the error of whichever fails.
func enters(t *testing.T, layers ...nats.Access) error {
	t.Helper()
	a, warnings, err := nats.Merge(layers...)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	var said bytes.Buffer
	c, err := nats.Open(within(t), nats.Options{Access: a, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err == nil {
		_, err = c.Stores().Runs.Put(within(t), "k", []byte("1"))
		said.WriteString(c.CLI("stream ls"))
		shut(t, c)
	}
	if text := said.String(); strings.Contains(text, "s3cret") || err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the password is shown: %s %v", text, err)
	}
	return err
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A user with a password, and a token, come from the environment, a context or the URL; who is not let in is told who
// that was, and never a secret.
func TestPasswordsAndTokens(t *testing.T) {
	joe := serveWith(t, func(o *server.Options) { o.Username, o.Password = "joe", "s3cret@/:%" }).ClientURL()
	token := serveWith(t, func(o *server.Options) { o.Authorization = "s3cret" }).ClientURL()
	flag := func(url string) nats.Access { return nats.Access{URL: by(url, "--nats")} }
	user := func(u, p string) nats.Access {
		return nats.Access{User: by(u, "NATS_USER"), Password: by(p, "NATS_PASSWORD")}
	}
	inURL := strings.NewReplacer("nats://", "nats://joe:s3cret%40%2F%3A%25@")
	cli := func(url, key string) nats.Access {
		return nats.Access{Context: by(file(t, "c.json", []byte(`{"url":"`+url+`",`+key+`}`)), "--nats-context")}
	}
	for want, all := range map[string][][]nats.Access{
		"": {
			{flag(joe), user("joe", "s3cret@/:%")}, {flag(inURL.Replace(joe))},
			{flag(inURL.Replace(joe)), user("eve", "pw")}, // who connects is said with the server; the rest is for others
			{cli(joe, `"user":"joe","password":"s3cret@/:%"`)},
			{cli(joe, `"user":"eve","password":"pw"`), user("joe", "s3cret@/:%")},
			{cli(strings.Replace(joe, "nats://", "nats://eve:pw@", 1), `"description":"d"`), user("joe", "s3cret@/:%")},
			{flag(token), {Token: by("s3cret", "NATS_TOKEN")}}, {flag(token), user("s3cret", "")},
			{flag(strings.Replace(token, "nats://", "nats://s3cret@", 1))}, {cli(token, `"token":"s3cret"`)},
			{flag("nats://127.0.0.1:1, " + joe), user("joe", "s3cret@/:%")},
		},
		"does not let in user joe (NATS_USER)":             {{flag(joe), user("joe", "s3cretive")}},
		"does not let in the token of NATS_TOKEN":          {{flag(token), {Token: by("s3cretive", "NATS_TOKEN")}}},
		"does not let in the token of NATS_USER":           {{flag(token), user("s3cretive", "")}},
		"does not let in the user in --nats":               {{flag(strings.Replace(joe, "nats://", "nats://eve:s3cret@", 1))}},
		"does not let in a client that names no user":      {{flag(joe)}, {flag(token)}},
		"does not let in the token of token of context":    {{cli(token, `"token":"s3cretive"`)}},
		"--nats: nats://joe:xxxxx@h ost:4222 is not the U": {{flag("nats://joe:s3cret@h ost:4222")}},
		"%25 for %": {{flag("nats://joe:s3cret%@host:4222")}},
	} {
		for _, layers := range all {
			said(t, want, enters(t, layers...))
		}
	}
}

// An nkey, mutual TLS and TLS from the first byte are shown by files; one that is not what it must be is named with
// what named it.
func TestFilesThatSayWhoConnects(t *testing.T) {
	pair, _ := nkeys.CreateUser()
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	keyed := serveWith(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }).ClientURL()
	nkey := by(file(t, "user.nk", seed), "--nats-nkey")

	ca := newAuthority(t)
	serverTLS := func(clients, first bool) string {
		return serveWith(t, func(o *server.Options) {
			o.TLS, o.TLSHandshakeFirst = true, first
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{ca.signed(t, "127.0.0.1")}, MinVersion: tls.VersionTLS12}
			if clients {
				o.TLSVerify = true
				o.TLSConfig.ClientAuth, o.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool()
			}
		}).ClientURL()
	}
	mutual, first := serverTLS(true, false), serverTLS(false, true)
	plain := serveWith(t, func(*server.Options) {}).ClientURL()
	caFile := by(file(t, "ca.pem", ca.pem), "--nats-ca")
	cert, key := ca.files(t)
	context := by(file(t, "first.json", []byte(`{"url":"`+first+`","ca":"`+filepath.ToSlash(caFile.Value)+`","tls_first":true}`)), "--nats-context")
	gone, empty := by(filepath.Join(t.TempDir(), "gone"), "--nats-creds"), by(file(t, "empty", []byte("hello")), "--nats-creds")
	at := func(url string) nats.Given { return by(url, "--nats") }
	for want, a := range map[string][]nats.Access{
		"": {{URL: at(keyed), NKey: nkey}, {URL: at(mutual), CA: caFile, Cert: cert, Key: key}, {Context: context}},
		"does not let in a client that names no user":                                     {{URL: at(keyed)}},
		"name the file of the authority that signed the server's certificate with --nats": {{URL: at(mutual)}},
		"name yours with --nats-cert and --nats-key":                                      {{URL: at(mutual), CA: caFile}},
		"write a name that the server's certificate has":                                  {{URL: at(strings.Replace(mutual, "127.0.0.1", "localhost", 1)), CA: caFile, Cert: cert, Key: key}},
		"the server has no TLS, which --nats-ca asks for":                                 {{URL: at(plain), CA: caFile}},
		"--nats-creds " + gone.Value + ": ":                                               {{URL: at(plain), Creds: gone}},
		"--nats-creds " + empty.Value + ": ":                                              {{URL: at(plain), Creds: empty}},
		"--nats-nkey " + empty.Value + ": ":                                               {{URL: at(plain), NKey: by(empty.Value, "--nats-nkey")}},
		"--nats-ca " + empty.Value + ": ":                                                 {{URL: at(plain), CA: by(empty.Value, "--nats-ca")}},
		"NATS_CERT " + empty.Value + ": ":                                                 {{URL: at(plain), Cert: by(empty.Value, "NATS_CERT"), Key: key}},
		"NATS_KEY " + gone.Value + ": ":                                                   {{URL: at(plain), Cert: cert, Key: by(gone.Value, "NATS_KEY")}},
	} {
		for _, layer := range a {
			said(t, want, enters(t, layer))
		}
	}
}

// Credentials are those of an operator's user. A file that is exchanged while a connection stands counts when it
// comes back.
func TestCredentialsAreReadAnew(t *testing.T) {
	o := newOperator(t)
	s := serveWith(t, o.configure)
	path := filepath.Join(t.TempDir(), "user.creds")
	first := o.user(t, path)
	if err := enters(t, nats.Access{URL: by(s.ClientURL(), "--nats"), Creds: by(path, "--nats-creds")}); err != nil {
		t.Fatal(err)
	}
	turned := &counted{of: []byte("NATS does not let in the user of --nats-creds " + path + " any more"), first: make(chan struct{})}
	c, err := nats.Open(within(t), nats.Options{Access: nats.Access{URL: by(s.ClientURL(), "--nats"), Creds: by(path, "--nats-creds")}, Log: slog.New(slog.NewTextHandler(turned, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, c)
	o.revoke(t, s, first) // and the connection ends
	<-turned.first
	tries := func() uint64 {
		v, err := s.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		return v.TotalConnections
	}
	before := tries()
	eventually(t, "it is tried again", func() bool { return tries() > before+3 })
	if n := turned.n.Load(); n != 1 {
		t.Errorf("that the user is turned away is said %d times", n)
	}
	o.user(t, path)
	if _, err := c.Stores().Runs.Put(within(t), "k", []byte("1")); err != nil {
		t.Errorf("with other credentials in the file: %v", err)
	}
	old := file(t, "old.creds", o.creds[first])
	said(t, "does not let in the user of NATS_CREDS "+old, enters(t, nats.Access{URL: by(s.ClientURL(), "--nats")}, nats.Access{Creds: by(old, "NATS_CREDS")}))
}

// counted counts the lines with a text.
type counted struct {
	of    []byte
	n     atomic.Int32
	first chan struct{}
}

func (c *counted) Write(line []byte) (int, error) {
	if bytes.Contains(line, c.of) && c.n.Add(1) == 1 {
		close(c.first)
	}
	return len(line), nil
}

// A context's proxy is used.
func TestContextThroughProxy(t *testing.T) {
	s := serveWith(t, func(*server.Options) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var served atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// [RFC 1928]: one greeting with one method, then CONNECT to an IPv4 address.
				greeting, request := make([]byte, 3), make([]byte, 10)
				if _, err := io.ReadFull(c, greeting); err != nil {
					return
				}
				_, _ = c.Write([]byte{5, 0})
				if _, err := io.ReadFull(c, request); err != nil {
					return
				}
				to, err := net.Dial("tcp", net.JoinHostPort(net.IP(request[4:8]).String(), strconv.Itoa(int(request[8])<<8|int(request[9]))))
				if err != nil {
					return
				}
				defer to.Close()
				served.Add(1)
				_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				go func() { _, _ = io.Copy(to, c); _ = to.Close() }()
				_, _ = io.Copy(c, to)
			}()
		}
	}()
	path := file(t, "c.json", []byte(`{"url":"`+s.ClientURL()+`","socks_proxy":"socks5://`+l.Addr().String()+`"}`))
	if err := enters(t, nats.Access{Context: by(path, "--nats-context")}); err != nil || served.Load() == 0 {
		t.Errorf("%v; through the proxy went %d connections", err, served.Load())
	}
}

// A JetStream domain is reached from another server, as through a leaf node.
func TestContextWithDomain(t *testing.T) {
	to := freeRoutes(t, 1)[0]
	port, _ := strconv.Atoi(to[strings.LastIndexByte(to, ':')+1:])
	hub := serveWith(t, func(o *server.Options) {
		o.JetStreamDomain, o.LeafNode = "hub", server.LeafNodeOpts{Host: "127.0.0.1", Port: port}
	})
	leaf := serveWith(t, func(o *server.Options) {
		o.JetStream = false
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: server.RoutesFromStr(to)}}
	})
	eventually(t, "the leaf node is joined", func() bool { return hub.NumLeafNodes() == 1 && leaf.NumLeafNodes() == 1 })
	path := file(t, "c.json", []byte(`{"url":"`+leaf.ClientURL()+`","jetstream_domain":"hub"}`))
	a, _, err := nats.Merge(nats.Access{Context: by(path, "--nats-context")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := nats.Open(within(t), nats.Options{Access: a})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, c)
	l := newLog(t, c, "r", 16<<20)
	publish(t, l, rows("a", 1, 1000))
	r, err := l.Reader(within(t), "csv", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read(t, r, 1, 1<<20)
	for _, v := range []string{"1", "2"} {
		if _, err := c.Stores().Runs.Put(within(t), "k", []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := c.Stores().Runs.Keys(within(t), ">"); err != nil || len(keys) != 1 {
		t.Errorf("keys %q, %v", keys, err)
	}
	if _, err := c.Bus().Ask(within(t), pipeline.TopicCancel("nothing"), "", nil); err == nil {
		t.Error("nobody answers, and there was an answer")
	}
}

// operator signs accounts and users.
type operator struct {
	key, account nkeys.KeyPair
	claims       *jwt.AccountClaims
	resolver     *server.MemAccResolver
	creds        map[string][]byte // by public key
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{resolver: &server.MemAccResolver{}, creds: map[string][]byte{}}
	o.key, _ = nkeys.CreateOperator()
	o.account, _ = nkeys.CreateAccount()
	public, _ := o.account.PublicKey()
	o.claims = jwt.NewAccountClaims(public)
	o.claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	o.store(t)
	return o
}

func (o *operator) store(t *testing.T) {
	t.Helper()
	token, err := o.claims.Encode(o.key)
	if err == nil {
		err = o.resolver.Store(o.claims.Subject, token)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (o *operator) configure(opts *server.Options) {
	public, _ := o.key.PublicKey()
	opts.TrustedKeys, opts.AccountResolver = []string{public}, o.resolver
	system, _ := nkeys.CreateAccount()
	opts.SystemAccount, _ = system.PublicKey()
	claims := jwt.NewAccountClaims(opts.SystemAccount)
	token, _ := claims.Encode(o.key)
	_ = o.resolver.Store(opts.SystemAccount, token)
}

// user writes the credentials of a new user.
func (o *operator) user(t *testing.T, path string) (public string) {
	t.Helper()
	pair, _ := nkeys.CreateUser()
	public, _ = pair.PublicKey()
	token, err := jwt.NewUserClaims(public).Encode(o.account)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	if o.creds[public], err = jwt.FormatUserConfig(token, seed); err == nil {
		err = os.WriteFile(path, o.creds[public], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func (o *operator) revoke(t *testing.T, s *server.Server, user string) {
	t.Helper()
	o.claims.RevokeAt(user, time.Now().Add(time.Minute))
	o.store(t)
	account, err := s.LookupAccount(o.claims.Subject)
	if err != nil {
		t.Fatal(err)
	}
	s.UpdateAccountClaims(account, o.claims)
}

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, cert: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// signed is a certificate for an address, or for a client.
func (a *authority) signed(t *testing.T, address string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "fanmill"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) files(t *testing.T) (cert, key nats.Given) {
	t.Helper()
	c := a.signed(t, "127.0.0.1")
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return by(file(t, "client.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})), "--nats-cert"),
		by(file(t, "client.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "--nats-key")
}
