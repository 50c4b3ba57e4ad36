package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"fanmill/pipeline"
)

// Endpoint is a question that a service answers [ADR-32].
type Endpoint struct {
	Name     string
	Subject  string            // * stands for one token
	Metadata map[string]string // what `nats micro info` shows of it
	// Answer makes the answer, a JSON value, within the context. Of an Endpoint it is called for one question at a time.
	Answer func(context.Context, Question) ([]byte, error)
}

// Question is what somebody asks a service.
type Question struct {
	Subject string
	MsgID   string // the Nats-Msg-Id of who asks; "" if there is none
	Payload []byte
}

// Refused is the error of a question that is answered by a code as HTTP has them; any other error has 500. Who asks
// gets {"code":...,"error":...}, and the headers of ADR-32.
type Refused struct {
	Code int
	Err  error
}

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// ServiceConfig describes a service to those who look at it.
type ServiceConfig struct {
	Name, Version, Description string            // Version is a semantic one
	Metadata                   map[string]string // of this instance
	Patience                   time.Duration     // with one answer
}

// Offer answers questions as a NATS service, which `nats micro` finds. All connections that offer one of the same name
// share the questions. stop waits for the answers that are being made; it is called before the connection is closed.
// Who may not subscribe what a service needs offers none: the error names what is missing.
func (c *Conn) Offer(cfg ServiceConfig, endpoints ...Endpoint) (stop func(), _ error) {
	what := "offer the service " + cfg.Name
	s, err := micro.AddService(c.nc, micro.Config{Name: cfg.Name, Version: cfg.Version, Description: cfg.Description, Metadata: cfg.Metadata})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	ctx, cancel := context.WithCancel(c.root)
	o := &offer{ctx: ctx, patience: cfg.Patience}
	stop = func() {
		cancel()
		if err := s.Stop(); err != nil {
			c.log.Debug("a service was not ended in order", "error", err)
		}
		o.end()
	}
	for _, e := range endpoints {
		if err = s.AddEndpoint(e.Name, micro.HandlerFunc(func(r micro.Request) { o.answer(e, r) }), micro.WithEndpointSubject(e.Subject), micro.WithEndpointMetadata(e.Metadata)); err != nil {
			stop()
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	// The server says what it refuses before it answers this. Without a connection it hears of the service once there is
	// one.
	_ = c.nc.FlushTimeout(callTimeout)
	if last := c.nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		if r := newRefusal(last); r.ofService() {
			stop()
			return nil, pipeline.Permanent(fmt.Errorf("%s: %w", what, r))
		}
	}
	return stop, nil
}

// ofService reports whether a subscription of a service was refused.
func (r *refusal) ofService() bool {
	return r.verb == "subscribe" && (strings.HasPrefix(r.subject, "$SRV.") || strings.HasPrefix(r.subject, "fanmill.api."))
}

// offer is a service under way.
type offer struct {
	ctx      context.Context
	patience time.Duration

	mu      sync.Mutex
	ended   bool
	answers sync.WaitGroup
}

// end waits for the answers that are being made.
func (o *offer) end() {
	o.mu.Lock()
	o.ended = true
	o.mu.Unlock()
	o.answers.Wait()
}

// answer answers one question.
func (o *offer) answer(e Endpoint, r micro.Request) {
	o.mu.Lock()
	if o.ended {
		o.mu.Unlock()
		return
	}
	o.answers.Add(1)
	o.mu.Unlock()
	defer o.answers.Done()
	ctx, cancel := context.WithTimeout(o.ctx, o.patience)
	defer cancel()
	data, err := e.Answer(ctx, Question{Subject: r.Subject(), MsgID: r.Headers().Get(jetstream.MsgIDHeader), Payload: r.Data()})
	if err == nil {
		_ = r.Respond(data) // who has asked no longer waits, or the connection is gone
		return
	}
	said := struct {
		Code  int    `json:"code"`
		Error string `json:"error"`
	}{500, err.Error()}
	var refused *Refused
	if errors.As(err, &refused) {
		said.Code = refused.Code
	}
	data, _ = json.Marshal(said)
	_ = r.Error(strconv.Itoa(said.Code), strings.Join(strings.Fields(said.Error), " "), data) // a header has one line
}
