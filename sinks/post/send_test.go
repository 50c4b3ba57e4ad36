package post_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestDelivers(t *testing.T) {
	w := newWorld(t, func(o *post.Options) {
		o.Receipt = "$.id"
		o.Headers["Content-Type"] = "application/vnd.sales+json"
	})
	w.Script(receiver.Step{Store: true})
	r := request("key-1", `{"rows":[{"a":1}]}`)
	r.ContentEncoding = ""
	receipt := w.send(t, r)
	if receipt.Status != 200 || receipt.ID != "id-key-1" || receipt.Wire != 1 || receipt.At.IsZero() || receipt.Took <= 0 || len(receipt.Notes) != 0 {
		t.Errorf("receipt %+v", receipt)
	}
	if string(receipt.Answer) != `{"ok":true,"id":"id-key-1"}` {
		t.Errorf("answer %s", receipt.Answer)
	}
	q := w.only(t)
	if q.Method != "POST" || q.Path != "/hook" || string(q.Body) != `{"rows":[{"a":1}]}` {
		t.Errorf("%s %s %s", q.Method, q.Path, q.Body)
	}
	for name, want := range map[string]string{"Idempotency-Key": "key-1", "Content-Length": "18", "Fanmill-Sequence": "3/12",
		"Content-Type": "application/vnd.sales+json", "User-Agent": "fanmill", "X-Test": "TestDelivers", "Webhook-Id": "", "Accept-Encoding": "", "Expect": ""} {
		if got := q.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.sound(t)
}

func TestEmptyBody(t *testing.T) {
	w := newWorld(t, nil)
	r := request("empty", "")
	r.Sequence, r.Of = 4, 0
	w.send(t, r)
	q := w.only(t)
	if q.Length != 0 || q.Header.Get("Content-Length") != "0" || q.Header.Get("Fanmill-Sequence") != "4" {
		t.Errorf("length %d, header %v", q.Length, q.Header)
	}
	w.sound(t)
	w.Script(receiver.Say(500, ""))
	if _, f := w.fail(t, r, pipeline.OfMoment); !f.MayHaveArrived {
		t.Error("a request without body may have arrived, too")
	}
}

func TestAuth(t *testing.T) {
	for name, c := range map[string]struct {
		auth                 post.Auth
		header, value, query string
	}{
		"bearer": {post.Auth{Bearer: "token-1"}, "Authorization", "Bearer token-1", "v=1"},
		"basic":  {post.Auth{Basic: &post.Basic{User: "u", Password: "pass:word"}}, "Authorization", "Basic " + base64Of([]byte("u:pass:word")), "v=1"},
		"header": {post.Auth{APIKey: &post.APIKey{Name: "X-Api-Key", Value: "k&y 1"}}, "X-Api-Key", "k&y 1", "v=1"},
		"query":  {post.Auth{APIKey: &post.APIKey{Name: "api key", Value: "k&y 1", In: "query"}}, "Authorization", "", "v=1&api+key=k%26y+1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *post.Options) { o.URL, o.Auth, o.Method = o.URL+"?v=1", c.auth, "PUT" })
			w.send(t, request("k", "{}"))
			q := w.only(t)
			if q.Header.Get(c.header) != c.value || q.Query != c.query || q.Method != "PUT" {
				t.Errorf("%s %s: %q, query %q", q.Method, c.header, q.Header.Get(c.header), q.Query)
			}
		})
	}
}

// TestSignatures has two secrets while they are rotated: a receiver with either of them verifies. Each attempt has a
// timestamp of its own; key and bytes stay.
func TestSignatures(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for _, secret := range []string{secretOf(1), secretOf(2), "raw:a secret in words, as it is"} {
		r := newReceiver(t, receiver.Options{Secrets: []string{secret}})
		c := newClient(t, post.Options{URL: r.URL, Webhook: true, SigningSecrets: []string{secretOf(2), secretOf(1), "raw:a secret in words, as it is"}})
		w := &world{r, c}
		w.Script(receiver.Say(503, ""))
		c.SetNow(func() time.Time { return now })
		w.fail(t, request("key-1", `{"a":1}`), pipeline.OfMoment)
		c.SetNow(func() time.Time { return now.Add(2 * time.Minute) })
		w.send(t, request("key-1", `{"a":1}`))
		w.sound(t)
		first, second := w.Requests()[0], w.Requests()[1]
		if first.SHA256 != second.SHA256 || first.Key != second.Key || first.Header.Get("Webhook-Id") != "key-1" {
			t.Error("key or bytes changed")
		}
		if first.Header.Get("Webhook-Timestamp") == second.Header.Get("Webhook-Timestamp") || first.Header.Get("Webhook-Signature") == second.Header.Get("Webhook-Signature") {
			t.Error("the second attempt has the first one's timestamp or signature")
		}
		if n := len(strings.Fields(second.Header.Get("Webhook-Signature"))); n != 3 {
			t.Errorf("%d signatures, want one a secret", n)
		}
	}
}

// TestLargeSigned has a body of more than one reading, and more than a receiver is asked for first.
func TestLargeSigned(t *testing.T) {
	r := newReceiver(t, receiver.Options{Secrets: []string{secretOf(1)}})
	w := &world{r, newClient(t, post.Options{URL: r.URL, SigningSecrets: []string{secretOf(1)}})}
	w.send(t, large("key-1", 3<<20+17))
	w.sound(t)
	if q := w.only(t); q.Length != 3<<20+17 || q.Header.Get("Expect") != "100-continue" {
		t.Errorf("length %d, Expect %q", q.Length, q.Header.Get("Expect"))
	}
}

// TestSentAgainByItself: net/http sends again what a kept connection lost. The receipt says so, and a refusal
// afterwards does not hide that the first one may have been taken.
func TestSentAgainByItself(t *testing.T) {
	w := newWorld(t, nil)
	w.Script(receiver.Step{Store: true}, receiver.StoreAndDrop(), receiver.Step{Store: true})
	w.send(t, request("a", "{}"))
	receipt := w.send(t, request("b", "{}"))
	if receipt.Wire != 2 || !slices.ContainsFunc(receipt.Notes, func(n string) bool { return strings.Contains(n, "2 times on the wire") }) {
		t.Errorf("receipt %+v", receipt)
	}
	w.sound(t)
	w.Script(receiver.StoreAndDrop(), receiver.Say(422, ""))
	_, f := w.fail(t, request("c", "{}"), pipeline.OfRequest)
	if f.Receipt.Wire != 2 || !f.MayHaveArrived {
		t.Errorf("wire %d, may have arrived %v", f.Receipt.Wire, f.MayHaveArrived)
	}
}

func TestStoredAndLost(t *testing.T) {
	w := newWorld(t, nil)
	w.Script(receiver.StoreAndDrop())
	_, f := w.fail(t, request("a", "{}"), pipeline.OfMoment)
	if !f.MayHaveArrived || f.Receipt.Status != 0 || f.Receipt.Wire != 1 || !strings.Contains(f.Error(), "without an answer") {
		t.Errorf("%v: %+v", f, f)
	}
	receipt := w.send(t, request("a", "{}"))
	if len(w.Stored()) != 1 || receipt.Status != 200 {
		t.Errorf("stored %d times", len(w.Stored()))
	}
	w.sound(t)
}

// TestExpect: a large body waits for the receiver's word. One that refuses by the headers never reads it.
func TestExpect(t *testing.T) {
	w := newWorld(t, nil)
	w.Script(receiver.Step{Early: true, Status: 413, Body: "too large"})
	_, f := w.fail(t, large("a", 2<<20), pipeline.OfRequest)
	if f.MayHaveArrived || !strings.Contains(f.Error(), "below 2097152") || !strings.Contains(f.Error(), "maxBytesPerRequest") {
		t.Errorf("may have arrived %v: %v", f.MayHaveArrived, f)
	}
	w.Script(receiver.Step{Early: true, Status: 417}, receiver.Step{Store: true})
	receipt := w.send(t, large("b", 2<<20))
	if receipt.Wire != 2 || len(receipt.Notes) != 1 || !strings.Contains(receipt.Notes[0], "expect: false") {
		t.Errorf("receipt %+v", receipt)
	}
	if receipt = w.send(t, large("c", 2<<20)); receipt.Wire != 1 || len(receipt.Notes) != 0 {
		t.Errorf("the receiver is asked again: %+v", receipt)
	}
	if h := w.Requests()[3].Header; h.Get("Expect") != "" {
		t.Error("Expect is sent again")
	}
}

func TestNoExpect(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.NoExpect = true })
	w.send(t, large("a", 2<<20))
	if e := w.only(t).Header.Get("Expect"); e != "" {
		t.Errorf("Expect: %s", e)
	}
}

// TestEarlyRefusal: the receiver answers and closes while the body is being written. The answer counts, not the broken
// pipe.
func TestEarlyRefusal(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.NoExpect = true })
	w.Script(receiver.Step{Early: true, Status: 401, Body: "who are you?"})
	_, f := w.fail(t, large("a", 32<<20), pipeline.OfTarget)
	if f.Receipt.Status != 401 || !strings.Contains(f.Error(), "who are you?") {
		t.Errorf("%v", f)
	}
}

// TestEarlyYes: who says 200 without having read the request does not have it. With the expectation it is asked once
// more without.
func TestEarlyYes(t *testing.T) {
	w := newWorld(t, nil)
	early := receiver.Step{Early: true, Status: 200, Body: "ok"}
	w.Script(early, early)
	_, f := w.fail(t, large("a", 32<<20), pipeline.OfTarget)
	if f.Receipt.Wire != 2 || !f.MayHaveArrived || !strings.Contains(f.Error(), "does not read requests") {
		t.Errorf("%v: %+v", f, f.Receipt)
	}
	w.Script(early, receiver.Step{Store: true})
	if receipt := w.send(t, large("b", 2<<20)); receipt.Wire != 2 || receipt.ID != "" {
		t.Errorf("receipt %+v", receipt)
	}
}

func TestGzip(t *testing.T) {
	w := newWorld(t, nil)
	r := request("a", "not really gzip")
	r.ContentEncoding = "gzip"
	_, f := w.fail(t, r, pipeline.OfRequest)
	if !strings.Contains(f.Error(), "400") { // the receiver cannot read it: see its own tests
		t.Errorf("%v", f)
	}
	if got := w.only(t).Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("Content-Encoding %q", got)
	}
	v := newWorld(t, nil)
	v.Script(receiver.Step{Early: true, Status: 415})
	if _, f := v.fail(t, r, pipeline.OfRequest); !strings.Contains(f.Error(), "gzip: false") {
		t.Errorf("%v", f)
	}
}

func TestHeadersOfOwn(t *testing.T) {
	if _, err := post.New(post.Options{URL: "https://a", Headers: map[string]string{"idempotency-key": "x"}}); err == nil {
		t.Error("a header that is ours was taken")
	}
	if http.CanonicalHeaderKey("webhook-id") != "Webhook-Id" {
		t.Error("the list of own headers is not in the canonical form")
	}
}
