package post_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// tokenServer gives tokens "access-token-1" and on, or answers as told.
type tokenServer struct {
	*httptest.Server
	given  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.answer.Load(); f != nil {
			(*f)(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"access-token-%d","token_type":"Bearer","expires_in":3600}`, s.given.Add(1))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) say(status int, header, value, body string) {
	f := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
	s.answer.Store(&f)
}

func (s *tokenServer) auth() post.Auth {
	return post.Auth{OAuth2: &post.OAuth2{TokenURL: s.URL + "/token", ClientID: "id", ClientSecret: "client-secret", Scopes: []string{"send"}, ClientAuth: "header"}}
}

// TestToken: a token is asked for once; one that is refused after it was good is renewed by the next attempt; a fresh
// one that is refused is of the target.
func TestToken(t *testing.T) {
	s := newTokenServer(t)
	w := newWorld(t, func(o *post.Options) { o.Auth = s.auth() })
	w.send(t, request("a", "{}"))
	w.send(t, request("b", "{}"))
	if got := w.Requests()[1].Header.Get("Authorization"); got != "Bearer access-token-1" || s.given.Load() != 1 {
		t.Fatalf("%q after %d tokens", got, s.given.Load())
	}
	w.Script(receiver.Say(401, "expired"), receiver.Say(401, "never heard of you"))
	w.fail(t, request("c", "{}"), pipeline.OfMoment)
	_, f := w.fail(t, request("c", "{}"), pipeline.OfTarget)
	if s.given.Load() != 2 || !strings.Contains(f.Error(), "renew the token") {
		t.Errorf("%d tokens: %v", s.given.Load(), f)
	}
}

func TestTokenRefused(t *testing.T) {
	for _, c := range []struct {
		status              int
		header, value, body string
		scope               pipeline.Scope
		after               time.Duration
	}{
		{400, "Content-Type", "application/json", `{"error":"invalid_client","error_description":"no such client"}`, pipeline.OfTarget, 0},
		{401, "", "", "who?", pipeline.OfTarget, 0},
		{403, "", "", "", pipeline.OfTarget, 0},
		{302, "Location", "https://elsewhere.example/login", "", pipeline.OfTarget, 0},
		{200, "Content-Type", "text/html", "<html>log in</html>", pipeline.OfTarget, 0},
		{200, "Content-Type", "application/json", `{"error":"invalid_scope"}`, pipeline.OfTarget, 0},
		{429, "Retry-After", "9", "", pipeline.OfMoment, 9 * time.Second},
		{503, "", "", "", pipeline.OfMoment, 0},
	} {
		s := newTokenServer(t)
		s.say(c.status, c.header, c.value, c.body)
		w := newWorld(t, func(o *post.Options) { o.Auth = s.auth() })
		trouble, f := w.fail(t, request("a", "{}"), c.scope)
		if trouble.After != c.after || f.Phase != post.Authorizing || f.MayHaveArrived || len(w.Requests()) != 0 {
			t.Errorf("%d: after %s: %v", c.status, trouble.After, f)
		}
	}
	s := newTokenServer(t)
	s.Close()
	w := newWorld(t, func(o *post.Options) { o.Auth = s.auth() })
	w.fail(t, request("a", "{}"), pipeline.OfMoment)
}
