package sinks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/sinks/sinktest"
)

// Destinations that send requests go through the suite, against receivers that know a request by its key alone.
func TestSuiteOfRequests(t *testing.T) {
	for _, to := range []struct{ kind, mode string }{{"webhook", "batch"}, {"webhook", "stream"}, {"api", "stream"}} {
		t.Run(to.kind+" "+to.mode, func(t *testing.T) {
			house := &receivers{all: map[string]*taker{}}
			server := httptest.NewServer(house)
			server.Config.ErrorLog = receiver.Quiet
			t.Cleanup(server.Close)
			sinktest.Run(t, sinktest.Subject{Kind: sinks.Kinds()[to.kind], New: func(testing.TB, string) sinktest.Target {
				path, from := house.add()
				at := func(url string) pipeline.ManifestDestination {
					return pipeline.ManifestDestination{Target: "receiver", Mode: to.mode, Options: json.RawMessage(fmt.Sprintf(`{"url":%q}`, url+path))}
				}
				elsewhere := at(strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
				return sinktest.Target{Dest: at(server.URL), Elsewhere: &elsewhere, Read: from.rows, Answer: from.hook, Keep: from.keep}
			}})
		})
	}
}

// receivers has a receiver for each world, by path.
type receivers struct {
	mu  sync.Mutex
	all map[string]*taker
}

func (h *receivers) add() (path string, to *taker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path = "/" + strconv.Itoa(len(h.all))
	to = &taker{answer: func() sinktest.Answer { return sinktest.Take }, bodies: map[string]string{}}
	h.all[path] = to
	return path, to
}

func (h *receivers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	to := h.all[r.URL.Path]
	h.mu.Unlock()
	to.ServeHTTP(w, r)
}

// taker keeps a request's rows once under its key.
type taker struct {
	mu     sync.Mutex
	answer func() sinktest.Answer
	bodies map[string]string // by key
	stored []receiver.Request
	clash  error
}

func (to *taker) hook(f func() sinktest.Answer) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.answer = f
}

func (to *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the sender broke off: that is no request
		panic(http.ErrAbortHandler)
	}
	to.mu.Lock()
	answer := to.answer
	to.mu.Unlock()
	a := answer()
	if a.Takes() {
		to.store(r.Header, body)
	}
	switch a {
	case sinktest.Err:
		w.WriteHeader(http.StatusServiceUnavailable)
	case sinktest.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case sinktest.Drop, sinktest.Lose:
		panic(http.ErrAbortHandler)
	case sinktest.Busy:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case sinktest.Deny:
		w.WriteHeader(http.StatusUnauthorized)
	case sinktest.Refuse:
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
}

func (to *taker) store(h http.Header, body []byte) {
	to.mu.Lock()
	defer to.mu.Unlock()
	key := h.Get("Idempotency-Key")
	was, known := to.bodies[key]
	switch {
	case key == "":
		to.clash = errors.New("a request has no key")
	case !known:
		to.bodies[key] = string(body)
		to.stored = append(to.stored, receiver.Request{Header: h.Clone(), Body: body})
	case was != string(body):
		to.clash = fmt.Errorf("the key %s came with other bytes", key)
	}
}

func (to *taker) keep() (has string, back func()) {
	to.mu.Lock()
	defer to.mu.Unlock()
	bodies, stored := maps.Clone(to.bodies), slices.Clone(to.stored)
	return fmt.Sprint(bodies), func() {
		to.mu.Lock()
		defer to.mu.Unlock()
		to.bodies, to.stored = maps.Clone(bodies), slices.Clone(stored)
	}
}

func (to *taker) rows() (all []sinktest.Row, err error) {
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, q := range to.stored {
		rows, rerr := q.Rows()
		err = errors.Join(err, rerr)
		for _, r := range rows {
			row, rerr := sinktest.ParseRow(strings.Fields(fmt.Sprint(r["branch"], " ", r["query"], " ", r["line"])))
			all, err = append(all, row), errors.Join(err, rerr)
		}
	}
	return all, errors.Join(err, to.clash)
}
