package web

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// stream is an open stream of server-sent events.
type stream struct {
	t    *testing.T
	body *bufio.Reader
	id   string // of the last event
}

func follow(t *testing.T, url string, header ...string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") || answer.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("status %d, %v", answer.StatusCode, answer.Header)
	}
	return &stream{t: t, body: bufio.NewReader(answer.Body)}
}

// next is the next event; "" is the end.
func (s *stream) next() (kind, data string) {
	s.t.Helper()
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return "", ""
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case name == "event":
			kind = value
		case name == "data":
			data = value
		case name == "id":
			s.id = value
		case line == "" && kind != "":
			return kind, data
		}
	}
}

// parts is the next event, which must be of that kind.
func (s *stream) parts() (m message) {
	s.t.Helper()
	kind, data := s.next()
	if kind != "parts" {
		s.t.Fatalf("the event is %q: %s", kind, data)
	}
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// live is a server of one run, and the mark of its page.
func live(t *testing.T, n int) (f *fake, url string, mark func() string) {
	t.Helper()
	f = newFake()
	f.runs = []Run{someRun("r1", n)}
	s := New(Options{Words: words})
	s.hub.soonest = time.Millisecond
	s.Attach(f)
	<-f.ask
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		s.end() // streams end, or the server would wait for them
		server.Close()
		s.Attach(nil)
		s.work.Wait()
	})
	return f, server.URL + "/", func() string {
		page := text(t, must(t, server.URL+"/runs/r1"))
		_, rest, _ := strings.Cut(page, `data-topic="run/r1" data-since="`)
		mark, _, _ := strings.Cut(rest, `"`)
		return mark
	}
}

func must(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

// Of 1,000 connections only the one that changed is sent.
func TestOnlyChangesAreSent(t *testing.T) {
	f, url, mark := live(t, 1000)
	s := follow(t, url+"events?topic=run/r1&since="+mark())
	f.change("r1", func(r *Run) { r.Connections[7].State, r.Connections[7].Rows = "done", 42 })
	m := s.parts()
	if len(m.Parts) != 2 || !strings.Contains(m.Parts["c-conn_7"], "42") || m.Parts["counts"] == "" || len(m.Lists) != 0 {
		t.Errorf("%d parts were sent, %d lists", len(m.Parts), len(m.Lists))
	}
	f.change("r1", func(r *Run) {
		r.Connections = append(r.Connections, Connection{ID: "new", Name: "New", State: "pending"})
		r.Total++
	})
	m = s.parts()
	if m.Parts["c-new"] == "" || len(m.Lists["connections"]) != 1001 || len(m.Parts) != 3 {
		t.Errorf("of a new connection %d parts were sent, %d lists", len(m.Parts), len(m.Lists))
	}
}

// Who was away gets what changed meanwhile, once, in one piece; an unknown mark is told to load the page anew.
func TestStreamGoesOn(t *testing.T) {
	f, url, mark := live(t, 5)
	from := mark()
	s := follow(t, url+"events?topic=run/r1&since="+from)
	f.change("r1", func(r *Run) { r.Connections[0].State = "running" })
	s.parts()
	f.change("r1", func(r *Run) { r.Connections[1].State = "running" })
	s.parts()
	late := follow(t, url+"events?topic=run/r1&since="+from)
	m := late.parts()
	if m.Parts["c-conn_0"] == "" || m.Parts["c-conn_1"] == "" || m.Parts["c-conn_2"] != "" {
		t.Errorf("who was away gets %v", m.Parts)
	}
	again := follow(t, url+"events?topic=run/r1&since="+from, "Last-Event-ID", late.id) // what the browser has counts
	f.change("r1", func(r *Run) { r.Connections[3].State = "running" })
	if m := again.parts(); m.Parts["c-conn_0"] != "" || m.Parts["c-conn_3"] == "" {
		t.Errorf("who has all gets %v", m.Parts)
	}
	for _, old := range []string{"other-3", "", "x", late.id + "000"} {
		if kind, _ := follow(t, url+"events?topic=run/r1&since="+old).next(); kind != "reset" {
			t.Errorf("since %q: %q", old, kind)
		}
	}
	if r := must(t, url+"events?topic=nothing"); r.StatusCode != http.StatusNotFound {
		t.Errorf("of nothing: status %d", r.StatusCode)
	}
}

// Trouble with the store is told, and its end.
func TestStreamTellsTrouble(t *testing.T) {
	f, url, mark := live(t, 1)
	s := follow(t, url+"events?topic=run/r1&since="+mark())
	f.change("r1", func(*Run) { f.notReady = http.ErrServerClosed })
	if kind, data := s.next(); kind != "trouble" || !strings.Contains(data, "not live") {
		t.Errorf("%s: %s", kind, data)
	}
	f.change("r1", func(*Run) { f.notReady = nil })
	if kind, data := s.next(); kind != "trouble" || data != "" {
		t.Errorf("%s: %s", kind, data)
	}
}

// Streams end with the server, and nobody waits for them.
func TestStreamsEndWithTheServer(t *testing.T) {
	f := newFake()
	f.runs = []Run{someRun("r1", 1)}
	s := New(Options{Words: words})
	s.Attach(f)
	server := httptest.NewUnstartedServer(s)
	server.Config.RegisterOnShutdown(s.end)
	server.Start()
	defer server.Close()
	_, seq, err := s.hub.of("run/r1", first(s.topicOf("run/r1"))).current(t.Context(), s.hub.next, s.made)
	if err != nil {
		t.Fatal(err)
	}
	open := follow(t, server.URL+"/events?topic=run/r1&since="+s.hub.mark(seq))
	if err := server.Config.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kind, _ := open.next(); kind != "" {
		t.Errorf("the stream goes on: %s", kind)
	}
	s.Attach(nil)
	s.work.Wait()
}

func first[A, B any](a A, _ B) A { return a }

func BenchmarkRefresh(b *testing.B) {
	f := newFake()
	f.runs = []Run{someRun("r1", 1000)}
	s := New(Options{Words: words})
	s.Attach(f)
	defer s.Attach(nil)
	topic := s.hub.of("run/r1", first(s.topicOf("run/r1")))
	n := 0
	for b.Loop() {
		n++
		f.change("r1", func(r *Run) { r.Connections[n%1000].Rows = int64(n) })
		if err := topic.refresh(b.Context(), s.hub.next, s.made); err != nil {
			b.Fatal(err)
		}
	}
}
