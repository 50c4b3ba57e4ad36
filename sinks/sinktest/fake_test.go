package sinktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// service is what the fakes send to. It takes each key once.
type service struct {
	mu     sync.Mutex
	answer func() Answer
	bodies map[string]string // by key
	order  []string
	clash  error
}

func newService() *service {
	return &service{bodies: map[string]string{}, answer: func() Answer { return Take }}
}

func (s *service) hook(f func() Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) take(ctx context.Context, key, body string) error {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	a := answer()
	if a.Takes() {
		s.keep(key, body)
	}
	if a == Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	scope := map[Answer]pipeline.Scope{Deny: pipeline.OfTarget, Refuse: pipeline.OfRequest}[a]
	if a == Take {
		return nil
	}
	return &pipeline.Trouble{Scope: scope, Err: fmt.Errorf("the service %ss", a)}
}

func (s *service) keep(key, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, known := s.bodies[key]; !known {
		s.bodies[key], s.order = body, append(s.order, key)
	} else if was != body {
		s.clash = fmt.Errorf("key %s came with other bytes", key)
	}
}

func (s *service) all() (has string, back func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bodies, order := maps.Clone(s.bodies), slices.Clone(s.order)
	return fmt.Sprint(bodies, order), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies, s.order = maps.Clone(bodies), slices.Clone(order)
	}
}

func (s *service) rows() (all []Row, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.order {
		var rows []Row
		err = errors.Join(err, json.Unmarshal([]byte(s.bodies[key]), &rows))
		all = append(all, rows...)
	}
	return all, errors.Join(err, s.clash)
}

// fake is a spooled destination. With requests it is a webhook, each connection by itself or all at the end; without it
// is a document whose ledger says what it has. bug is what is wrong with it.
type fake struct {
	requests, atEnd bool
	bug             string
}

func (f fake) subject() Subject {
	s := &serviceOf{}
	kind := &pipeline.SinkKind{Name: "fake", Label: "fake", Traits: pipeline.Traits{Target: pipeline.TargetURL, Spooled: true, SettlesOnRelease: true, Requests: f.requests},
		AtEnd:    func(*pipeline.ManifestDestination) bool { return f.atEnd },
		Parallel: func(*pipeline.ManifestDestination) int { return 2 },
		New: func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
			return &fakeSink{fake: f, service: s.service}, nil
		}}
	return Subject{Kind: kind, New: func(testing.TB, string) Target {
		s.service = newService()
		return Target{Dest: pipeline.ManifestDestination{Target: "fake"}, Read: s.service.rows, Answer: s.service.hook, Keep: s.service.all}
	}}
}

// serviceOf is the service of the last world that was made: worlds follow one another.
type serviceOf struct{ *service }

type fakeSink struct {
	fake
	service *service
	folder  string
	files   int
	staged  map[int][]Row
}

func (s *fakeSink) Recover(ctx context.Context, f pipeline.Fence, _ pipeline.State, _ []pipeline.PartState) (found pipeline.Recovered, err error) {
	s.folder, s.staged = f.Folder, map[int][]Row{}
	found.State = json.RawMessage(`{}`)
	if !s.requests {
		found.Settled = map[int]pipeline.Settlement{}
		for i := range 100 {
			if s.service.bodies[name(i)] != "" {
				found.Settled[i] = pipeline.Settlement{}
			}
		}
	}
	return found, ctx.Err()
}

type fakePart struct {
	pipeline.SpooledPart
	id   pipeline.PartID
	from pipeline.Rows
	rows []Row
	bug  string
}

func (s *fakeSink) Open(_ context.Context, id pipeline.PartID, _ *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	if from != nil || rows == nil {
		return nil, pipeline.Permanent(errors.New("opened while rows come"))
	}
	return &fakePart{id: id, from: rows, bug: s.bug}, nil
}

func (p *fakePart) Finish(ctx context.Context) (pipeline.Summary, error) {
	if p.bug != "rows come again" {
		p.rows = nil
	}
	err := p.from.Each(ctx, func(q int, first int64, b *columnar.Batch) error {
		for i := range b.Rows {
			p.rows = append(p.rows, Row{string(b.Cols[0].Bytes(i)), q, int(first) + i})
		}
		return nil
	})
	if len(p.rows) > 4 && p.bug == "a row is lost" {
		p.rows = p.rows[1:]
	}
	if err != nil && p.bug == "ends without saying why" {
		return pipeline.Summary{}, errors.New("stopped")
	}
	return pipeline.Summary{}, err
}

func (*fakePart) Discard() error { return nil }

func (s *fakeSink) Stage(ctx context.Context, parts []pipeline.Part, _ int, final *pipeline.Report) (out pipeline.Staged, err error) {
	out.State = json.RawMessage(`{}`)
	var all []Row
	for _, p := range parts {
		p := p.(*fakePart)
		i := p.id.Connection
		s.staged[i] = p.rows
		out.Allocated, all = append(out.Allocated, i), append(all, p.rows...)
		if s.requests && !s.atEnd {
			err = errors.Join(err, s.request(&out, i, p.rows))
		}
		if s.bug == "seen too early" {
			s.service.keep(name(i), jsonOf(p.rows))
		}
	}
	if s.requests && s.atEnd && final != nil {
		err = errors.Join(err, s.request(&out, pipeline.OfAll, all))
	}
	if s.requests && !s.atEnd && final != nil {
		err = errors.Join(err, s.request(&out, pipeline.OfAll, nil))
		out.Requests[len(out.Requests)-1].Closing = true
	}
	return out, errors.Join(err, ctx.Err())
}

func jsonOf(rows []Row) string {
	text, err := json.Marshal(rows)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (s *fakeSink) request(out *pipeline.Staged, connection int, rows []Row) error {
	text := []byte(jsonOf(rows))
	sum := sha256.Sum256(text)
	s.files++
	r := pipeline.WireRequest{File: fmt.Sprint("body", s.files), Length: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Connection: connection}
	for s.bug != "files of a name" && exists(filepath.Join(s.folder, r.File)) { // what the last claim left under that name is still needed
		s.files++
		r.File = fmt.Sprint("body", s.files)
	}
	out.Requests = append(out.Requests, r)
	return os.WriteFile(filepath.Join(s.folder, r.File), text, 0o666)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func (s *fakeSink) Release(ctx context.Context, next []pipeline.WireRequest, r *pipeline.Report, _ bool) (out pipeline.Released, err error) {
	if r == nil {
		return out, ctx.Err()
	}
	if !s.requests {
		return s.write(ctx)
	}
	for _, r := range next {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		text, err := os.ReadFile(filepath.Join(s.folder, r.File))
		if err != nil {
			return out, err
		}
		key := r.Key
		if s.bug == "a key of its own" {
			s.files++
			key = fmt.Sprint(s.folder, s.files)
		}
		err = s.service.take(ctx, key, string(text))
		var trouble *pipeline.Trouble
		switch {
		case errors.As(err, &trouble) && trouble.Scope == pipeline.OfRequest:
			out.Letters = append(out.Letters, pipeline.Letter{Number: r.Number, Error: err.Error(), At: time.Now()})
		case err != nil && s.bug != "takes no for yes":
			return out, err
		default:
			out.Receipts = append(out.Receipts, pipeline.Receipt{Number: r.Number, Status: 200})
		}
	}
	return out, nil
}

// write brings what is staged into the document, one connection at a time.
func (s *fakeSink) write(ctx context.Context) (out pipeline.Released, err error) {
	out.Settled = map[int]pipeline.Settlement{}
	for i, rows := range s.staged {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if err := s.service.take(ctx, name(i), jsonOf(rows)); err != nil {
			return out, err
		}
		out.Settled[i] = pipeline.Settlement{}
		delete(s.staged, i)
	}
	return out, nil
}

func (s *fakeSink) Close() error { return nil }
