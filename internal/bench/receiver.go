package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// receiver takes every request, and counts.
type receiver struct {
	url         string
	rows, bytes atomic.Int64
	pause       time.Duration // before each answer
	server      *http.Server
}

// startReceiver listens until close. It answers after a pause.
func startReceiver(pause time.Duration) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{pause: pause, url: "http://" + l.Addr().String() + "/rows"}
	r.server = &http.Server{Handler: r}
	go func() { _ = r.server.Serve(l) }() // until close
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

// ServeHTTP implements http.Handler. Rows of our bodies begin with the connection's key.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.rows.Add(int64(bytes.Count(body, []byte(`{"_connection":`))))
	r.bytes.Add(int64(len(body)))
	time.Sleep(r.pause)
	w.WriteHeader(http.StatusNoContent)
}

// counting has the size of what a contender sends as that of its file, and compares the rows sent, if any and if
// exactly that many are expected: with equal rows among them fewer come.
func (r *receiver) counting(c contender, exactly bool) contender {
	run := c.run
	c.run = func(ctx context.Context) (result, error) {
		r.rows.Store(0)
		r.bytes.Store(0)
		res, err := run(ctx)
		if sent := r.rows.Load(); err == nil && sent > 0 {
			res.file = r.bytes.Load()
			if exactly && sent != int64(c.rows) {
				err = fmt.Errorf("%d rows were sent, not %d", sent, c.rows)
			}
		}
		return res, err
	}
	return c
}
