package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

// init registers the destination "sheets": a Google spreadsheet with a tab for every connection and query, or one tab
// with the rows of all. Package sheets says how rows get there exactly once, and how values become cells.
//
// A connection goes out once it is sealed: all its rows are on the disk of the spool, and stay there until the
// spreadsheet's own ledger says that it has them.
func init() {
	registered = append(registered, pipeline.SinkKind{
		Name:        "sheets",
		Aliases:     []string{"googleSheets", "google-sheets"},
		Label:       "Google Sheets",
		Description: "A Google spreadsheet with a tab for every connection and query, or one tab with the rows of all.",
		Example:     "https://docs.google.com/spreadsheets/d/1AbC/edit",
		Options:     sheetsTable,
		TargetKey:   "spreadsheet",
		Modes:       []string{"replace", "append"},
		Traits:      pipeline.Traits{Target: pipeline.TargetDocument, OneQuery: true, OneSchema: true, Spooled: true, Gathers: true, SettlesOnRelease: true},
		Shared: func(d *pipeline.ManifestDestination) bool {
			o, err := readSheetsOptions(d.Options)
			return err == nil && o.tab != ""
		},
		Gather: func(d *pipeline.ManifestDestination) pipeline.Gathering {
			o, _ := readSheetsOptions(d.Options) // New has said what is wrong with them
			return o.gather
		},
		Check: func(d *pipeline.Destination) error {
			_, err := readSheetsOptions(d.Options)
			return err
		},
		Warn:        sheetsOptionTwins,
		HeaderTwins: sheetsHeaderTwins,
		New:         func(spec pipeline.SinkSpec) (pipeline.Sink, error) { return newSheetsSink(spec) },
		Probe: func(ctx context.Context, spec pipeline.SinkSpec) error {
			s, err := newSheetsSink(spec)
			if err != nil {
				return err
			}
			d, err := s.document(pipeline.Fence{})
			if err != nil {
				return err
			}
			return d.Probe(ctx)
		},
	})
}

// connectSheets is the process's client for some credentials. Tests have others.
var connectSheets = sheets.Connect

// sheetsSink writes one spreadsheet.
type sheetsSink struct {
	spec      pipeline.SinkSpec
	options   sheetsOptions
	location  *time.Location
	client    *sheets.Client
	id        string // of the spreadsheet
	headers   []csvHeader
	doc       *sheets.Document
	staged    map[int]*sheetsPart // by connection: what the spreadsheet does not have yet
	namesakes [][]int
}

func newSheetsSink(spec pipeline.SinkSpec) (*sheetsSink, error) {
	bad := func(err error) error {
		return pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	var keys sheetsKeys
	if err := spec.Decode(sheetsTable, &keys); err != nil {
		return nil, bad(err)
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	s := &sheetsSink{spec: spec, staged: map[int]*sheetsPart{}, namesakes: namesakesOf(spec.Manifest)}
	var err error
	if s.options, err = keys.options(); err != nil {
		return nil, bad(err)
	}
	if s.location, err = spec.Manifest.Location(); err != nil {
		return nil, bad(fmt.Errorf("time zone %q: %w", spec.Manifest.TimeZone, err))
	}
	if s.id, err = sheets.ParseSpreadsheet(keys.Spreadsheet); err != nil {
		return nil, bad(err)
	}
	credentials, err := sheets.ParseCredentials(keys.Credentials)
	if err != nil {
		return nil, bad(err)
	}
	if s.client, err = connectSheets(credentials, keys.Endpoint); err != nil {
		return nil, bad(err)
	}
	queries := 0
	for i := range spec.Manifest.Connections {
		queries = max(queries, len(spec.Manifest.Connections[i].Queries))
	}
	for q := range queries {
		h := csvHeader{options: &s.options.names, seen: map[string]csvNames{}}
		if s.options.tab != "" {
			h = newCSVHeader(&s.options.names, spec.Manifest, q)
		}
		s.headers = append(s.headers, h)
	}
	return s, nil
}

// takes reports whether the spreadsheet has rows of the query.
func (s *sheetsSink) takes(query int) bool {
	q := s.spec.Destination.Query
	return q == nil || *q == query
}

// document is the spreadsheet under a claim.
func (s *sheetsSink) document(f pipeline.Fence) (*sheets.Document, error) {
	m, d := s.spec.Manifest, s.spec.Destination
	c := sheets.Config{Spreadsheet: s.id, Owner: sheets.Owner{Store: s.spec.StoreID, Job: m.JobID, Destination: d.ID}, Birth: f.Birth, Began: m.Created, Epoch: f.Epoch,
		Swap: s.options.swap, All: s.title(), ConnectionColumn: s.options.names.connection, Cells: sheets.CellOptions{Location: s.location, FailOnLoss: s.options.failOnLoss}, Log: s.spec.Log}
	if d.Mode == "append" {
		c.Mode = sheets.Append
	}
	for i := range m.Connections {
		c.Connections = append(c.Connections, s.wanted(i))
	}
	if c.All != "" {
		var err error
		if c.Columns, err = s.columns(); err != nil {
			return nil, err
		}
	}
	return sheets.New(s.client, c)
}

// title is that of the one tab; with several queries each has its own.
func (s *sheetsSink) title() string {
	if q := s.spec.Destination.Query; s.options.tab != "" && q != nil && len(s.spec.Manifest.Connections) > 0 {
		return s.options.tab + " " + s.spec.Manifest.Connections[0].Queries[*q].Name
	}
	return s.options.tab
}

// wanted says what the tabs of a connection should be called.
func (s *sheetsSink) wanted(connection int) sheets.Wanted {
	c := &s.spec.Manifest.Connections[connection]
	w := sheets.Wanted{ID: c.ID}
	for q := range c.Queries {
		switch name := c.Queries[q].Name; {
		case s.options.tab != "" || !s.takes(q):
		case len(c.Queries) == 1:
			w.Titles = append(w.Titles, c.Name)
		case name != "":
			w.Titles = append(w.Titles, c.Name+" "+name)
		default:
			w.Titles = append(w.Titles, c.Name+" "+strconv.Itoa(q+1))
		}
	}
	return w
}

// columns are those of the one tab, without that of the connections' names; nil if the run has no schema.
func (s *sheetsSink) columns() (cols []columnar.Column, err error) {
	query := 0
	if q := s.spec.Destination.Query; q != nil {
		query = *q
	}
	if query >= len(s.headers) || s.headers[query].schema == nil {
		return nil, nil
	}
	schema := s.headers[query].schema.Columns
	for _, out := range s.options.names.arrange(schema) {
		c, err := columnar.ParseType(out.name, schema[out.at].Type)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		cols = append(cols, c)
	}
	return cols, nil
}

// Recover reads the ledger. A spreadsheet that cannot be read now holds nobody: what its ledger has is found before
// anything is sent. The first batch of a claim fences; it fails where a later claim is at work.
func (s *sheetsSink) Recover(ctx context.Context, f pipeline.Fence, _ pipeline.State, _ []pipeline.PartState) (found pipeline.Recovered, err error) {
	if s.doc, err = s.document(f); err != nil {
		return found, err
	}
	found.State = json.RawMessage(`{}`)
	ledger, err := s.doc.Load(ctx)
	switch {
	case errors.As(err, new(*pipeline.Trouble)):
		s.spec.Log.Warn("the spreadsheet cannot be read; rows are kept until it can", "error", err)
		return found, nil
	case err != nil:
		return found, fenced(err)
	}
	found.Settled = s.settlements(ledger)
	return found, nil
}

// fenced tells a later claim in the words of the loop.
func fenced(err error) error {
	if errors.Is(err, sheets.ErrFenced) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrFenced)
	}
	return err
}

// settlements are what the ledger says. It counts the rows of all queries together.
func (s *sheetsSink) settlements(ledger map[int]sheets.Settled) map[int]pipeline.Settlement {
	out := make(map[int]pipeline.Settlement, len(ledger))
	for i, e := range ledger {
		t := pipeline.Settlement{Rows: make([]int64, len(s.spec.Manifest.Connections[i].Queries)), Attempt: e.Attempt, Attempts: 1}
		for q := range t.Rows {
			if s.takes(q) {
				t.Rows[q] = e.Rows
				break
			}
		}
		out[i] = t
	}
	return out
}

// Stage notes what the next Release sends. Nothing is written anywhere: the rows are in the spool.
func (s *sheetsSink) Stage(_ context.Context, parts []pipeline.Part, _ int, _ *pipeline.Report) (pipeline.Staged, error) {
	out := pipeline.Staged{State: json.RawMessage(`{}`)}
	for _, p := range parts {
		part := p.(*sheetsPart)
		s.staged[part.id.Connection] = part
		out.Allocated = append(out.Allocated, part.id.Connection)
	}
	return out, nil
}

// Release sends what is staged, and tidies up at the end.
func (s *sheetsSink) Release(ctx context.Context, _ []pipeline.WireRequest, r *pipeline.Report, insist bool) (out pipeline.Released, err error) {
	if r == nil {
		return out, nil
	}
	if len(s.staged) > 0 {
		if out, err = s.send(ctx); err != nil {
			return out, err
		}
	}
	if !insist {
		return out, nil
	}
	if err := s.doc.Tidy(ctx); err != nil && ctx.Err() == nil {
		s.spec.Log.Warn("hidden tabs may be left in the spreadsheet; the next run removes them", "error", err)
	}
	return out, ctx.Err()
}

func (s *sheetsSink) send(ctx context.Context) (out pipeline.Released, err error) {
	var conns []*sheets.Connection
	for _, i := range slices.Sorted(maps.Keys(s.staged)) {
		conns = append(conns, s.staged[i].connection())
	}
	result, err := s.doc.Send(ctx, conns)
	out.Settled, out.Rejected = s.settlements(result.Settled), result.Rejected
	for i := range result.Settled {
		delete(s.staged, i)
	}
	for i := range result.Rejected {
		delete(s.staged, i)
	}
	if err != nil {
		return out, fenced(err)
	}
	var held []string
	for _, i := range slices.Sorted(maps.Keys(result.Held)) {
		held = append(held, s.spec.Manifest.Connections[i].Name+": "+result.Held[i])
	}
	if len(held) > 0 {
		return out, &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New(strings.Join(held, "; "))}
	}
	return out, nil
}

// Close removes the hidden tabs of what did not come to its end: no other claim can use them. It does not wait long for
// that; the next claim, or the next run, does the same.
func (s *sheetsSink) Close() error {
	if s.doc == nil || !s.doc.Staged() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.doc.Tidy(ctx); err != nil {
		s.spec.Log.Debug("hidden tabs are left in the spreadsheet", "error", err)
	}
	return nil
}
