package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// keepAlive is how often a stream without news says that it is there: proxies end what is silent.
const keepAlive = 15 * time.Second

// again is what a browser waits for before it asks for a stream that has ended, in milliseconds.
const again = 3000

// events streams what changes on a page: server-sent events `parts`, each with the number that the page has then, and
// `reset`, for a page that has to be loaded anew. It ends when the server stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request, _ Backend) error {
	look, ok := s.topicOf(r.FormValue("topic"))
	if !ok {
		return &refused{http.StatusNotFound, "there is no such stream"}
	}
	mark := r.Header.Get("Last-Event-ID")
	if mark == "" {
		mark = r.FormValue("since")
	}
	seq, known := s.hub.seqOf(mark)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	unbounded(w)
	flush := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && flush.Flush() == nil
	}
	t := s.hub.of(r.FormValue("topic"), look)
	if !send("retry: %d\n\n", again) {
		return nil
	}
	defer s.watch(t)()
	if !known {
		send("event: reset\ndata: {}\n\n")
		return nil
	}
	told := ""
	silence := time.NewTicker(keepAlive)
	defer silence.Stop()
	for {
		data, now, reset, trouble, changed := t.since(seq)
		switch {
		case reset:
			send("event: reset\ndata: {}\n\n")
			return nil
		case data != nil:
			if seq = now; !send("id: %s\nevent: parts\ndata: %s\n\n", s.hub.mark(now), data) {
				return nil
			}
		}
		if trouble != told {
			if told = trouble; !send("event: trouble\ndata: %s\n\n", strings.ReplaceAll(trouble, "\n", " ")) {
				return nil
			}
		}
		select {
		case <-changed:
		case <-silence.C:
			if !send(": here\n\n") {
				return nil
			}
		case <-r.Context().Done():
			return nil
		case <-s.streams.Done():
			return nil
		}
	}
}

// watch has a topic looked at until the function that it returns is called.
func (s *Server) watch(t *topic) (leave func()) {
	t.mu.Lock()
	t.watchers++
	first := !t.running
	t.running = true
	t.mu.Unlock()
	if first {
		s.work.Go(func() { t.run(s.streams, s.hub.next, s.made) })
	} else {
		t.poke()
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.watchers--
		t.used = time.Now()
		t.poke() // whoever looks ends, if that was the last one
	}
}
