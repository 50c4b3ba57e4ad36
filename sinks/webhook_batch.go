package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/dedupe"
)

// stageBatch makes the requests of a round from the rows of all connections that no earlier one had.
func (s *webhookSink) stageBatch(ctx context.Context, parts []pipeline.Part, round int, final *pipeline.Report) (out pipeline.Staged, err error) {
	if why := s.held(final); why != "" {
		return out, &pipeline.Owing{Reason: why}
	}
	all := make([]*webhookPart, len(parts))
	for i, p := range parts {
		all[i] = p.(*webhookPart)
		out.Allocated = append(out.Allocated, all[i].id.Connection)
	}
	result, err := s.compare(ctx, all, round, final)
	if err != nil {
		return out, err
	}
	if result != nil {
		defer func() {
			err = errors.Join(err, result.Close())
			removeQuietly(s.folder, compareName)
		}()
		out.Notes = s.dropped(all, result)
	}
	sent := map[int]int64{}
	for _, p := range all {
		n := p.rows.Count()[s.table.query]
		if result != nil {
			n = result.Counts(p.id.Connection, 0).Kept()
		}
		sent[p.id.Connection] = n
	}
	about := s.about(round)
	about.Connections = s.named(final, sent)
	b, err := newBodies(s.folder, fmt.Sprintf("body-%d", round), s.options, about, pipeline.OfAll)
	if err != nil {
		return out, err
	}
	for _, p := range all {
		if err := s.writeRows(ctx, b, p, result); err != nil {
			b.discard()
			return out, err
		}
	}
	requests, size, err := b.close(s.options.keys.SendEmpty)
	if err != nil {
		return out, err
	}
	if s.grow(size); len(requests) == 0 {
		removeQuietly(s.folder, b.name)
	}
	out.Requests = requests
	for _, keys := range s.state.Sent {
		out.Keep = append(out.Keep, keys.Path)
	}
	return out, nil
}

// compareName is the folder for comparing rows.
const compareName = "compare"

// held says why nothing is sent now.
func (s *webhookSink) held(r *pipeline.Report) string {
	if s.options.keys.OnPartial != "hold" {
		return ""
	}
	var missing []string
	for _, c := range r.Connections {
		if c.State != pipeline.ReportSettled && c.State != pipeline.ReportSealed {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	names := strings.Join(missing[:min(len(missing), maxStaleNames)], ", ")
	if more := len(missing) - maxStaleNames; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return "held, as onPartial says, until a resume brings " + names
}

// writeRows writes those of a connection's rows that are sent.
func (s *webhookSink) writeRows(ctx context.Context, b *bodies, p *webhookPart, result *dedupe.Result) error {
	var kept []int32
	return p.each(ctx, func(first int64, batch *columnar.Batch, c *jsonlChunk) (err error) {
		if result != nil {
			if kept, err = result.Kept(kept[:0], p.id.Connection, 0, first, batch.Rows); err != nil {
				return err
			}
		}
		row, next := int32(0), 0
		for line := range bytes.Lines(c.data) {
			sent := result == nil
			if !sent && next < len(kept) && kept[next] == row {
				sent = true
				next++
			}
			if row++; sent {
				if err := b.row(line[:len(line)-1]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// compare finds the rows that are sent; nil if all are. Where a later round may follow, the keys of those that are sent
// are kept for it.
func (s *webhookSink) compare(ctx context.Context, parts []*webhookPart, round int, final *pipeline.Report) (*dedupe.Result, error) {
	if !s.options.dedupes() || len(parts) == 0 {
		return nil, nil
	}
	more := slices.ContainsFunc(final.Connections, func(c pipeline.ReportConnection) bool {
		return c.State != pipeline.ReportSettled && c.State != pipeline.ReportSealed
	})
	spec := dedupe.Spec{Dir: filepath.Join(s.folder, compareName), Keep: s.options.keep(), Queries: []dedupe.Query{{Columns: s.columns, Keys: s.keyed}}, Zone: s.table.location,
		Grow: func(bytes int64) error { s.grow(bytes); return nil }}
	for _, keys := range s.state.Sent {
		keys.Path = filepath.Join(s.folder, keys.Path)
		spec.Sent = append(spec.Sent, keys)
	}
	name := fmt.Sprintf("sent-%d", round)
	if more {
		spec.Save = filepath.Join(s.folder, name)
	}
	result, err := dedupe.Run(ctx, spec, func(yield func(dedupe.Share) error) error {
		for _, p := range parts {
			err := p.rows.Each(ctx, func(query int, first int64, b *columnar.Batch) error {
				if query != s.table.query {
					return nil
				}
				return yield(dedupe.Share{Connection: p.id.Connection, First: first, Columns: p.order, Batch: b})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if more {
		keys := result.Sent()
		keys.Path = name
		s.state.Sent = append(slices.DeleteFunc(s.state.Sent, func(k dedupe.SentKeys) bool { return k.Path == name }), keys)
		if info, err := os.Stat(spec.Save); err == nil {
			s.grow(info.Size())
		}
	}
	return result, nil
}

// dropped says of each connection how many of its rows are not sent, and why.
func (s *webhookSink) dropped(parts []*webhookPart, result *dedupe.Result) map[int][]string {
	notes := map[int][]string{}
	for _, p := range parts {
		n := result.Counts(p.id.Connection, 0)
		for _, of := range []struct {
			rows int64
			why  string
		}{
			{n.Duplicates, "are repetitions of others and are not sent"},
			{n.AlreadySent, "were sent by an earlier round and are not sent again"},
			{n.Superseded, "would have taken the place of rows that an earlier round has sent, and are not sent"},
		} {
			if of.rows > 0 {
				notes[p.id.Connection] = append(notes[p.id.Connection], fmt.Sprintf("%d of %d rows %s", of.rows, n.Rows, of.why))
			}
		}
	}
	return notes
}

// fixColumns finds the columns that rows are compared by: those of the run's schema, or of the first connection.
func (s *webhookSink) fixColumns(o *pipeline.Opening, p *webhookPart) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.columns != nil || !s.options.dedupes() {
		return nil
	}
	from := o.Queries[s.table.query].Columns
	if s.table.header.schema != nil {
		from = s.table.header.schema.Columns
	}
	outputs := s.options.rows.names.arrange(from)
	for _, out := range outputs {
		c, err := columnar.ParseType(out.from, from[out.at].Type)
		if err != nil {
			return pipeline.Permanent(err)
		}
		s.columns = append(s.columns, c)
	}
	for _, key := range s.options.keys.Dedupe.keys {
		at := slices.IndexFunc(outputs, func(out csvOutput) bool { return out.from == key })
		if at < 0 {
			at = slices.IndexFunc(outputs, func(out csvOutput) bool { return strings.EqualFold(out.from, key) || out.name == key })
		}
		if at < 0 {
			s.columns = nil
			return pipeline.Permanent(fmt.Errorf("destination %s: the key %q of dedupe is no column of the rows that are sent; they have %s", s.table.dest.ID, key, strings.Join(namesOf(outputs).names, ", ")))
		}
		s.keyed = append(s.keyed, at)
	}
	return nil
}
