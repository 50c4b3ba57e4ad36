package post_test

import (
	"net/http"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	at := func(d time.Duration, layout string) string { return now.Add(d).Format(layout) }
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"120", "", 2 * time.Minute},
		{"007", "", 7 * time.Second},
		{"-3", "", 0},
		{"+3", "", 0},
		{"1.5", "", 0},
		{"1e3", "", 0},
		{"soon", "", 0},
		{"86401", "", 24 * time.Hour},
		{"99999999999999999999", "", 24 * time.Hour},
		{at(time.Minute, http.TimeFormat), "", time.Minute},
		{at(time.Minute, "Monday, 02-Jan-06 15:04:05 GMT"), "", time.Minute},
		{at(time.Minute, time.ANSIC), "", time.Minute},
		{at(-time.Minute, http.TimeFormat), "", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", 24 * time.Hour},
		{at(time.Hour, http.TimeFormat), at(time.Hour-5*time.Second, http.TimeFormat), 5 * time.Second}, // a clock of an hour ahead
		{at(-time.Hour, http.TimeFormat), at(-time.Hour-9*time.Second, http.TimeFormat), 9 * time.Second},
		{at(time.Minute, http.TimeFormat), "not a date", time.Minute},
		{"30", at(time.Hour, http.TimeFormat), 30 * time.Second},
	} {
		h := http.Header{"Retry-After": {c.after}}
		if c.date != "" {
			h.Set("Date", c.date)
		}
		if got := post.RetryAfter(h, now); got != c.want {
			t.Errorf("%q with Date %q: %s, want %s", c.after, c.date, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		h := http.Header{"Retry-After": {after}, "Date": {date}}
		if d := post.RetryAfter(h, time.Now()); d < 0 || d > 24*time.Hour {
			t.Errorf("%q, Date %q: %s", after, date, d)
		}
	})
}

// TestPause: what one request was asked to wait holds for all that share the governor, without another request.
func TestPause(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(o *post.Options) { o.Auth.Bearer = t.Name() })
	other := newClient(t, post.Options{URL: w.URL + "/other", Auth: post.Auth{Bearer: t.Name()}})
	stranger := newClient(t, post.Options{URL: w.URL + "/hook", Auth: post.Auth{Bearer: "another token"}})
	for _, c := range []*post.Client{w.client, other, stranger} {
		c.SetNow(func() time.Time { return now })
	}
	w.Script(receiver.Throttle(receiver.RetryAfter(time.Minute)))
	trouble, f := w.fail(t, request("a", "{}"), pipeline.OfMoment)
	if trouble.After != time.Minute || f.MayHaveArrived {
		t.Fatalf("after %s: %v", trouble.After, f)
	}
	now = now.Add(20 * time.Second)
	trouble, f = failure(t, other, request("b", "{}"), pipeline.OfMoment)
	if trouble.After != 40*time.Second || f.Receipt.Wire != 0 || f.MayHaveArrived || f.Phase != post.Waiting {
		t.Fatalf("after %s, wire %d: %v", trouble.After, f.Receipt.Wire, f)
	}
	if _, err := stranger.Send(t.Context(), request("c", "{}")); err != nil {
		t.Fatalf("another credential: %v", err)
	}
	now = now.Add(40 * time.Second)
	if _, err := other.Send(t.Context(), request("b", "{}")); err != nil {
		t.Fatal(err)
	}
}

// TestRetryAfterOf: only what may be tried again has a time.
func TestRetryAfterOf(t *testing.T) {
	for status, want := range map[int]time.Duration{408: 7 * time.Second, 425: 7 * time.Second, 503: 7 * time.Second, 500: 7 * time.Second, 401: 0, 413: 0} {
		w := newWorld(t, nil)
		w.Script(receiver.Say(status, "").With("Retry-After", "7"))
		_, err := w.client.Send(t.Context(), request("a", "{}"))
		if trouble, _ := parts(t, err); trouble.After != want {
			t.Errorf("%d: after %s, want %s", status, trouble.After, want)
		}
	}
}
