package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A session is a cookie that says who it is for: <kind>.<id>.<until>.<signature>. Nothing is kept of it here, so a
// login outlives a restart as long as the token stays.
const (
	sessionIn   = "in"   // somebody who has given the token
	sessionOpen = "open" // anybody, where no token is asked for, and before the login
)

// loginFor is how long a login lasts.
const loginFor = 30 * 24 * time.Hour

// caller is who asks.
type caller struct {
	Name    string // for the event stream
	In      bool   // may see the page
	Session string // what the CSRF token is bound to; "" before the first cookie
	Bearer  bool   // a program that has sent the token itself: no page of another site can make a browser do that
}

type callerKey struct{}

// callerOf is who asks, as known has found out.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// sessionKey signs sessions. It follows from the token, where there is one.
func sessionKey(token string) []byte {
	if token == "" {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // it never fails
		return key
	}
	return sign([]byte(token), "fanmill sessions")
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func random() string { return rand.Text() }

// known finds out who asks, and gives who has no session one.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.who(r)
		if c.Session == "" && !c.Bearer {
			c.Session = s.begin(w, r, sessionOpen, 0)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// who reads bearer token, cookie and the header of a proxy.
func (s *Server) who(r *http.Request) caller {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && s.o.Token != "" {
		if same(token, s.o.Token) {
			return caller{Name: "token" + from(r), In: true, Bearer: true}
		}
		return caller{Bearer: true}
	}
	c := caller{Name: "page" + from(r), In: s.o.Token == "" && s.o.UserHeader == ""}
	if cookie, err := r.Cookie(s.o.Name); err == nil {
		if kind, ok := s.session(cookie.Value); ok {
			c.Session = cookie.Value
			c.In = c.In || kind == sessionIn
		}
	}
	if s.o.UserHeader != "" && s.proxied(r) {
		if user := r.Header.Get(s.o.UserHeader); user != "" {
			c.Name, c.In = user, true
		}
	}
	return c
}

// from says where a request comes from, unless that is this host.
func from(r *http.Request) string {
	if at := peer(r); at.IsValid() && !at.IsLoopback() {
		return " at " + at.String()
	}
	return ""
}

// same compares secrets in a time that says nothing of them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// begin sends a cookie. life 0 ends it with the browser.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, kind string, life time.Duration) string {
	until := int64(0)
	if life > 0 {
		until = time.Now().Add(life).Unix()
	}
	text := kind + "." + random() + "." + strconv.FormatInt(until, 10)
	value := text + "." + base64.RawURLEncoding.EncodeToString(sign(s.key, text))
	secure := s.o.TLS || s.proxied(r) && r.Header.Get("X-Forwarded-Proto") == "https"
	http.SetCookie(w, &http.Cookie{Name: s.o.Name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode})
	return value
}

// session reads a cookie.
func (s *Server) session(value string) (kind string, ok bool) {
	text, mac, ok := cutLast(value, ".")
	if !ok {
		return "", false
	}
	got, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(got, sign(s.key, text)) {
		return "", false
	}
	kind, rest, _ := strings.Cut(text, ".")
	_, end, _ := strings.Cut(rest, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	if err != nil || until != 0 && time.Now().Unix() > until {
		return "", false
	}
	return kind, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
