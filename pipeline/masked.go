package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"fanmill/pipeline/columnar"
)

// Decode reads the destination's options into a struct with JSON tags, after the defaults of their table, with the
// references replaced where the table says so. What was replaced is masked from then on; see Expand.
func (s *SinkSpec) Decode(table []Option, into any) error {
	raw := s.Destination.Options
	if s.Expand != nil {
		var err error
		if raw, err = expandOptions(raw, table, s.Expand); err != nil {
			return err
		}
	}
	return DecodeOptions(raw, table, into)
}

// Masking fills in what keeps the secrets of a destination out of everything that its sink says.
func (s SinkSpec) Masking() (SinkSpec, *Secrets) {
	secrets := &Secrets{}
	if expand := s.Expand; expand != nil {
		s.Expand = func(text string) (string, error) { return secrets.Expand(text, expand) }
	}
	s.Hide = secrets.Add
	if s.Log != nil {
		s.Log = slog.New(&maskedHandler{s.Log.Handler(), secrets})
	}
	return s, secrets
}

// NewMasked makes a sink whose errors and notes have no secret in them: they go into logs, records, events and reports.
func NewMasked(kind *SinkKind, spec SinkSpec) (Sink, error) {
	spec, secrets := spec.Masking()
	sink, err := kind.New(spec)
	if err != nil {
		return nil, secrets.Error(err)
	}
	return &maskedSink{sink, secrets}, nil
}

// maskedSink is a sink on whose way out secrets are masked. It embeds none: a method that is added to Sink is to be
// thought of here.
type maskedSink struct {
	sink    Sink
	secrets *Secrets
}

func (m *maskedSink) Recover(ctx context.Context, f Fence, state State, parts []PartState) (Recovered, error) {
	found, err := m.sink.Recover(ctx, f, state, parts)
	return found, m.secrets.Error(err)
}

func (m *maskedSink) Open(ctx context.Context, id PartID, o *Opening, from *PartState, rows Rows) (Part, error) {
	part, err := m.sink.Open(ctx, id, o, from, rows)
	if err != nil {
		return nil, m.secrets.Error(err)
	}
	return &maskedPart{part, m.secrets}, nil
}

func (m *maskedSink) Stage(ctx context.Context, parts []Part, round int, final *Report) (Staged, error) {
	own := make([]Part, len(parts))
	for i, p := range parts {
		own[i] = p.(*maskedPart).part
	}
	staged, err := m.sink.Stage(ctx, own, round, final)
	for _, notes := range staged.Notes {
		m.secrets.maskAll(notes)
	}
	return staged, m.secrets.Error(err)
}

// Release masks what the receiver said, too: it stands in receipts and letters.
func (m *maskedSink) Release(ctx context.Context, next []WireRequest, r *Report, insist bool) (Released, error) {
	out, err := m.sink.Release(ctx, next, r, insist)
	for i := range out.Receipts {
		receipt := &out.Receipts[i]
		receipt.ID = m.secrets.Mask(receipt.ID)
		m.secrets.maskAll(receipt.Notes)
	}
	for i := range out.Letters {
		letter := &out.Letters[i]
		letter.Error, letter.Answer = m.secrets.Mask(letter.Error), m.secrets.Mask(letter.Answer)
	}
	for i, why := range out.Rejected {
		out.Rejected[i] = m.secrets.Mask(why)
	}
	return out, m.secrets.Error(err)
}

func (m *maskedSink) Close() error { return m.secrets.Error(m.sink.Close()) }

// maskedPart is a part on whose way out secrets are masked.
type maskedPart struct {
	part    Part
	secrets *Secrets
}

func (m *maskedPart) Encode(query int, first int64, b *columnar.Batch) (Chunk, error) {
	c, err := m.part.Encode(query, first, b)
	return c, m.secrets.Error(err)
}

func (m *maskedPart) Append(ctx context.Context, query int, c Chunk) error {
	return m.secrets.Error(m.part.Append(ctx, query, c))
}

func (m *maskedPart) Save(ctx context.Context) (State, error) {
	st, err := m.part.Save(ctx)
	return st, m.secrets.Error(err)
}

func (m *maskedPart) Finish(ctx context.Context) (Summary, error) {
	sum, err := m.part.Finish(ctx)
	m.secrets.maskAll(sum.Notes)
	return sum, m.secrets.Error(err)
}

func (m *maskedPart) Discard() error { return m.secrets.Error(m.part.Discard()) }

// maskedHandler masks the texts of log lines: messages and values, also those in groups. A value that is no text is
// turned into one first where only its text is ever seen.
type maskedHandler struct {
	slog.Handler
	secrets *Secrets
}

func (h *maskedHandler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.secrets.Mask(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h *maskedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		own[i] = h.attr(a)
	}
	return &maskedHandler{h.Handler.WithAttrs(own), h.secrets}
}

func (h *maskedHandler) WithGroup(name string) slog.Handler {
	return &maskedHandler{h.Handler.WithGroup(name), h.secrets}
}

func (h *maskedHandler) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.secrets.Mask(v.String()))
	case slog.KindGroup:
		own := make([]slog.Attr, 0, len(v.Group()))
		for _, inner := range v.Group() {
			own = append(own, h.attr(inner))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(own...)}
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return slog.Any(a.Key, h.secrets.Error(err))
		}
		if text, ok := v.Any().(json.RawMessage); ok {
			return slog.String(a.Key, h.secrets.Mask(string(text)))
		}
		return slog.String(a.Key, h.secrets.Mask(fmt.Sprint(v.Any())))
	default:
		return a
	}
}
