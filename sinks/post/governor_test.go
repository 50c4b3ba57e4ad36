package post_test

import (
	"context"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/sinks/post"
)

// TestParallel: two destinations with one host and credential share the least of their limits; the third request waits.
func TestParallel(t *testing.T) {
	before := post.Governors()
	w := newWorld(t, func(o *post.Options) { o.Auth.Bearer, o.Parallel = t.Name(), 2 })
	wide := newClient(t, post.Options{URL: w.URL + "/other", Auth: post.Auth{Bearer: t.Name()}, Parallel: 8})
	first, second := receiver.StoreAndHang(), receiver.StoreAndHang()
	first.Reached, second.Reached = make(chan struct{}), make(chan struct{})
	w.Script(first, second)
	ctx, cancel := context.WithCancel(t.Context())
	a := w.start(ctx, request("a", "{}"))
	other := &world{w.Receiver, wide}
	b := other.start(t.Context(), request("b", "{}"))
	<-first.Reached
	<-second.Reached
	var p phases
	r := request("c", "{}")
	r.OnPhase = p.on
	c := other.start(t.Context(), r)
	<-p.of(post.Waiting)
	select {
	case o := <-c:
		t.Fatalf("a third request did not wait: %+v", o)
	case <-p.of(post.Verifying):
		t.Fatal("a third request did not wait")
	default:
	}
	cancel() // the slot of a goes to c
	<-a
	if o := <-c; o.err != nil {
		t.Fatal(o.err)
	}
	w.Stop()
	<-b
	w.client.Close()
	wide.Close()
	if n := post.Governors(); n != before {
		t.Errorf("%d governors are left, before %d", n, before)
	}
}

// TestRate: requests begin no closer than the least rate says, by a clock that stands still.
func TestRate(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(o *post.Options) { o.Auth.Bearer, o.PerSecond = t.Name(), 4 })
	slow := newClient(t, post.Options{URL: w.URL, Auth: post.Auth{Bearer: t.Name()}, PerSecond: 2})
	var waits []time.Duration
	for _, c := range []*post.Client{w.client, slow} {
		c.SetNow(func() time.Time { return now })
		c.SetAfter(func(p post.Phase, d time.Duration, f func()) post.Timer {
			if p != post.Waiting {
				return time.AfterFunc(time.Hour, func() {})
			}
			waits = append(waits, d)
			return time.AfterFunc(0, f)
		})
	}
	for i := range 4 {
		c := []*post.Client{w.client, slow}[i%2]
		if _, err := c.Send(t.Context(), request("k"+string(rune('a'+i)), "{}")); err != nil {
			t.Fatal(err)
		}
	}
	want := []time.Duration{500 * time.Millisecond, time.Second, 1500 * time.Millisecond}
	if len(waits) != 3 || waits[0] != want[0] || waits[1] != want[1] || waits[2] != want[2] {
		t.Errorf("waited %v, want %v", waits, want)
	}
}
