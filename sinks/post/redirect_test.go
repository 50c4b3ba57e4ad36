package post_test

import (
	"strings"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// TestLoginPage: a redirect that Go's client would follow as a GET to a page that says 200 is no delivery.
func TestLoginPage(t *testing.T) {
	for _, status := range []int{301, 302, 303} {
		w := newWorld(t, func(o *post.Options) { o.Redirects = 3 })
		w.Script(receiver.Redirect(status, "/login?session=abc"), receiver.Say(200, "log in"))
		_, f := w.fail(t, request("a", "{}"), pipeline.OfTarget)
		if len(w.Requests()) != 1 || !strings.Contains(f.Error(), w.URL+"/login") || strings.Contains(f.Error(), "session") {
			t.Errorf("%d requests: %v", len(w.Requests()), f)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, status := range []int{307, 308} {
		w := newWorld(t, func(o *post.Options) {
			o.Redirects = 3
			o.Auth.APIKey = &post.APIKey{Name: "key", Value: "secret", In: "query"}
		})
		w.Script(receiver.Redirect(status, "/v2?x=1"), receiver.Redirect(status, w.URL+"/v3?key=secret"), receiver.Step{Store: true})
		receipt := w.send(t, request("a", `{"a":1}`))
		all := w.Requests()
		if receipt.Wire != 3 || len(receipt.Notes) != 2 || string(all[2].Body) != `{"a":1}` || all[2].Method != "POST" || all[2].Path != "/v3" {
			t.Errorf("%+v: %+v", receipt, all)
		}
		if all[1].Query != "x=1&key=secret" || all[2].Query != "key=secret" {
			t.Errorf("queries %q, %q", all[1].Query, all[2].Query)
		}
		w.sound(t)
	}
}

func TestRedirectsEnd(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.Redirects = 3 })
	again := receiver.Redirect(307, "/round")
	w.Script(again, again, again, again, again)
	_, f := w.fail(t, request("a", "{}"), pipeline.OfTarget)
	if len(w.Requests()) != 4 || f.Receipt.Wire != 4 {
		t.Errorf("%d requests, wire %d", len(w.Requests()), f.Receipt.Wire)
	}
}

// TestOtherOrigin: neither body nor credentials nor signatures go to another host, port or scheme.
func TestOtherOrigin(t *testing.T) {
	other := newReceiver(t, receiver.Options{})
	for _, to := range []string{other.URL + "/hook", "https" + strings.TrimPrefix(other.URL, "http"), "//" + strings.TrimPrefix(other.URL, "http://"), "http://user:word@HOST/x", "ftp://HOST/"} {
		w := newWorld(t, func(o *post.Options) { o.Redirects, o.Auth.Bearer = 3, "bearer-token" })
		to = strings.ReplaceAll(to, "HOST", strings.TrimPrefix(w.URL, "http://"))
		w.Script(receiver.Redirect(307, to))
		_, f := w.fail(t, request("a", "{}"), pipeline.OfTarget)
		if f.Receipt.Wire != 1 || strings.Contains(f.Error(), "word") {
			t.Errorf("%s: wire %d: %v", to, f.Receipt.Wire, f)
		}
	}
	if len(other.Requests()) != 0 {
		t.Errorf("another host has %+v", other.Requests())
	}
}

func TestNoRedirectsByDefault(t *testing.T) {
	w := newWorld(t, nil)
	w.Script(receiver.Redirect(308, "/v2"))
	if _, f := w.fail(t, request("a", "{}"), pipeline.OfTarget); !strings.Contains(f.Error(), "set url to the new one") || !strings.Contains(f.Error(), "it points to "+w.URL+"/v2") {
		t.Errorf("%v", f)
	}
	if _, err := post.New(post.Options{URL: w.URL, Webhook: true, Redirects: 1}); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a webhook that follows redirects: %v", err)
	}
}
