package post_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// hard has what URLs, JSON, Base64 and Go's own quoting write in another way.
const hard = `s3cr&t/"päss"+<w>\ord==`

// echo answers with everything that came in, in all the ways in which a server may show it.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var all []string
		for _, values := range r.Header {
			all = append(all, values...)
		}
		all = append(all, r.URL.String(), hard)
		text := strings.Join(all, " ")
		asJSON, _ := json.Marshal(all)
		w.Header().Set("Location", "/moved/"+url.PathEscape(hard)+"?q="+url.QueryEscape(hard))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":"no","error_description":%s} %s %s %q %s %s %s`, asJSON[1:len(asJSON)-1], text, asJSON, text,
			url.QueryEscape(text), url.PathEscape(text), strings.ReplaceAll(strings.ReplaceAll(string(asJSON), "/", `\/`), "ä", `\u00e4`))
		for pad := range 3 {
			b := append(make([]byte, pad), text...)
			fmt.Fprint(w, " ", base64.StdEncoding.EncodeToString(b), " ", base64.URLEncoding.EncodeToString(b))
		}
	}
}

// shapes are the ways in which hard must not be seen; the middle of its Base64 stands for all of it.
func shapes() []string {
	list := []string{hard, url.QueryEscape(hard), url.PathEscape(hard), `päss`, `s3cr`, "p%C3%A4ss", `\u00e4`, `p\xc3`}
	for pad := range 3 {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			s := e.EncodeToString(append(make([]byte, pad), hard...))
			list = append(list, s[8:16])
		}
	}
	return list
}

// TestSecretsNever has each kind of credential fail in each way, and looks at all that comes back.
func TestSecretsNever(t *testing.T) {
	options := map[string]func(*post.Options){
		"bearer": func(o *post.Options) { o.Auth.Bearer = hard },
		"basic":  func(o *post.Options) { o.Auth.Basic = &post.Basic{User: "me", Password: hard} },
		"user":   func(o *post.Options) { o.Auth.Basic = &post.Basic{User: hard} },
		"header": func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Name: "X-K", Value: hard} },
		"query":  func(o *post.Options) { o.Auth.APIKey = &post.APIKey{Name: "k", Value: hard, In: "query"} },
		"url":    func(o *post.Options) { o.URL += "?sig=" + url.QueryEscape(hard) },
		"path":   func(o *post.Options) { o.URL += "/" + url.PathEscape(hard) },
		"named":  func(o *post.Options) { o.Headers = map[string]string{"X-Tenant-Token": "Token " + hard} },
		"mask":   func(o *post.Options) { o.Headers, o.Mask = map[string]string{"X-Tenant": hard}, []string{hard} },
		"signed": func(o *post.Options) { o.SigningSecrets = []string{"raw:" + hard} },
		"proxy":  func(o *post.Options) { o.Proxy = "http://me:" + url.QueryEscape(hard) + "@127.0.0.1:1" },
		"oauth2": func(o *post.Options) {
			o.Auth.OAuth2 = &post.OAuth2{TokenURL: o.URL + "/token?x=" + url.QueryEscape(hard), ClientID: "id", ClientSecret: hard}
		},
		"token": func(o *post.Options) { // given by the token's server below
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				b, _ := json.Marshal(map[string]string{"access_token": hard, "token_type": "Bearer"})
				_, _ = w.Write(b)
			}))
			t.Cleanup(s.Close)
			o.Auth.OAuth2 = &post.OAuth2{TokenURL: s.URL, ClientID: "id", ClientSecret: "client-secret", ClientAuth: "body"}
		},
	}
	for name, edit := range options {
		for _, status := range []int{200, 207, 302, 307, 400, 401, 403, 404, 409, 410, 413, 415, 417, 422, 429, 500, 501, 503} {
			s := httptest.NewServer(echo(status))
			look(t, fmt.Sprint(name, " ", status), s.URL, edit, t.Context())
			s.Close()
		}
		dead := httptest.NewServer(echo(200))
		dead.Close()
		look(t, name+" refused", dead.URL, edit, t.Context())
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		look(t, name+" ended", dead.URL, edit, ended)
		tls := httptest.NewTLSServer(echo(200))
		tls.Config.ErrorLog = receiver.Quiet
		look(t, name+" untrusted", tls.URL, edit, t.Context())
		look(t, name+" http to https", "http"+strings.TrimPrefix(tls.URL, "https"), edit, t.Context())
		tls.Close()
		broken := newReceiver(t, receiver.Options{})
		broken.Script(receiver.Step{Early: true, End: receiver.Drop})
		look(t, name+" dropped", broken.URL, edit, t.Context())
		broken.Close()
	}
}

func look(t *testing.T, name, target string, edit func(*post.Options), ctx context.Context) {
	t.Helper()
	o := post.Options{URL: target + "/hook", Receipt: "$.error", Success: "$.error == true"}
	edit(&o)
	c, err := post.New(o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer c.Close()
	receipt, err := c.Send(ctx, request("a", "{}"))
	if err == nil {
		t.Fatalf("%s: no error", name)
	}
	_, probe := c.Probe(ctx)
	texts := []string{fmt.Sprintf("%v", probe), fmt.Sprintf("%s %+v %+v", receipt.Answer, receipt.Notes, receipt.ID)}
	for e := err; e != nil; e = errors.Unwrap(e) {
		texts = append(texts, e.Error(), fmt.Sprintf("%q", e.Error()))
	}
	for _, text := range texts {
		for _, shape := range shapes() {
			if strings.Contains(text, shape) {
				t.Fatalf("%s shows %q: %s", name, shape, text)
			}
		}
	}
	if trouble := pipeline.TroubleOf(err); trouble.Err == nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestCutSecret: an answer may be cut in the middle of a secret.
func TestCutSecret(t *testing.T) {
	o := post.Options{URL: "https://a", Auth: post.Auth{Bearer: "0123456789abcdef"}}
	for n := range 16 {
		text := post.Masked(o, "the token is "+"0123456789abcdef"[:n+1], true)
		if text != "the token is ***" {
			t.Errorf("%q", text)
		}
	}
	if got := post.Masked(o, "nothing of it", true); got != "nothing of it" {
		t.Errorf("%q", got)
	}
	w := newWorld(t, func(o *post.Options) { o.Auth.Bearer = "0123456789abcdef" })
	w.Script(receiver.Say(400, strings.Repeat("x", 64<<10-10)+"0123456789abcdef"))
	_, f := w.fail(t, request("a", "{}"), pipeline.OfRequest)
	if strings.Contains(string(f.Receipt.Answer), "012") {
		t.Errorf("...%s", f.Receipt.Answer[len(f.Receipt.Answer)-30:])
	}
}

// TestForms bounds what each answer is searched for.
func TestForms(t *testing.T) {
	if n := post.Forms(post.Options{Auth: post.Auth{Bearer: "ghp_0123456789abcdefghijklmnopqrstuv"}}); n > 10 {
		t.Errorf("a plain token has %d forms", n)
	}
	if n := post.Forms(post.Options{Auth: post.Auth{Bearer: hard}}); n > 250 {
		t.Errorf("a text full of special characters has %d forms", n)
	}
}
