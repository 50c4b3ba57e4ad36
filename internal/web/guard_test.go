package web

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is a client that keeps cookies and says where its requests come from.
type browser struct {
	t       *testing.T
	s       *Server
	host    string
	remote  string
	cookies map[string]string
	header  http.Header
}

func browse(t *testing.T, s *Server) *browser {
	return &browser{t: t, s: s, host: "127.0.0.1:8420", remote: "127.0.0.1:50000", cookies: map[string]string{}, header: http.Header{}}
}

func (b *browser) do(method, target string, body io.Reader, header ...string) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, body)
	r.Host, r.RemoteAddr = b.host, b.remote
	for name, values := range b.header {
		r.Header[name] = values
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.s.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return w.Result()
}

func (b *browser) get(target string, header ...string) *http.Response {
	return b.do("GET", target, nil, header...)
}

func (b *browser) post(target string, form url.Values, header ...string) *http.Response {
	return b.do("POST", target, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var csrfMeta = regexp.MustCompile(`<meta name="csrf" content="([^"]*)">`)

// csrf reads the token of a page.
func (b *browser) csrf(target string) string {
	b.t.Helper()
	page := text(b.t, b.get(target))
	found := csrfMeta.FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("%s has no CSRF token:\n%s", target, page)
	}
	return found[1]
}

const goodToken = "correct horse battery staple"

// A name that nobody configured is refused wherever it is asked for: a page of another site that has its name resolve
// to this address (DNS rebinding) is of the same origin as ours.
func TestHostIsChecked(t *testing.T) {
	s := New(Options{Words: words, Hosts: []string{"fanmill.example.org"}})
	s.Attach(newFake())
	for host, good := range map[string]bool{
		"127.0.0.1:8420": true, "127.0.0.1": true, "[::1]:8420": true, "localhost:8420": true, "LocalHost.": true, "10.1.2.3:80": true,
		"fanmill.example.org": true, "FANMILL.example.org:443": true,
		"evil.example.com": false, "evil.example.com:8420": false, "localhost.evil.com": false, "127.0.0.1.evil.com": false, "": false, "fanmill.example.org.evil.com": false,
	} {
		b := browse(t, s)
		b.host = host
		for _, target := range []string{"/", "/healthz", "/readyz", "/static/page.css", "/login", "/nowhere"} {
			r := b.get(target)
			if bad := r.StatusCode == http.StatusMisdirectedRequest; bad == good {
				t.Errorf("Host %q, %s: status %d", host, target, r.StatusCode)
			}
		}
		if r := b.post("/login", nil); (r.StatusCode == http.StatusMisdirectedRequest) == good {
			t.Errorf("Host %q, POST: status %d", host, r.StatusCode)
		}
	}
}

func TestHeadersAreOnEveryAnswer(t *testing.T) {
	s := New(Options{Words: words})
	s.Attach(newFake())
	for _, target := range []string{"/", "/nowhere", "/healthz", "/static/page.js", "/login"} {
		h := browse(t, s).get(target).Header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: the content policy is %q", target, csp)
		}
		if h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers are %v", target, h)
		}
	}
}

// With a token nothing is shown before the login, and programs are told how to log in.
func TestTokenIsAskedFor(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	s.Attach(newFake())
	b := browse(t, s)
	b.remote = "10.9.8.7:1234"
	r := b.get("/")
	if page := text(t, r); r.StatusCode != http.StatusUnauthorized || !strings.Contains(page, `type="password"`) || strings.Contains(page, "of-the-store") {
		t.Fatalf("status %d:\n%s", r.StatusCode, page)
	}
	for _, target := range []string{"/api/v1/runs", "/metrics", "/events", "/api/v1/openapi.json", "/api/v1/nothing"} {
		if r := b.get(target); r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: status %d, %v", target, r.StatusCode, r.Header)
		}
	}
	if r := b.get("/", "Authorization", "Bearer "+goodToken); r.StatusCode != http.StatusOK || len(r.Cookies()) > 0 {
		t.Errorf("with the token: status %d, cookies %v", r.StatusCode, r.Cookies())
	}
	if r := b.get("/", "Authorization", "Bearer wrong"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a wrong token: status %d", r.StatusCode)
	}
	csrf := b.csrf("/login")
	if r := b.post("/login", url.Values{"csrf": {csrf}, "token": {"wrong"}}); r.StatusCode != http.StatusForbidden {
		t.Errorf("a wrong token: status %d", r.StatusCode)
	}
	if r := b.post("/login", url.Values{"csrf": {csrf}, "token": {goodToken}, "next": {"runs/x?a=1"}}); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "./runs/x?a=1" {
		t.Fatalf("the token: status %d, to %q", r.StatusCode, r.Header.Get("Location"))
	} else if c := r.Cookies()[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v", c)
	}
	if r := b.get("/"); r.StatusCode != http.StatusOK {
		t.Errorf("after the login: status %d", r.StatusCode)
	}
	again := New(Options{Words: words, Token: goodToken}) // a login outlives the process
	again.Attach(newFake())
	b.s = again
	if r := b.get("/"); r.StatusCode != http.StatusOK {
		t.Errorf("after a restart: status %d", r.StatusCode)
	}
	other := New(Options{Words: words, Token: goodToken + "2"}) // and ends with the token
	other.Attach(newFake())
	b.s = other
	if r := b.get("/"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("after another token: status %d", r.StatusCode)
	}
	b.s = s
	csrf = b.csrf("/")
	b.post("/logout", url.Values{"csrf": {csrf}})
	if r := b.get("/"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: status %d", r.StatusCode)
	}
}

func TestLoginLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{"runs/x?y=%20": "runs/x?y=%20", "": "", "//evil.com": "", "https://evil.com": "", "/\\evil.com": "", "\\evil.com": "", "../../x": "", "javascript:alert(1)": "", "a\r\nb": ""} {
		if got := within(next); got != want {
			t.Errorf("within(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestGuessingIsSlow(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	b := browse(t, s)
	csrf := b.csrf("/login")
	for range failureBurst {
		b.post("/login", url.Values{"csrf": {csrf}, "token": {"wrong"}})
	}
	if r := b.post("/login", url.Values{"csrf": {csrf}, "token": {goodToken}}); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("after %d wrong tokens: status %d", failureBurst, r.StatusCode)
	}
}

// The code that fanmill ui opens a browser with is good once.
func TestCodeIsGoodOnce(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	s.Attach(newFake())
	code := s.Code()
	b, thief := browse(t, s), browse(t, s)
	if r := b.post("/login", url.Values{"csrf": {b.csrf("/login")}, "code": {code}}); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", r.StatusCode)
	}
	if r := b.get("/"); r.StatusCode != http.StatusOK {
		t.Errorf("after the login: status %d", r.StatusCode)
	}
	if r := thief.post("/login", url.Values{"csrf": {thief.csrf("/login")}, "code": {code}}); r.StatusCode != http.StatusForbidden {
		t.Errorf("the code again: status %d", r.StatusCode)
	}
}

// A change needs our own token, and no other site may ask for it, whatever it sends.
func TestChangesAreOurs(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	s.Attach(newFake())
	b := browse(t, s)
	good := url.Values{"csrf": {b.csrf("/login")}, "token": {goodToken}}
	for what, header := range map[string][]string{
		"cross-site":     {"Sec-Fetch-Site", "cross-site"},
		"same-site":      {"Sec-Fetch-Site", "same-site"},
		"another origin": {"Origin", "http://evil.com"},
		"a null origin":  {"Origin", "null"},
	} {
		if r := b.post("/login", good, header...); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", what, r.StatusCode)
		}
	}
	for what, form := range map[string]url.Values{"none": {"token": {goodToken}}, "a wrong one": {"token": {goodToken}, "csrf": {"x"}}, "another session's": {"token": {goodToken}, "csrf": {browse(t, s).csrf("/login")}}} {
		if r := b.post("/login", form); r.StatusCode != http.StatusForbidden {
			t.Errorf("with %s: status %d", what, r.StatusCode)
		}
	}
	if r := b.post("/login", good, "Origin", "http://127.0.0.1:8420", "Sec-Fetch-Site", "same-origin"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("our own: status %d", r.StatusCode)
	}
}

// A link from a mail brings no cookie: the answer loads itself anew from this site, and does not ask to log in.
func TestLinkFromElsewhere(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	b := browse(t, s)
	r := b.get("/runs/x", "Sec-Fetch-Site", "cross-site")
	if page := text(t, r); r.StatusCode != http.StatusOK || !strings.Contains(page, `http-equiv="refresh"`) || strings.Contains(page, "password") {
		t.Errorf("status %d:\n%s", r.StatusCode, page)
	}
	if r := b.get("/runs/x", "Sec-Fetch-Site", "same-origin"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("loaded anew: status %d", r.StatusCode)
	}
}

// The header of a proxy counts from that proxy alone.
func TestProxySaysWho(t *testing.T) {
	s := New(Options{Words: words, UserHeader: "X-User", Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	s.Attach(newFake())
	for remote, good := range map[string]bool{"10.1.1.1:80": true, "[::ffff:10.1.1.1]:80": true, "11.1.1.1:80": false, "127.0.0.1:80": false} {
		b := browse(t, s)
		b.remote = remote
		if r := b.get("/", "X-User", "asha"); (r.StatusCode == http.StatusOK) != good {
			t.Errorf("from %s: status %d", remote, r.StatusCode)
		}
	}
	b := browse(t, s)
	b.remote = "10.1.1.1:80"
	if r := b.get("/", "X-User", "asha", "X-Forwarded-Proto", "https"); !r.Cookies()[0].Secure {
		t.Error("the cookie of a page behind TLS is sent without it")
	}
	b = browse(t, s)
	b.remote = "10.1.1.1:80"
	if r := b.get("/"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a user: status %d", r.StatusCode)
	}
}

func TestHealth(t *testing.T) {
	s := New(Options{Words: words, Token: goodToken})
	b := browse(t, s)
	b.remote = "10.1.1.1:80" // a probe needs no token
	status := func(target string) int { return b.get(target).StatusCode }
	if status("/healthz") != 200 || status("/readyz") != 503 {
		t.Error("before the store is open it is to be healthy and not ready")
	}
	f := newFake()
	s.Attach(f)
	if status("/healthz") != 200 || status("/readyz") != 200 {
		t.Error("with a store it is to be healthy and ready")
	}
	f.notReady = errors.New("nats://secret@10.0.0.1 is away")
	if r := b.get("/readyz"); r.StatusCode != 503 || strings.Contains(text(t, r), "secret") || status("/healthz") != 200 {
		t.Error("without a store it is to be healthy, not ready, and silent on the address")
	}
	f.notReady = nil
	s.Drain()
	if status("/healthz") != 200 || status("/readyz") != 503 {
		t.Error("a process that drains is to be healthy and not ready")
	}
	f.stuck = errors.New("stuck")
	if status("/healthz") != 503 {
		t.Error("a process that is stuck is not to be healthy")
	}
}

func TestProfilesAreForThisHost(t *testing.T) {
	s := New(Options{Words: words, Pprof: true})
	s.Attach(newFake())
	b := browse(t, s)
	if r := b.get("/debug/pprof/cmdline"); r.StatusCode != http.StatusOK {
		t.Errorf("from here: status %d", r.StatusCode)
	}
	b.remote = "10.1.1.1:80"
	if r := b.get("/debug/pprof/cmdline"); r.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: status %d", r.StatusCode)
	}
	if r := browse(t, New(Options{Words: words})).get("/debug/pprof/cmdline"); r.StatusCode == http.StatusOK {
		t.Error("profiles are served though nobody asked for them")
	}
}

// Links are relative: a proxy may have the page below a path.
func TestRootIsRelative(t *testing.T) {
	for target, want := range map[string]string{"/": "./", "/login": "./", "/runs/x": "./../", "/runs/x/files/y/0": "./../../../../", "/runs/a%2Fb": "./../"} {
		if got := root(httptest.NewRequest("GET", target, nil)); got != want {
			t.Errorf("root of %s is %q, want %q", target, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:1": true, "0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false, "example.org:1": false} {
		if got := Loopback(address); got != want {
			t.Errorf("Loopback(%q) = %v", address, got)
		}
	}
}
