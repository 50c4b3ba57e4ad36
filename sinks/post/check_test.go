package post_test

import (
	"strings"
	"testing"
	"time"

	"fanmill/sinks/post"
)

// TestCheck has one mistake a line: the option's key, and a part of what is said.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		edit      func(*post.Options)
		key, text string
	}{
		{func(o *post.Options) { o.URL = "" }, "url", "missing"},
		{func(o *post.Options) { o.URL = "hooks.example/x" }, "url", "https://"},
		{func(o *post.Options) { o.URL = "ftp://a/x" }, "url", "https://"},
		{func(o *post.Options) { o.URL = "https:///x" }, "url", "no host"},
		{func(o *post.Options) { o.URL = "https://a/%zz" }, "url", "cannot be read"},
		{func(o *post.Options) { o.URL = "https://me:word@a/" }, "url", "auth.basic"},
		{func(o *post.Options) { o.URL = "https://a/#x" }, "url", "fragment"},
		{func(o *post.Options) { o.Method = "GET" }, "method", "POST, PUT, PATCH"},
		{func(o *post.Options) { o.Conflict = "ignore" }, "conflict", "retry, accept, fail"},
		{func(o *post.Options) { o.Probe = "GET" }, "probe", "HEAD"},
		{func(o *post.Options) { o.Timeout = -time.Second }, "timeout", "negative"},
		{func(o *post.Options) { o.Stall = -time.Second }, "progressTimeout", "negative"},
		{func(o *post.Options) { o.Parallel = -1 }, "parallel", "negative"},
		{func(o *post.Options) { o.PerSecond = -1 }, "perSecond", "between"},
		{func(o *post.Options) { o.Redirects = 4 }, "redirects", "between 0 and 3"},
		{func(o *post.Options) { o.Redirects, o.Webhook = 1, true }, "redirects", "webhook"},
		{func(o *post.Options) { o.Headers = map[string]string{"X Y": "1"} }, "headers.X Y", "not a header's name"},
		{func(o *post.Options) { o.Headers = map[string]string{"X-A": "1\n2"} }, "headers.X-A", "line break"},
		{func(o *post.Options) { o.Headers = map[string]string{"X-A": "1", "x-a": "2"} }, "headers.x-a", "twice"},
		{func(o *post.Options) { o.Headers = map[string]string{"content-length": "1"} }, "headers.content-length", "by itself"},
		{func(o *post.Options) { o.Headers = map[string]string{"webhook-id": "1"} }, "headers.webhook-id", "by itself"},
		{func(o *post.Options) {
			o.Headers, o.Auth.Bearer = map[string]string{"Authorization": "Bearer x"}, "token"
		}, "headers.Authorization", "keep one"},
		{func(o *post.Options) { o.Auth.Bearer = "abc" }, "auth.bearer", "shorter than 4"},
		{func(o *post.Options) { o.Auth.Bearer = " token" }, "auth.bearer", "spaces"},
		{func(o *post.Options) { o.Auth.Bearer = "to\nken" }, "auth.bearer", "line break"},
		{func(o *post.Options) { o.Auth.Bearer, o.Auth.Basic = "token", &post.Basic{User: "a", Password: "word"} }, "auth", "more than one"},
		{func(o *post.Options) { o.Auth.Basic = &post.Basic{User: "a:b", Password: "word"} }, "auth.basic.user", `":"`},
		{func(o *post.Options) { o.Auth.Basic = &post.Basic{User: "a", Password: "xy"} }, "auth.basic.password", "shorter"},
		{func(o *post.Options) { o.Auth.Basic = &post.Basic{} }, "auth.basic.user", "empty"},
		{func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Value: "value"} }, "auth.apiKey.name", "missing"},
		{func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Name: "a b", Value: "value"} }, "auth.apiKey.name", "not a header's name"},
		{func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Name: "webhook-id", Value: "value"} }, "auth.apiKey.name", "by itself"},
		{func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Name: "k", Value: "value", In: "body"} }, "auth.apiKey.in", "header, query"},
		{func(o *post.Options) {
			o.Headers, o.Auth.APIKey = map[string]string{"x-k": "1"}, &post.APIKey{Name: "X-K", Value: "value"}
		}, "auth.apiKey.name", "keep one"},
		{func(o *post.Options) { o.Auth.OAuth2 = &post.OAuth2{ClientID: "a", ClientSecret: "word"} }, "auth.oauth2.tokenUrl", "missing"},
		{func(o *post.Options) { o.Auth.OAuth2 = &post.OAuth2{TokenURL: "https://a", ClientSecret: "word"} }, "auth.oauth2.clientId", "missing"},
		{func(o *post.Options) { o.Auth.OAuth2 = &post.OAuth2{TokenURL: "https://a", ClientID: "a"} }, "auth.oauth2.clientSecret", "empty"},
		{func(o *post.Options) { o.TLS.Cert = "-----BEGIN CERTIFICATE-----" }, "tls.key", "missing"},
		{func(o *post.Options) { o.TLS.Key = "-----BEGIN PRIVATE KEY-----" }, "tls.cert", "missing"},
		{func(o *post.Options) { o.TLS.Cert, o.TLS.Key = "-----BEGIN X", "-----BEGIN Y" }, "tls.cert", "do not fit"},
		{func(o *post.Options) { o.TLS.CA = "-----BEGIN X" }, "tls.ca", "no certificate"},
		{func(o *post.Options) { o.TLS.CA = "no-such-file.pem" }, "tls.ca", "neither a PEM text nor a file"},
		{func(o *post.Options) { o.TLS.MinVersion = "1.1" }, "tls.minVersion", "1.2, 1.3"},
		{func(o *post.Options) { o.Proxy = "proxy:3128" }, "proxy", "none"},
		{func(o *post.Options) { o.SigningSecrets = []string{""} }, "secrets[0]", "empty"},
		{func(o *post.Options) { o.SigningSecrets = []string{secretOf(1), "whsec_c2hvcnQ="} }, "secrets[1]", "write raw:"},
		{func(o *post.Options) { o.SigningSecrets = []string{"a secret in words"} }, "secrets[0]", "write raw:"},
		{func(o *post.Options) { o.SigningSecrets = []string{"raw:abc"} }, "secrets[0]", "shorter than 4"},
		{func(o *post.Options) { o.SigningSecrets = []string{secretOf(1), secretOf(1)} }, "secrets[1]", "twice"},
		{func(o *post.Options) { o.Receipt = "id" }, "receipt", "$.id"},
		{func(o *post.Options) { o.Success = "$.ok" }, "success", "$.ok == true"},
	} {
		o := post.Options{URL: "https://receiver.example/hook"}
		c.edit(&o)
		list := o.Check()
		if len(list) != 1 || list[0].Key != c.key || !strings.Contains(list[0].Text, c.text) || list[0].Warning {
			t.Errorf("%s %q: %+v", c.key, c.text, list)
		}
		if _, err := post.New(o); err == nil || !strings.Contains(err.Error(), c.key) {
			t.Errorf("New takes it: %v", err)
		}
	}
}

// TestCheckAll: all mistakes come at once, and without values.
func TestCheckAll(t *testing.T) {
	o := post.Options{URL: "https://me:hidden-word@a/", Method: "FETCH", SigningSecrets: []string{"hidden-word"}, Proxy: "hidden-word", Receipt: "x",
		Headers: map[string]string{"X-A": "hidden-word\x00"}}
	list := o.Check()
	if len(list) != 6 {
		t.Errorf("%d mistakes: %v", len(list), list)
	}
	_, err := post.New(o)
	if err == nil || strings.Contains(err.Error(), "hidden-word") || strings.Count(err.Error(), ";") < 5 {
		t.Errorf("%v", err)
	}
}

// TestReferences: what a reference stands for is not known to Check, and is looked at by New.
func TestReferences(t *testing.T) {
	ref := "${SOMETHING}"
	o := post.Options{URL: ref, Headers: map[string]string{"X-A": ref}, Proxy: ref, SigningSecrets: []string{ref, "whsec_" + ref},
		Auth: post.Auth{OAuth2: &post.OAuth2{TokenURL: ref, ClientID: ref, ClientSecret: "${file:secret}"}}, TLS: post.TLS{CA: "${file:ca.pem}", Cert: ref, Key: ref}}
	if list := o.Check(); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if _, err := post.New(o); err == nil {
		t.Error("New takes references")
	}
}

func TestWarnings(t *testing.T) {
	o := post.Options{URL: "http://receiver.example/hook", SigningSecrets: []string{"raw:a short one"}}
	list := o.Check()
	if len(list) != 2 || !list[0].Warning || !list[1].Warning || list[0].Key != "url" || list[1].Key != "secrets[0]" {
		t.Errorf("%v", list)
	}
	if list := (post.Options{URL: "http://127.0.0.1:8080"}).Check(); len(list) != 0 {
		t.Errorf("loopback: %v", list)
	}
	newClient(t, o)
}

// TestLineEnd: a value that comes from a file has a line end behind it: one is cut off, and told.
func TestLineEnd(t *testing.T) {
	w := newWorld(t, func(o *post.Options) {
		o.URL += "\n"
		o.Auth.APIKey = &post.APIKey{Name: "X-K", Value: "value\r\n"}
		o.Headers = map[string]string{"X-A": "a\n"}
	})
	w.send(t, request("a", "{}"))
	if h := w.only(t).Header; h.Get("X-K") != "value" || h.Get("X-A") != "a" {
		t.Errorf("%v", h)
	}
	if notes := w.client.Notes(); len(notes) != 3 || !strings.Contains(notes[2], "auth.apiKey.value ends with a line end") {
		t.Errorf("%q", notes)
	}
	if _, err := post.New(post.Options{URL: "https://a", Auth: post.Auth{Bearer: "token\n\n"}}); err == nil {
		t.Error("two line ends were cut off")
	}
}
