package sinktest

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// naive is a destination that appends to the file that readers see.
func naive(t testing.TB) Subject {
	t.Helper()
	kind := &pipeline.SinkKind{Name: "naive", Traits: pipeline.Traits{OneQuery: true}, New: func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
		return &naiveSink{path: spec.Destination.Path}, nil
	}}
	return Subject{Kind: kind, New: func(_ testing.TB, dir string) Target {
		path := filepath.Join(dir, "naive.csv")
		return Target{Dest: pipeline.ManifestDestination{Path: path}, Read: func() ([]Row, error) {
			text, err := os.ReadFile(path)
			if os.IsNotExist(err) {
				return nil, nil
			}
			lines, cerr := csv.NewReader(strings.NewReader("branch,query,line\n" + string(text))).ReadAll()
			if err == nil {
				err = cerr
			}
			if err != nil {
				return nil, err
			}
			return ParseTable(lines)
		}}
	}}
}

type naiveSink struct{ path string }

func (s *naiveSink) Recover(context.Context, pipeline.Fence, pipeline.State, []pipeline.PartState) (pipeline.Recovered, error) {
	return pipeline.Recovered{State: json.RawMessage(`{}`)}, nil
}

func (s *naiveSink) Open(context.Context, pipeline.PartID, *pipeline.Opening, *pipeline.PartState, pipeline.Rows) (pipeline.Part, error) {
	return &naivePart{s.path}, nil
}

func (s *naiveSink) Stage(context.Context, []pipeline.Part, int, *pipeline.Report) (pipeline.Staged, error) {
	return pipeline.Staged{State: json.RawMessage(`{}`)}, nil
}

func (s *naiveSink) Release(context.Context, []pipeline.WireRequest, *pipeline.Report, bool) (pipeline.Released, error) {
	return pipeline.Released{}, nil
}

func (s *naiveSink) Close() error { return nil }

type naivePart struct{ path string }

func (p *naivePart) Encode(query int, first int64, b *columnar.Batch) (pipeline.Chunk, error) {
	var text strings.Builder
	for i := range b.Rows {
		fmt.Fprintf(&text, "%s,%d,%d\n", b.Cols[0].Bytes(i), query, first+int64(i))
	}
	return text.String(), nil
}

func (p *naivePart) Append(_ context.Context, _ int, c pipeline.Chunk) error {
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.(string))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (p *naivePart) Save(context.Context) (pipeline.State, error) { return json.RawMessage(`{}`), nil }

func (p *naivePart) Finish(context.Context) (pipeline.Summary, error) { return pipeline.Summary{}, nil }

func (p *naivePart) Discard() error { return nil }
