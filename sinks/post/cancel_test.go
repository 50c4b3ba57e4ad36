package post_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func earlyStep(status int) receiver.Step { return receiver.Step{Early: true, Status: status} }

// phases tells when each phase begins.
type phases struct {
	mu   sync.Mutex
	seen map[post.Phase]chan struct{}
}

func (p *phases) of(phase post.Phase) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[post.Phase]chan struct{}{}
	}
	if p.seen[phase] == nil {
		p.seen[phase] = make(chan struct{})
	}
	return p.seen[phase]
}

func (p *phases) on(phase post.Phase) {
	c := p.of(phase)
	select {
	case <-c:
	default:
		close(c)
	}
}

// TestCancel stops a request in each phase, as soon as the phase is reached. The receiver, or the disk, would keep each
// of them there for ever.
func TestCancel(t *testing.T) {
	hang := receiver.Step{Store: true, End: receiver.Hang, Reached: make(chan struct{})}
	trickle := receiver.Step{Store: true, Status: 503, Body: "half", End: receiver.Trickle, Reached: make(chan struct{})}
	unread := receiver.Step{Early: true, End: receiver.Hang, Reached: make(chan struct{})}
	endless := post.Request{Key: "a", Body: zeros{}, Length: 1 << 50} // nobody reads it to its end
	for name, c := range map[string]struct {
		phase   post.Phase
		step    *receiver.Step
		request post.Request
		edit    func(*testing.T, *post.Options)
		maybe   bool
	}{
		"waiting":     {phase: post.Waiting, request: request("a", "{}")},
		"authorizing": {phase: post.Authorizing, request: request("a", "{}"), edit: silentToken},
		"verifying":   {phase: post.Verifying, request: endless},
		"connecting":  {phase: post.Connecting, request: request("a", "{}"), edit: silentTLS},
		"uploading":   {phase: post.Uploading, step: &unread, request: large("a", 64<<20), maybe: true},
		"answering":   {phase: post.Answering, step: &hang, request: request("a", "{}"), maybe: true},
		"reading":     {phase: post.Reading, step: &trickle, request: request("a", "{}"), maybe: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *post.Options) {
				o.NoExpect = true
				if c.edit != nil {
					c.edit(t, o)
				}
			})
			if c.phase == post.Waiting {
				defer occupy(t, w)()
			}
			var p phases
			c.request.OnPhase = p.on
			if c.step != nil {
				w.Script(*c.step)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := w.start(ctx, c.request)
			<-p.of(c.phase)
			if c.step != nil {
				<-c.step.Reached
			}
			cancel()
			began := time.Now()
			o := <-done
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %s", took)
			}
			trouble, f := parts(t, o.err)
			if trouble.Scope != pipeline.OfMoment || f.MayHaveArrived != c.maybe {
				t.Errorf("scope %s, may have arrived %v: %v", trouble.Scope, f.MayHaveArrived, o.err)
			}
			if c.phase == post.Reading { // the status was there
				if o.receipt.Status != 503 {
					t.Errorf("status %d", o.receipt.Status)
				}
				return
			}
			if !errors.Is(o.err, context.Canceled) || f.Phase != c.phase || !strings.Contains(o.err.Error(), "stopped while") && c.phase != post.Authorizing {
				t.Errorf("phase %q: %v", f.Phase, o.err)
			}
		})
	}
}

// occupy holds the only slot of the world's governor, until the returned function is called.
func occupy(t *testing.T, w *world) func() {
	t.Helper()
	step := receiver.StoreAndHang()
	step.Reached = make(chan struct{})
	w.Script(step)
	ctx, cancel := context.WithCancel(t.Context())
	done := w.start(ctx, request("first", "{}"))
	<-step.Reached
	return func() {
		cancel()
		<-done
	}
}

func silentToken(t *testing.T, o *post.Options) {
	o.Auth.OAuth2 = &post.OAuth2{TokenURL: "http://" + silent(t), ClientID: "id", ClientSecret: "client-secret"}
}

func silentTLS(t *testing.T, o *post.Options) { o.URL = "https://" + silent(t) }

// silent is a port that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
	)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// expire is a timer that is over as soon as a phase begins; other phases have none.
func expire(phase post.Phase) func(post.Phase, time.Duration, func()) post.Timer {
	return func(p post.Phase, d time.Duration, f func()) post.Timer {
		if p != phase {
			return time.AfterFunc(time.Hour, func() {})
		}
		return time.AfterFunc(0, f)
	}
}

// TestStalls: each phase has a limit of its own, and none has another one's.
func TestStalls(t *testing.T) {
	trickle := receiver.Step{Store: true, Status: 500, Body: "half", End: receiver.Trickle}
	for name, c := range map[string]struct {
		phase post.Phase
		step  receiver.Step
		edit  func(*testing.T, *post.Options)
		text  string
		maybe bool
	}{
		"token":   {phase: post.Authorizing, edit: silentToken, text: "no token within 30s"},
		"connect": {phase: post.Connecting, edit: silentTLS, text: "no connection within 1m0s"},
		"upload":  {phase: post.Uploading, step: receiver.Step{Early: true, End: receiver.Hang}, text: "the receiver took no byte for 1m0s", maybe: true},
		"answer":  {phase: post.Answering, step: receiver.StoreAndHang(), text: "no answer within 30s of the last byte", maybe: true},
		"read":    {phase: post.Reading, step: trickle, text: "500 Internal Server Error", maybe: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *post.Options) {
				o.NoExpect = true
				if c.edit != nil {
					c.edit(t, o)
				}
			})
			w.Script(c.step)
			w.client.SetAfter(expire(c.phase))
			r := request("a", "{}")
			if c.phase == post.Uploading {
				r = large("a", 64<<20)
			}
			_, f := w.fail(t, r, pipeline.OfMoment)
			if !strings.Contains(f.Error(), c.text) {
				t.Errorf("%v", f)
			}
			if c.maybe && c.phase != post.Uploading && !f.MayHaveArrived || !c.maybe && f.MayHaveArrived {
				t.Errorf("may have arrived: %v", f.MayHaveArrived)
			}
		})
	}
}

// TestDeliveredThoughUnread: the status says yes; how its answer goes on does not matter, unless success asks.
func TestDeliveredThoughUnread(t *testing.T) {
	half := receiver.Step{Store: true, Status: http.StatusOK, Body: `{"id":"x-1","rest":`, End: receiver.Drop}
	w := newWorld(t, func(o *post.Options) { o.Receipt = "$.id" })
	w.Script(half)
	receipt := w.send(t, request("a", "{}"))
	if receipt.ID != "x-1" || len(receipt.Notes) != 1 || receipt.Notes[0] != "the answer ended early" {
		t.Errorf("%+v", receipt)
	}
	w = newWorld(t, func(o *post.Options) { o.Success = "$.ok == true" })
	w.Script(half)
	if _, f := w.fail(t, request("a", "{}"), pipeline.OfMoment); !f.MayHaveArrived {
		t.Errorf("%v", f)
	}
}
