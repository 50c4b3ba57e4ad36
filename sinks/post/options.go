package post

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds and defaults of the options.
const (
	defaultTimeout = 30 * time.Second // Standard Webhooks recommends 15 to 30 s
	defaultStall   = 60 * time.Second
	maxRedirects   = 3
	expectOver     = 1 << 20 // bytes; larger bodies ask with "Expect: 100-continue" first
	answerBytes    = 64 << 10
	conflictTries  = 5 // answers 409 for one key until it is final
)

// Options say where and how to send. New takes values; Check also takes texts with references such as ${TOKEN}.
type Options struct {
	URL       string
	Method    string // POST (default), PUT or PATCH
	Headers   map[string]string
	Timeout   time.Duration // from the last byte written to the answer's header; 30 s by default
	Stall     time.Duration // the longest time in which a phase takes or gives no byte; 60 s by default
	Auth      Auth
	TLS       TLS
	Proxy     string // URL of a proxy (http, https, socks5), "none", or "" for what the environment says
	NoExpect  bool   // no "Expect: 100-continue" before large bodies
	Conflict  string // what 409 means: "retry" (default), "accept" or "fail"
	Redirects int    // how many redirects 307 and 308 of the same origin are followed: 0 to 3; none with Webhook
	Probe     string // "" (TCP and TLS only) or "HEAD"

	Webhook        bool     // sends the headers of Standard Webhooks
	SigningSecrets []string // of Standard Webhooks, newest first: "whsec_...", the same without prefix, or "raw:..."

	Receipt string // where an answer has the receipt's id: "$.id", "$.data[0].url"
	Success string // what an answer must say besides its status: "$.ok == true"

	Parallel  int     // requests at once for one host and credential, the least of all clients; 1 by default
	PerSecond float64 // requests a second for one host and credential, the least of all clients; 0 is no limit

	// Mask has more values that no message may show: what references in any option were replaced by.
	Mask []string
}

// Auth says who sends; at most one of its fields is set.
type Auth struct {
	Bearer string
	Basic  *Basic
	APIKey *APIKey
	OAuth2 *OAuth2
}

// Basic is a user with a password, which may be empty: some receivers take a key as user.
type Basic struct{ User, Password string }

// APIKey is a key in a header or in the query of the URL.
type APIKey struct {
	Name, Value string
	In          string // "header" (default) or "query"
}

// OAuth2 are client credentials, RFC 6749 section 4.4.
type OAuth2 struct {
	TokenURL, ClientID, ClientSecret string
	Scopes                           []string
	Params                           map[string]string // more fields of the token request, such as "audience"
	ClientAuth                       string            // "header", "body", or "" to find out
}

// TLS has PEM texts or paths of PEM files. Certificates are always verified.
type TLS struct {
	Cert, Key  string // the client's certificate with its chain, and its key
	CA         string // authorities besides those of the system
	MinVersion string // "1.2" (default) or "1.3"
}

func (o Options) withDefaults() Options {
	if o.Method == "" {
		o.Method = "POST"
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Conflict == "" {
		o.Conflict = "retry"
	}
	if o.Parallel == 0 {
		o.Parallel = 1
	}
	return o
}

func (o Options) signs() bool { return o.Webhook || len(o.SigningSecrets) > 0 }

// trimmed returns a copy without the one line end that a value read from a file has behind it, and tells of each.
func (o Options) trimmed() (Options, []Mistake) {
	var told []Mistake
	trim := func(key string, s *string) {
		t := strings.TrimSuffix(strings.TrimSuffix(*s, "\n"), "\r")
		if t == *s || !strings.HasSuffix(*s, "\n") {
			return
		}
		*s = t
		told = append(told, Mistake{Key: key, Text: "ends with a line end, which is not sent", Warning: true})
	}
	o.Headers = maps.Clone(o.Headers)
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		v := o.Headers[name]
		trim("headers."+name, &v)
		o.Headers[name] = v
	}
	o.SigningSecrets = slices.Clone(o.SigningSecrets)
	for i := range o.SigningSecrets {
		trim(indexed("secrets", i), &o.SigningSecrets[i])
	}
	o.Auth = o.Auth.clone()
	trim("url", &o.URL)
	trim("proxy", &o.Proxy)
	trim("auth.bearer", &o.Auth.Bearer)
	if a := o.Auth.Basic; a != nil {
		trim("auth.basic.user", &a.User)
		trim("auth.basic.password", &a.Password)
	}
	if a := o.Auth.APIKey; a != nil {
		trim("auth.apiKey.value", &a.Value)
	}
	if a := o.Auth.OAuth2; a != nil {
		trim("auth.oauth2.tokenUrl", &a.TokenURL)
		trim("auth.oauth2.clientId", &a.ClientID)
		trim("auth.oauth2.clientSecret", &a.ClientSecret)
	}
	return o, told
}

func (a Auth) clone() Auth {
	if a.Basic != nil {
		v := *a.Basic
		a.Basic = &v
	}
	if a.APIKey != nil {
		v := *a.APIKey
		a.APIKey = &v
	}
	if a.OAuth2 != nil {
		v := *a.OAuth2
		a.OAuth2 = &v
	}
	return a
}
