package memstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fanmill/pipeline"
)

// Logs are row logs in memory, one of each run.
type Logs struct {
	mu   sync.Mutex
	logs map[string]*Log
}

var _ pipeline.RowLogs = (*Logs)(nil)

// Create implements pipeline.RowLogs.
func (s *Logs) Create(_ context.Context, m *pipeline.Manifest, generation int) (pipeline.RowLog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.logs[m.Run]
	switch {
	case has != nil && has.ID.Generation == generation:
		return has, nil
	case has != nil && has.ID.Generation > generation:
		return nil, pipeline.OfKind(pipeline.ErrFenced, fmt.Errorf("run %s has a row log of generation %d", m.Run, has.ID.Generation))
	case has != nil:
		has.end()
	}
	l := &Log{ID: pipeline.LogID{Stream: m.Run, Generation: generation, Created: time.Now()}, MaxBytes: m.LogMaxBytes}
	if s.logs == nil {
		s.logs = map[string]*Log{}
	}
	s.logs[m.Run] = l
	return l, nil
}

// Open implements pipeline.RowLogs.
func (s *Logs) Open(_ context.Context, run string, generation int) (pipeline.RowLog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[run]; l != nil && l.ID.Generation == generation {
		return l, nil
	}
	return nil, pipeline.ErrNoLog
}

// Newest implements pipeline.RowLogs.
func (s *Logs) Newest(_ context.Context, run string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[run]; l != nil {
		return l.ID.Generation, nil
	}
	return 0, nil
}

// Delete implements pipeline.RowLogs.
func (s *Logs) Delete(_ context.Context, run string, generation int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[run]; l != nil && l.ID.Generation <= generation {
		l.end()
		delete(s.logs, run)
	}
	return nil
}

// One is the row logs of a store that has this one, of generation 1, of whatever run. Without it it has none.
type One struct{ *Log }

// Create implements pipeline.RowLogs.
func (o One) Create(context.Context, *pipeline.Manifest, int) (pipeline.RowLog, error) {
	return o.Log, nil
}

// Open implements pipeline.RowLogs.
func (o One) Open(context.Context, string, int) (pipeline.RowLog, error) {
	if o.Gone {
		return nil, pipeline.ErrNoLog
	}
	return o.Log, nil
}

// Newest implements pipeline.RowLogs.
func (o One) Newest(context.Context, string) (int, error) { return 1, nil }

// Delete implements pipeline.RowLogs. It removes nothing.
func (o One) Delete(context.Context, string, int) error { return nil }
