package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var pageLine = regexp.MustCompile(`the page: (http\S+)`)

// page is the address of a serving child's page.
func (s *server) page() string {
	s.w.t.Helper()
	s.says("the page: ")
	text, _ := s.out.text()
	return pageLine.FindStringSubmatch(text)[1]
}

// get asks a page, with the headers given by name and value, and returns status and body.
func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// fanmill serve has the page, which is ready as soon as it says so.
func TestServeHasAPage(t *testing.T) {
	w := newWorld(t, 10)
	s := w.serve("--http", "127.0.0.1:0", "--pprof")
	page := s.page()
	for path, want := range map[string]string{"": "fanmill", "healthz": "ok", "readyz": "ready", "debug/pprof/cmdline": "serve"} {
		if status, body := get(t, page+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("/%s: status %d:\n%s", path, status, body)
		}
	}
	s.stop()
	if _, err := http.Get(page); err == nil {
		t.Error("the page is there after the end")
	}
}

// A taken port costs a warning, not the jobs.
func TestPageWhosePortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, 10)
	s := w.serve("--http", l.Addr().String())
	s.says("there is no page: " + l.Addr().String() + " is taken by another program")
	if code, said := w.ask("trigger", "gst", "--wait"); code != exitComplete {
		t.Errorf("exit code %d:\n%s", code, said)
	}
}

// What would let everybody in is refused, and so is what cannot be meant.
func TestPageFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	short, long, empty := filepath.Join(w.dir, "short"), filepath.Join(w.dir, "long"), filepath.Join(w.dir, "empty")
	for path, text := range map[string]string{short: "abc\n", long: strings.Repeat("x", 40) + "\n", empty: "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{"--http", "0.0.0.0:0"}, "", "would let everybody in: set FANMILL_HTTP_TOKEN"},
		{[]string{"--http", ":0"}, "", "would let everybody in"},
		{[]string{"--http", "0.0.0.0:0", "--http-token-file", short}, "", "at least 16"},
		{[]string{"--http", "0.0.0.0:0", "--http-token-file", empty}, "", "is empty"},
		{[]string{"--http", "0.0.0.0:0"}, "FANMILL_HTTP_TOKEN=${file:" + filepath.Join(w.dir, "gone") + "}", "FANMILL_HTTP_TOKEN: "},
		{[]string{"--http", "nonsense"}, "", "write HOST:PORT"},
		{[]string{"--http-user-header", "X-User"}, "", "counts only from --http-proxy"},
		{[]string{"--http-proxy", "nowhere"}, "", "write an address such as"},
		{[]string{"--http-cert", "x.pem"}, "", "belong together"},
		{[]string{"--http-cert", "x.pem", "--http-key", "x.pem"}, "", "x.pem: "},
		{[]string{"--http", "0.0.0.0:0", "--http-token-file", long, "--pprof"}, "", "--pprof is for a loopback address"},
	} {
		cmd, out := w.command([]string{"FANMILL_HTTP=127.0.0.1:0", c.env})
		cmd.Args = append(append([]string{cmd.Args[0], "serve", "--jobs", w.dir}, w.args...), c.args...)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitBadJob || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v %s: exit code %d, want %q:\n%s", c.args, c.env, cmd.ProcessState.ExitCode(), c.want, out)
		}
	}
}

// On other addresses than loopback the page is served by TLS, to who has the token; its cookies are for TLS only.
func TestPageByTLS(t *testing.T) {
	w := newWorld(t, 10)
	cert, key, pool := selfSigned(t)
	token := strings.Repeat("long ", 8) + "token"
	path := filepath.Join(w.dir, "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.serve("--http", "0.0.0.0:0", "--http-token-file", path, "--http-cert", cert, "--http-key", key)
	page := s.page()
	if !strings.HasPrefix(page, "https://127.0.0.1:") {
		t.Fatalf("the page is at %s", page)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for header, want := range map[string]int{"": http.StatusUnauthorized, "Bearer " + token: http.StatusOK, "Bearer x": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+"api/v1/runs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("with %q: status %d, want %d", header, answer.StatusCode, want)
		}
		for _, c := range answer.Cookies() {
			if !c.Secure {
				t.Errorf("the cookie %s is sent without TLS", c.Name)
			}
		}
	}
	if text, _ := s.out.text(); strings.Contains(text, token) {
		t.Error("the token is in the log")
	}
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, text := range map[string][]byte{cert: public, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return cert, key, pool
}
