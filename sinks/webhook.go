package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/pipeline/durable"
	"fanmill/sinks/dedupe"
	"fanmill/sinks/post"
)

// init registers the destinations "webhook" and "api": requests with rows as JSON. They differ in what receivers of
// each kind expect: a webhook has the headers of Standard Webhooks and follows no redirect; an API answers with the id
// of what was made.
//
// In mode "batch" the rows of all connections, without repetitions, are one body, or as many as the limits ask for,
// once every connection has ended. In mode "stream" a connection is sent when it is there, and a closing request
// follows.
func init() {
	registerRequests(pipeline.SinkKind{Name: "webhook", Label: "webhook", Options: webhookTable,
		Description: "Requests to a webhook with the rows of one query, signed as Standard Webhooks has it."}, true)
	registerRequests(pipeline.SinkKind{Name: "api", Aliases: []string{"customApi", "custom-api"}, Label: "API", Options: apiTable,
		Description: "Requests to an API with the rows of one query."}, false)
}

func registerRequests(kind pipeline.SinkKind, webhook bool) {
	kind.Example, kind.TargetKey, kind.Modes = "https://example.com/sales", "url", []string{"batch", "stream"}
	kind.Traits = pipeline.Traits{Target: pipeline.TargetURL, OneQuery: true, OneSchema: true, Spooled: true, SettlesOnRelease: true, Requests: true, WorkingSet: 2 * dedupe.DefaultMemory}
	kind.Check, kind.Warn = checkWebhook(kind.Options, webhook, false), checkWebhook(kind.Options, webhook, true)
	kind.AtEnd = func(d *pipeline.ManifestDestination) bool { return d.Mode != "stream" }
	kind.Parallel = func(d *pipeline.ManifestDestination) int {
		var keys struct{ Parallel int }
		_ = pipeline.DecodeOptions(d.Options, kind.Options, &keys) // New reads them again, and says what is wrong
		return keys.Parallel
	}
	kind.Partitions = func(d *pipeline.Destination) error {
		if d.Mode == "stream" {
			return nil
		}
		return errors.New("partitions are for mode \"stream\": \"batch\" compares and sends the rows of all connections in one place; write \"mode\": \"stream\", or remove partitions")
	}
	kind.KeyTTL = func(d *pipeline.ManifestDestination) time.Duration {
		var keys struct{ KeyTTL pipeline.Duration }
		if err := pipeline.DecodeOptions(d.Options, kind.Options, &keys); err != nil {
			return time.Nanosecond // nothing is sent again before New has said what is wrong
		}
		return time.Duration(keys.KeyTTL)
	}
	kind.New = func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
		return newWebhookSink(spec, kind.Options, webhook)
	}
	kind.Probe = func(ctx context.Context, spec pipeline.SinkSpec) error {
		o, err := decodeWebhook(&spec, kind.Options)
		if err != nil {
			return pipeline.Permanent(err)
		}
		c, err := post.New(o.client(webhook))
		if err != nil {
			return pipeline.Permanent(err)
		}
		_, err = c.Probe(ctx)
		return errors.Join(err, c.Close())
	}
	registered = append(registered, kind)
}

func decodeWebhook(spec *pipeline.SinkSpec, table []pipeline.Option) (*webhookOptions, error) {
	return readWebhookOptions(spec.Destination.Mode, func(into any) error { return spec.Decode(table, into) })
}

// webhookSink makes the requests of one run for one receiver.
type webhookSink struct {
	lines
	options *webhookOptions
	decode  func() (*webhookOptions, error)
	webhook bool
	client  *post.Client // nil until it is needed
	folder  string
	grow    func(int64)
	state   webhookState
	mu      sync.Mutex // of what parts have in common: they finish side by side

	columns []columnar.Column // of the rows, in the header's order, for comparing them; nil until they are known
	keyed   []int             // which of them make rows the same; nil for all
}

// webhookState is what the commit record keeps.
type webhookState struct {
	Header []string          `json:"header,omitempty"` // where no schema says it
	From   []string          `json:"from,omitempty"`
	Sent   []dedupe.SentKeys `json:"sent,omitempty"` // of earlier rounds; paths are names in the folder
}

func newWebhookSink(spec pipeline.SinkSpec, table []pipeline.Option, webhook bool) (pipeline.Sink, error) {
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	s := &webhookSink{webhook: webhook, decode: func() (*webhookOptions, error) { return decodeWebhook(&spec, table) }}
	if s.options, err = s.decode(); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	f := &file{manifest: spec.Manifest, dest: spec.Destination, location: loc, log: spec.Log}
	if s.lines, err = newLines(f, &s.options.rows.names, "none"); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	return s, nil
}

func (s *webhookSink) Recover(_ context.Context, f pipeline.Fence, state pipeline.State, _ []pipeline.PartState) (pipeline.Recovered, error) {
	if len(state) > 0 {
		if err := json.Unmarshal(state, &s.state); err != nil {
			return pipeline.Recovered{}, unreadable("state of "+s.table.dest.ID, err)
		}
	}
	s.folder, s.grow = f.Folder, f.Grow
	if s.state.Header != nil {
		s.table.header.csvNames = csvNames{s.state.Header, s.state.From}
	}
	st, err := s.recorded()
	return pipeline.Recovered{State: st}, err
}

// recorded is the state to be recorded.
func (s *webhookSink) recorded() (pipeline.State, error) {
	if s.table.header.schema == nil {
		s.state.Header, s.state.From = s.table.header.names, s.table.header.from
	}
	return json.Marshal(s.state)
}

// about is what all bodies of a round say.
func (s *webhookSink) about(round int) Envelope {
	e := Envelope{JobID: s.table.manifest.JobID, JobName: s.table.manifest.JobName, RunID: s.table.manifest.Run, Connections: []EnvelopeConnection{}}
	if round > 1 {
		e.Round = round
	}
	if s.table.dest.Query != nil {
		for _, c := range s.table.manifest.Connections {
			if *s.table.dest.Query < len(c.Queries) {
				e.Query = c.Queries[*s.table.dest.Query].Name
				break
			}
		}
	}
	return e
}

// named lists the connections as a request of all names them; rows has what is sent of those that are included.
func (s *webhookSink) named(r *pipeline.Report, rows map[int]int64) []EnvelopeConnection {
	out := make([]EnvelopeConnection, len(r.Connections))
	for i, c := range r.Connections {
		out[i] = EnvelopeConnection{ID: c.ID, Name: c.Name, State: envelopeMissing}
		if n, included := rows[i]; included {
			out[i].State, out[i].Rows = envelopeIncluded, n
		} else if c.State == pipeline.ReportSettled || c.State == pipeline.ReportSealed {
			out[i].State = envelopeDelivered
			if s.table.query < len(c.Rows) {
				out[i].Rows = c.Rows[s.table.query]
			}
		}
	}
	return out
}

func (s *webhookSink) Stage(ctx context.Context, parts []pipeline.Part, round int, final *pipeline.Report) (out pipeline.Staged, err error) {
	if s.options.stream {
		out, err = s.stageStream(parts, round, final)
	} else if final != nil {
		out, err = s.stageBatch(ctx, parts, round, final)
	}
	if err != nil {
		return pipeline.Staged{}, err
	}
	if len(out.Requests)+len(out.Keep) > 0 { // names of files that are named
		if err := durable.SyncDir(s.folder); err != nil {
			return pipeline.Staged{}, err
		}
	}
	out.State, err = s.recorded()
	return out, err
}

// stageStream hands over the requests of parts, and makes the one that closes a round.
func (s *webhookSink) stageStream(parts []pipeline.Part, round int, final *pipeline.Report) (out pipeline.Staged, err error) {
	for _, p := range parts {
		p := p.(*webhookPart)
		out.Requests = append(out.Requests, p.requests...)
		out.Allocated = append(out.Allocated, p.id.Connection)
		if len(p.requests) == 0 {
			if err := p.Discard(); err != nil {
				return out, err
			}
		}
		p.file = "" // the outbox's
	}
	if final == nil {
		return out, nil
	}
	about := s.about(round)
	about.Connections = s.named(final, nil)
	text, err := json.Marshal(struct {
		Envelope
		Closing bool `json:"closing"`
	}{about, true})
	if err != nil {
		return out, pipeline.Permanent(err)
	}
	r, err := s.closing(text, round)
	out.Requests = append(out.Requests, r)
	return out, err
}

// closing writes a request without rows.
func (s *webhookSink) closing(text []byte, round int) (r pipeline.WireRequest, err error) {
	b, err := newBodies(s.folder, fmt.Sprintf("body-closing-%d", round), &webhookOptions{keys: webhookKeys{Format: "ndjson"}}, Envelope{}, pipeline.OfAll)
	if err != nil {
		return r, err
	}
	if err := b.row(text); err != nil {
		b.discard()
		return r, err
	}
	requests, size, err := b.close(true)
	if err != nil {
		return r, err
	}
	s.grow(size)
	r = requests[0]
	r.Rows, r.Closing, r.Type = 0, true, "application/json"
	return r, nil
}

func (s *webhookSink) Close() error {
	if s.client == nil {
		return nil
	}
	c := s.client
	s.client = nil
	return c.Close()
}

// removeQuietly removes a file that nothing names.
func removeQuietly(folder, name string) { _ = os.Remove(filepath.Join(folder, name)) }
