package receiver

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Quiet is for what net/http says about connections that the script breaks.
var Quiet = log.New(io.Discard, "", 0)

func newHook(secret string) (*standardwebhooks.Webhook, error) {
	if raw, ok := strings.CutPrefix(secret, "raw:"); ok {
		return standardwebhooks.NewWebhookRaw([]byte(raw))
	}
	return standardwebhooks.NewWebhook(secret)
}

// ServeHTTP takes one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	gone := r.gone
	r.mu.Unlock()
	step := r.next()
	q := Request{Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery, Host: req.Host, Header: req.Header.Clone(),
		Key: req.Header.Get("Idempotency-Key")}
	if !step.Early {
		wire, err := io.ReadAll(req.Body)
		if err != nil { // the sender broke off: that is no request
			panic(http.ErrAbortHandler)
		}
		reached := step.Reached
		step = r.take(&q, req, wire, step)
		step.Reached = reached
	}
	if step.Status == 0 && step.End == Answer {
		step.Status = http.StatusOK
	}
	q.Status = step.Status
	r.mu.Lock()
	r.requests = append(r.requests, q)
	if q.Stored && !q.Duplicate {
		r.bodies[q.Key] = len(r.requests) - 1
	}
	r.mu.Unlock()
	if step.Reached != nil {
		close(step.Reached)
	}
	finish(w, req, step, gone)
}

// take looks at a body and stores it. What it finds wrong replaces the step.
func (r *Receiver) take(q *Request, req *http.Request, wire []byte, step Step) Step {
	q.SHA256, q.Length = sha256.Sum256(wire), int64(len(wire))
	if req.Method == http.MethodHead {
		return step
	}
	if req.ContentLength < 0 {
		r.violate("%s: no Content-Length", q.Key)
		return Say(http.StatusLengthRequired, "no length")
	}
	if q.Key == "" {
		r.violate("a request without Idempotency-Key")
	}
	if err := r.verify(q, wire); err != nil {
		r.violate("%s: %v", q.Key, err)
		return Say(http.StatusUnauthorized, err.Error())
	}
	body, err := decode(wire, q.Header.Get("Content-Encoding"))
	if err != nil {
		r.violate("%s: %v", q.Key, err)
		return Say(http.StatusBadRequest, err.Error())
	}
	q.Body = body
	if other, ok := r.first(q.Key); ok {
		q.Duplicate, q.Body = true, nil
		if other.SHA256 != q.SHA256 {
			r.violate("%s: the same key with other bytes", q.Key)
			return Say(http.StatusUnprocessableEntity, "the same key with other bytes")
		}
	} else if !step.Store {
		q.Body = nil
	}
	q.Stored = step.Store
	if step.Store && step.Status == 0 && step.End == Answer {
		step.Status, step.Body = http.StatusOK, fmt.Sprintf(`{"ok":true,"id":"id-%s"}`, q.Key)
	}
	return step
}

func (r *Receiver) first(key string) (Request, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.bodies[key]
	if !ok {
		return Request{}, false
	}
	return r.requests[i], true
}

func (r *Receiver) verify(q *Request, wire []byte) error {
	if len(r.hooks) == 0 {
		return nil
	}
	if id := q.Header.Get(standardwebhooks.HeaderWebhookID); id != q.Key {
		return fmt.Errorf("webhook-id %q is not the key", id)
	}
	var failed error
	for _, hook := range r.hooks {
		err := hook.Verify(wire, q.Header)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// decode returns what a body has. A gzip body is one member without a name and a time: many readers stop after the
// first member, and what changes with the time would change the bytes of a key.
func decode(wire []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return wire, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("Content-Encoding %q", encoding)
	}
	in := bytes.NewReader(wire)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("gzip body: %w", err)
	}
	z.Multistream(false)
	body, err := io.ReadAll(z)
	switch {
	case err != nil:
		return nil, fmt.Errorf("gzip body: %w", err)
	case in.Len() > 0:
		return nil, fmt.Errorf("gzip body: %d bytes behind the first member", in.Len())
	case z.Name != "" || !z.ModTime.IsZero():
		return nil, errors.New("gzip body: its header has a name or a time")
	}
	return body, nil
}

func finish(w http.ResponseWriter, req *http.Request, step Step, gone <-chan struct{}) {
	for name, values := range step.Header {
		w.Header()[name] = values
	}
	switch step.End {
	case Answer:
		w.WriteHeader(step.Status)
		_, _ = io.WriteString(w, step.Body)
		return
	case Drop, Trickle:
		if step.Status > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(step.Body)+100))
			w.WriteHeader(step.Status)
			_, _ = io.WriteString(w, step.Body)
			_ = http.NewResponseController(w).Flush()
		}
	}
	if step.End != Drop {
		select {
		case <-req.Context().Done():
		case <-gone:
		}
	}
	panic(http.ErrAbortHandler)
}
