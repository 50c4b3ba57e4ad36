package post_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func authority(t *testing.T) *receiver.Authority {
	t.Helper()
	a, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func secure(t *testing.T, a *receiver.Authority, clients bool, names ...string) *receiver.Receiver {
	t.Helper()
	config, err := a.Server(clients, names...)
	if err != nil {
		t.Fatal(err)
	}
	return newReceiver(t, receiver.Options{TLS: config})
}

func TestTLS(t *testing.T) {
	a := authority(t)
	plain, withClients, named := secure(t, a, false), secure(t, a, true), secure(t, a, false, "elsewhere.example")
	cert, key, err := a.Issue()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(a.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	insecure := "http" + strings.TrimPrefix(plain.URL, "https")
	http := newReceiver(t, receiver.Options{})
	for name, c := range map[string]struct {
		url  string
		tls  post.TLS
		text string // of an error of the target; "" for a delivery
	}{
		"own authority":         {plain.URL, post.TLS{CA: a.PEM}, ""},
		"own authority, a file": {plain.URL, post.TLS{CA: file, MinVersion: "1.3"}, ""},
		"unknown authority":     {plain.URL, post.TLS{}, "set tls.ca"},
		"other name":            {named.URL, post.TLS{CA: a.PEM}, "set tls.ca"},
		"client certificate":    {withClients.URL, post.TLS{CA: a.PEM, Cert: cert, Key: key}, ""},
		"no client certificate": {withClients.URL, post.TLS{CA: a.PEM}, "check tls.cert"},
		"https to a plain port": {"https" + strings.TrimPrefix(http.URL, "http"), post.TLS{}, "speaks no TLS"},
		"http to a TLS port":    {insecure, post.TLS{}, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{nil, newClient(t, post.Options{URL: c.url, TLS: c.tls})}
			switch {
			case c.text == "":
				w.send(t, request(name[:3], "{}"))
			case c.text == "400": // what a Go server says to plain HTTP on its TLS port
				w.fail(t, request("a", "{}"), pipeline.OfRequest)
			default:
				if _, f := w.fail(t, request("a", "{}"), pipeline.OfTarget); !strings.Contains(f.Error(), c.text) || f.MayHaveArrived {
					t.Errorf("may have arrived %v: %v", f.MayHaveArrived, f)
				}
			}
		})
	}
}

// TestMinVersion: a receiver that ends below what the options ask for.
func TestMinVersion(t *testing.T) {
	a := authority(t)
	config, err := a.Server(false)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxVersion = tls.VersionTLS12
	r := newReceiver(t, receiver.Options{TLS: config})
	w := &world{r, newClient(t, post.Options{URL: r.URL, TLS: post.TLS{CA: a.PEM, MinVersion: "1.3"}})}
	if _, f := w.fail(t, request("a", "{}"), pipeline.OfTarget); !strings.Contains(f.Error(), "tls.minVersion") {
		t.Errorf("%v", f)
	}
}

// TestHTTP2 delivers a body by HTTP/2, which own dialers and certificates turn off unless it is asked for.
func TestHTTP2(t *testing.T) {
	var proto string
	var length int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		proto, length = r.Proto, len(b)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	w := &world{nil, newClient(t, post.Options{URL: s.URL, TLS: post.TLS{CA: pemOf(s.Certificate().Raw)}})}
	w.send(t, large("a", 3<<20))
	if proto != "HTTP/2.0" || length != 3<<20 {
		t.Errorf("%s, %d bytes", proto, length)
	}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// newProxy is a proxy that answers CONNECT with a status, or lets it through with 200.
func newProxy(t *testing.T, status int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(from, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
		from.Close()
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestProxy(t *testing.T) {
	a := authority(t)
	r := secure(t, a, false)
	through := func(status int) *world {
		u, _ := url.Parse(newProxy(t, status))
		u.User = url.UserPassword("me", "proxy-password")
		return &world{r, newClient(t, post.Options{URL: r.URL, TLS: post.TLS{CA: a.PEM}, Proxy: u.String()})}
	}
	w := through(200)
	w.send(t, request("a", "{}"))
	if _, err := w.client.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	w.client.Close()
	_, f := through(407).fail(t, request("a", "{}"), pipeline.OfTarget)
	if !strings.Contains(f.Error(), "the proxy answers 407") || strings.Contains(f.Error(), "proxy-password") {
		t.Errorf("%v", f)
	}
	through(403).fail(t, request("a", "{}"), pipeline.OfTarget)
	through(503).fail(t, request("a", "{}"), pipeline.OfMoment)
	_, err := through(407).client.Probe(t.Context())
	if trouble, _ := parts(t, err); trouble.Scope != pipeline.OfTarget {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	a := authority(t)
	r := secure(t, a, false)
	c := newClient(t, post.Options{URL: r.URL, TLS: post.TLS{CA: a.PEM}})
	text, err := c.Probe(t.Context())
	if err != nil || !strings.Contains(text, "reached "+r.URL+" by TLS 1.3, certificate valid until ") {
		t.Errorf("%q, %v", text, err)
	}
	if len(r.Requests()) != 0 {
		t.Errorf("a probe sent %+v", r.Requests())
	}
	_, err = newClient(t, post.Options{URL: r.URL}).Probe(t.Context())
	if trouble, _ := parts(t, err); trouble.Scope != pipeline.OfTarget || !strings.Contains(err.Error(), "set tls.ca") {
		t.Error(err)
	}
	r.Stop()
	_, err = c.Probe(t.Context())
	if trouble, _ := parts(t, err); trouble.Scope != pipeline.OfMoment || !strings.Contains(err.Error(), "reach "+r.URL) {
		t.Error(err)
	}
}

func TestProbeHead(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.Probe, o.Auth.Bearer = "HEAD", "bearer-token" })
	for status, scope := range map[int]pipeline.Scope{401: pipeline.OfTarget, 403: pipeline.OfTarget, 301: pipeline.OfTarget, 503: pipeline.OfMoment} {
		w.Script(receiver.Redirect(status, "/there"))
		_, err := w.client.Probe(t.Context())
		if trouble, _ := parts(t, err); trouble.Scope != scope {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, status := range []int{200, 204, 400, 404, 405, 501} {
		w.Script(receiver.Say(status, ""))
		if text, err := w.client.Probe(t.Context()); err != nil || !strings.Contains(text, fmt.Sprint(status)) {
			t.Errorf("%d: %q, %v", status, text, err)
		}
	}
	for _, q := range w.Requests() {
		if q.Method != "HEAD" || q.Header.Get("Authorization") != "Bearer bearer-token" || q.Header.Get("Idempotency-Key") != "" {
			t.Errorf("%+v", q)
		}
	}
}
