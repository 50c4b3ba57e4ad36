package post

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Mistake is one thing that is wrong with an option. It never shows a value.
type Mistake struct {
	Key     string // the option's name in a job file: "auth.bearer", "secrets[0]", "headers.X-Tenant"
	Text    string
	Warning bool // it can be sent all the same
}

func (m Mistake) String() string { return m.Key + " " + m.Text }

// Check returns all mistakes and warnings at once. A value with a reference (${NAME}, ${file:PATH}) is left alone: what
// it stands for is looked at by New.
func (o Options) Check() []Mistake {
	o, told := o.trimmed()
	return append(told, o.all(references)...)
}

func (o Options) mistakes(r reading) []Mistake {
	return slices.DeleteFunc(o.all(r), func(m Mistake) bool { return m.Warning })
}

// reading says whether "${" begins a reference, or is what a value has in it.
type reading bool

const (
	references reading = true
	final      reading = false
)

// known reports whether s can be looked at.
func (r reading) known(s string) bool { return r == final || !strings.Contains(s, "${") }

func mistakesError(list []Mistake) error {
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.String()
	}
	return errors.New(strings.Join(texts, "; "))
}

func indexed(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// minSecret is the least length of a credential in characters: a shorter one could not be masked in messages.
const minSecret = 4

// ownHeaders are made here or by net/http for each attempt.
var ownHeaders = []string{"Connection", "Content-Encoding", "Content-Length", "Expect", "Fanmill-Partition", "Fanmill-Sequence", "Host",
	"Idempotency-Key", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Webhook-Id",
	"Webhook-Signature", "Webhook-Timestamp"}

type checker struct {
	o    Options
	r    reading
	list []Mistake
}

func (c *checker) wrong(key, format string, args ...any) {
	c.list = append(c.list, Mistake{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(key, format string, args ...any) {
	c.list = append(c.list, Mistake{Key: key, Text: fmt.Sprintf(format, args...), Warning: true})
}

func (o Options) all(r reading) []Mistake {
	c := &checker{o: o, r: r}
	c.url("url", o.URL)
	c.choice("method", o.Method, "POST", "PUT", "PATCH")
	c.choice("conflict", o.Conflict, "retry", "accept", "fail")
	c.choice("probe", o.Probe, "HEAD")
	c.numbers()
	c.headers()
	c.auth()
	c.tls()
	c.proxy()
	c.signing()
	if _, err := parsePath(o.Receipt); err != nil {
		c.wrong("receipt", "%s", err)
	}
	if _, err := parseCondition(o.Success); err != nil {
		c.wrong("success", "%s", err)
	}
	return c.list
}

func (c *checker) choice(key, value string, allowed ...string) {
	if value != "" && c.r.known(value) && !slices.Contains(allowed, value) {
		c.wrong(key, "is not one of %s", strings.Join(allowed, ", "))
	}
}

func (c *checker) numbers() {
	o := c.o
	if o.Timeout < 0 {
		c.wrong("timeout", "is negative")
	}
	if o.Stall < 0 {
		c.wrong("progressTimeout", "is negative")
	}
	if o.Parallel < 0 {
		c.wrong("parallel", "is negative")
	}
	if !(o.PerSecond >= 0 && o.PerSecond <= 1e6) {
		c.wrong("perSecond", "is not between 0 and 1,000,000")
	}
	switch {
	case o.Redirects < 0 || o.Redirects > maxRedirects:
		c.wrong("redirects", "is not between 0 and %d", maxRedirects)
	case o.Redirects > 0 && o.signs():
		c.wrong("redirects", "is for APIs: a webhook follows none, give the address it moved to as url")
	}
}

// url checks an address and reports whether it may be used.
func (c *checker) url(key, text string) {
	if text == "" {
		c.wrong(key, "is missing")
		return
	}
	if !c.r.known(text) {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		c.wrong(key, "cannot be read as a URL; write https://HOST/PATH, with special characters as %%XX")
	case u.Scheme != "https" && u.Scheme != "http":
		c.wrong(key, "does not begin with https:// or http://")
	case u.Hostname() == "":
		c.wrong(key, "names no host")
	case u.User != nil:
		c.wrong(key, "has a user or password in it; they belong into auth.basic")
	case u.Fragment != "":
		c.wrong(key, "has a fragment (#...), which is never sent")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.warn(key, "is not encrypted: rows and credentials can be read on the way; use https://")
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *checker) headers() {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.o.Headers)) {
		key, canonical := "headers."+name, http.CanonicalHeaderKey(name)
		if !httpguts.ValidHeaderFieldName(name) {
			c.wrong(key, "is not a header's name")
			continue
		}
		if other, ok := seen[canonical]; ok {
			c.wrong(key, "is there twice: %s is the same header", other)
		}
		seen[canonical] = name
		if slices.Contains(ownHeaders, canonical) {
			c.wrong(key, "is set for each request by itself; leave it out")
		}
		if canonical == "Authorization" && c.o.Auth != (Auth{}) {
			c.wrong(key, "and auth are both given; keep one")
		}
		c.value(key, c.o.Headers[name])
	}
}

// value checks what is sent in a header.
func (c *checker) value(key, value string) {
	if c.r.known(value) && !httpguts.ValidHeaderFieldValue(value) {
		c.wrong(key, "has a line break or another control character in it")
	}
}

func (c *checker) auth() {
	a, kinds := c.o.Auth, 0
	if a.Bearer != "" {
		kinds++
		c.credential("auth.bearer", a.Bearer)
	}
	if a.Basic != nil {
		kinds++
		c.basic(*a.Basic)
	}
	if a.APIKey != nil {
		kinds++
		c.apiKey(*a.APIKey)
	}
	if a.OAuth2 != nil {
		kinds++
		c.oauth2(*a.OAuth2)
	}
	if kinds > 1 {
		c.wrong("auth", "has more than one of bearer, basic, apiKey and oauth2; keep one")
	}
}

func (c *checker) credential(key, value string) {
	switch {
	case !c.r.known(value):
	case value == "":
		c.wrong(key, "is empty")
	case strings.TrimSpace(value) != value:
		c.wrong(key, "has spaces or line breaks around it")
	case len(value) < minSecret:
		c.wrong(key, "is shorter than %d characters, which cannot be kept out of messages", minSecret)
	default:
		c.value(key, value)
	}
}

func (c *checker) basic(b Basic) {
	if c.r.known(b.User) && strings.Contains(b.User, ":") {
		c.wrong("auth.basic.user", `has a ":" in it, which HTTP cannot send`)
	}
	c.value("auth.basic.user", b.User)
	c.value("auth.basic.password", b.Password)
	switch {
	case b.Password == "":
		c.credential("auth.basic.user", b.User)
	case c.r.known(b.Password) && len(b.Password) < minSecret:
		c.wrong("auth.basic.password", "is shorter than %d characters, which cannot be kept out of messages", minSecret)
	}
}

func (c *checker) apiKey(k APIKey) {
	c.choice("auth.apiKey.in", k.In, "header", "query")
	c.credential("auth.apiKey.value", k.Value)
	switch {
	case k.Name == "":
		c.wrong("auth.apiKey.name", "is missing")
	case k.In == "query" || !c.r.known(k.Name):
	case !httpguts.ValidHeaderFieldName(k.Name):
		c.wrong("auth.apiKey.name", "is not a header's name")
	case slices.Contains(ownHeaders, http.CanonicalHeaderKey(k.Name)):
		c.wrong("auth.apiKey.name", "is a header that is set for each request by itself")
	default:
		for name := range c.o.Headers {
			if strings.EqualFold(name, k.Name) {
				c.wrong("auth.apiKey.name", "is among headers, too; keep one")
			}
		}
	}
}

func (c *checker) oauth2(a OAuth2) {
	c.url("auth.oauth2.tokenUrl", a.TokenURL)
	if a.ClientID == "" {
		c.wrong("auth.oauth2.clientId", "is missing")
	}
	c.credential("auth.oauth2.clientSecret", a.ClientSecret)
	c.choice("auth.oauth2.clientAuth", a.ClientAuth, "header", "body")
}

func (c *checker) tls() {
	t := c.o.TLS
	c.choice("tls.minVersion", t.MinVersion, "1.2", "1.3")
	switch {
	case t.Cert != "" && t.Key == "":
		c.wrong("tls.key", "is missing: tls.cert needs it")
	case t.Key != "" && t.Cert == "":
		c.wrong("tls.cert", "is missing: tls.key needs it")
	case t.Cert != "" && c.r.known(t.Cert) && c.r.known(t.Key):
		if _, err := keyPair(t); err != nil {
			c.wrong("tls.cert", "%s", err)
		}
	}
	if t.CA != "" && c.r.known(t.CA) {
		if _, err := authorities(t.CA); err != nil {
			c.wrong("tls.ca", "%s", err)
		}
	}
}

func (c *checker) proxy() {
	p := c.o.Proxy
	if p == "" || p == "none" || !c.r.known(p) {
		return
	}
	u, err := url.Parse(p)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		c.wrong("proxy", `is neither "none" nor the URL of a proxy: http://, https:// or socks5:// and a host`)
	}
}

func (c *checker) signing() {
	for i, s := range c.o.SigningSecrets {
		if !c.r.known(s) {
			continue
		}
		key := indexed("secrets", i)
		secret, err := parseSecret(s)
		switch {
		case err != nil:
			c.wrong(key, "%s", err)
		case slices.Contains(c.o.SigningSecrets[:i], s):
			c.wrong(key, "is there twice")
		case len(secret) < minSigning:
			c.warn(key, "has %d bytes; Standard Webhooks asks for %d to 64", len(secret), minSigning)
		}
	}
}

// minSigning is the least length of a signing secret in bytes, as Standard Webhooks has it.
const minSigning = 24

// parseSecret returns a signing secret's bytes. Source: Standard Webhooks 1.0, "Signature scheme": 24 to 64 random
// bytes in padded Base64 behind "whsec_", which its libraries take as optional.
func parseSecret(s string) ([]byte, error) {
	if raw, ok := strings.CutPrefix(s, "raw:"); ok {
		if len(raw) < minSecret {
			return nil, fmt.Errorf("is shorter than %d characters, which cannot be kept out of messages", minSecret)
		}
		return []byte(raw), nil
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case err != nil:
		return nil, errors.New(`is not Base64 (with "=" at its end where it needs that); if the receiver takes the text itself as secret, write raw: before it`)
	case len(secret) < minSigning:
		return nil, fmt.Errorf(`has %d bytes, and needs %d at least; if the receiver takes the text itself as secret, write raw: before it`, len(secret), minSigning)
	}
	return secret, nil
}
