package sinks

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/xlsx"
)

const (
	// Control totals stand side by side; beyond so many columns nobody reads them.
	maxSummaryTotals = 200
	// Every commit writes the Summary anew. One of more cells than this takes so long that it waits for the end of
	// the run.
	maxProgressCells = 50_000
	// Names of missing connections in the Summary's head; the table has them all.
	maxSummaryMissing = 8
)

// summary is the content of the Summary sheet: a line for every connection and query of the run.
type summary struct {
	sink    *excelFile
	running bool // the run has not ended
	lines   []summaryLine
	columns []summaryColumn
	dropped bool // there are columns of numbers past maxSummaryTotals
	present int  // connections
	missing []string
	queries bool // connections have several

	verified bool     // there are control totals
	compared bool     // something is known of the last time
	doubts   []string // connections whose control totals do not agree, or are not known
}

// summaryLine is a query of a connection; what concerns the connection as a whole stands in its first one.
type summaryLine struct {
	pipeline.ReportConnection
	first  bool
	query  string
	sheet  string // "" until there is one
	rows   int64
	known  *excelKnown // nil while there is no sheet
	at     int         // index of the query
	places []int       // of its totals among the columns; -1 for one that has none
}

// summaryColumn is a column of control totals.
type summaryColumn struct {
	name   string
	approx bool
}

// bandLines is how many lines of the Summary are rendered together. A commit changes few lines, and renders only what
// stands with those.
const bandLines = 32

// summaryBand is rendered lines, and what they were rendered from.
type summaryBand struct {
	first   int
	queries bool
	// verified and compared are the summary's.
	verified, compared bool

	lines []summaryLine
	band  *xlsx.Band
}

// progress is the Summary beside the sheets of parts that are about to be committed; nil if it waits for the end.
func (s *excelFile) progress(parts []pipeline.Part) *xlsx.Page {
	if !s.options.summary {
		return nil
	}
	r := pipeline.Report{State: pipeline.RecordOpen, Connections: make([]pipeline.ReportConnection, len(s.manifest.Connections))}
	for i, c := range s.manifest.Connections {
		r.Connections[i] = pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportPending}
		if s.last != nil && i < len(s.last.Connections) && s.last.Connections[i].ID == c.ID {
			r.Connections[i] = s.last.Connections[i]
		}
	}
	for at := range s.known.at { // also where no report was seen since the claim
		r.Connections[at.connection].State = pipeline.ReportSettled
	}
	for _, p := range parts {
		part := p.(*excelPart)
		line := &r.Connections[part.id.Connection]
		line.State, line.Error, line.Losses, line.Notes = pipeline.ReportSettled, "", part.losses(), part.notes()
		for q := range part.queries {
			if part.queries[q].file != nil {
				s.known.add(excelPlace{part.id.Connection, q}, s.sheetName(part.id.Connection, q, 0), part.queries[q].facts())
			}
		}
	}
	m := s.summarize(&r)
	if len(m.lines)*(len(m.columns)+8) > maxProgressCells {
		return nil
	}
	return m.page()
}

// lastPage is the Summary of the finished workbook; nil if there is none.
func (s *excelFile) lastPage(r *pipeline.Report) *xlsx.Page {
	if !s.options.summary {
		return nil
	}
	return s.summarize(r).page()
}

// summarize gathers what the report and the book know.
func (s *excelFile) summarize(r *pipeline.Report) *summary {
	m := &summary{sink: s, running: r.State == pipeline.RecordOpen}
	places := summaryPlaces{columns: map[excelShapeColumn]int{}, shapes: map[*excelShape][]int{}}
	for i := range r.Connections {
		c := &r.Connections[i]
		if c.State == pipeline.ReportSettled {
			m.present++
		} else {
			m.missing = append(m.missing, c.Name)
		}
		m.verified, m.compared = m.verified || len(c.Controls) > 0, m.compared || c.Before != nil
		if v := c.Verified(); c.State == pipeline.ReportSettled && v != "" && v != pipeline.VerifiedEqual {
			m.doubts = append(m.doubts, c.Name)
		}
		first := true
		for q, query := range s.manifest.Connections[i].Queries {
			if !s.takes(q) {
				continue
			}
			line := summaryLine{ReportConnection: *c, first: first, query: query.Name, at: q}
			if m.queries = m.queries || !first; line.query == "" {
				line.query = fmt.Sprint(q + 1)
			}
			if k := s.known.at[excelPlace{i, q}]; k != nil && c.State == pipeline.ReportSettled {
				line.sheet, line.rows, line.known = k.sheet, k.facts.Rows, k
				m.dropped = m.dropped || k.facts.More > 0
				m.placeTotals(&line, &places)
			}
			m.lines = append(m.lines, line)
			first = false
		}
	}
	return m
}

// same reports whether two lines look the same.
func (l *summaryLine) same(o *summaryLine) bool {
	return l.first == o.first && l.query == o.query && l.known == o.known && slices.Equal(l.places, o.places) && l.Name == o.Name &&
		l.State == o.State && l.Attempts == o.Attempts && l.Millis == o.Millis && l.Error == o.Error &&
		slices.Equal(l.Losses, o.Losses) && slices.Equal(l.Notes, o.Notes) && l.at == o.at && l.Verified() == o.Verified() && slices.Equal(l.doubts(), o.doubts()) &&
		(l.Before == nil) == (o.Before == nil) && (l.Before == nil || l.Before.Run == o.Before.Run) && slices.Equal(l.Changes, o.Changes)
}

// page lays the summary out.
func (m *summary) page() *xlsx.Page {
	p := xlsx.NewPage(m.sink.names.Summary)
	if len(m.missing) > 0 || len(m.doubts) > 0 && !m.running {
		p.Front()
	}
	m.head(p)
	top := p.Row()
	width := m.header(p)
	last := top + len(m.lines)
	m.table(p, top+1)
	m.totals(p)
	p.Freeze(1, top)
	if last > top {
		p.Table(top, last, width)
	}
	return p
}

// table writes the lines, from row first on. What the last Summary has of them is taken from there.
func (m *summary) table(p *xlsx.Page, first int) {
	bands := m.sink.bands
	m.sink.bands = nil
	for lines := range slices.Chunk(m.lines, bandLines) {
		b := summaryBand{first: first, queries: m.queries, verified: m.verified, compared: m.compared, lines: lines}
		if at := len(m.sink.bands); at < len(bands) && bands[at].same(&b) {
			b.band = bands[at].band
		} else {
			b.band = xlsx.NewBand(first, func(p *xlsx.Page) {
				for i := range lines {
					p.Row()
					m.line(p, &lines[i])
				}
			})
		}
		p.Band(b.band)
		m.sink.bands = append(m.sink.bands, b)
		first += len(lines)
	}
}

// same reports whether two bands look the same.
func (b *summaryBand) same(o *summaryBand) bool {
	return b.first == o.first && b.queries == o.queries && b.verified == o.verified && b.compared == o.compared && slices.EqualFunc(b.lines, o.lines, func(x, y summaryLine) bool { return x.same(&y) })
}

// head says whose summary it is, and what is missing.
func (m *summary) head(p *xlsx.Page) {
	man := m.sink.manifest
	title := man.JobName
	if title == "" {
		title = man.JobID
	}
	p.Row()
	p.Caption(xlsx.LookTitle, title)
	p.Row()
	p.Caption(xlsx.LookNote, fmt.Sprintf("run %s, begun %s (%s)", man.Run, man.Created.In(m.sink.location).Format("2006-01-02 15:04"), m.sink.location))
	p.Row()
	all := m.present + len(m.missing)
	switch {
	case len(m.missing) == 0 && len(m.doubts) > 0 && !m.running:
		p.Caption(xlsx.LookAlert, fmt.Sprintf("all %d connections are here, and the control totals of %d do not agree with the database, or are not known: %s", all, len(m.doubts), shortList(m.doubts)))
	case len(m.missing) == 0 && all == 1:
		p.Caption(xlsx.LookNote, "complete: the one connection is here")
	case len(m.missing) == 0:
		p.Caption(xlsx.LookNote, fmt.Sprintf("complete: all %d connections are here", all))
	case m.running:
		p.Caption(xlsx.LookAlert, fmt.Sprintf("unfinished: %d of %d connections are here so far", m.present, all))
	default:
		p.Caption(xlsx.LookAlert, fmt.Sprintf("incomplete: %d of %d connections are missing: %s", len(m.missing), all, shortList(m.missing)))
	}
	p.Row()
	if m.dropped {
		p.Caption(xlsx.LookNote, fmt.Sprintf("only the first %d columns of numbers have their totals here", maxSummaryTotals))
	}
}

// shortList are names in a line: the first of them, and how many more there are.
func shortList(names []string) string {
	if len(names) <= maxSummaryMissing {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxSummaryMissing], ", "), len(names)-maxSummaryMissing)
}

// header names the columns and returns how many there are.
func (m *summary) header(p *xlsx.Page) (columns int) {
	add := func(look xlsx.Look, name string) { p.Text(look, name); columns++ }
	add(xlsx.LookHeader, "Connection")
	if m.queries {
		add(xlsx.LookHeader, "Query")
	}
	add(xlsx.LookHeader, "State")
	for _, name := range []string{"Rows", "Attempts", "Duration"} {
		add(xlsx.LookHeaderRight, name)
	}
	if m.compared {
		add(xlsx.LookHeaderRight, "Rows last time")
		add(xlsx.LookHeaderIndent, "Change")
	}
	if m.verified {
		add(xlsx.LookHeaderIndent, "Verified")
	}
	add(xlsx.LookHeaderIndent, "Error")
	add(xlsx.LookHeaderIndent, "Losses and notes")
	for _, c := range m.columns {
		if c.approx {
			c.name += " (approx.)"
		}
		add(xlsx.LookHeaderRight, c.name)
	}
	return columns
}

// summaryStates are the words and looks of states.
var summaryStates = map[string]struct {
	word string
	look xlsx.Look
}{
	pipeline.ReportSettled:  {"delivered", xlsx.LookGood},
	pipeline.ReportFailed:   {"failed", xlsx.LookBad},
	pipeline.ReportRejected: {"rejected", xlsx.LookBad},
	pipeline.ReportPending:  {"pending", xlsx.LookOpen},
}

// line writes the cells of one line.
func (m *summary) line(p *xlsx.Page, l *summaryLine) {
	if l.sheet != "" {
		p.Link(l.Name, l.sheet)
	} else {
		p.Text(xlsx.LookText, l.Name)
	}
	if m.queries {
		p.Text(xlsx.LookText, l.query)
	}
	state := summaryStates[l.State]
	p.Text(state.look, state.word)
	if l.sheet != "" {
		p.Count(l.rows, false)
	} else {
		p.Skip()
	}
	if l.first && l.Attempts > 0 {
		p.Count(int64(l.Attempts), false)
		p.Duration(l.Millis)
	} else {
		p.Skip()
		p.Skip()
	}
	m.figures(p, l)
	m.remark(p, l.first, oneLine(l.Error))
	totals := m.totalsOf(l)
	m.remark(p, true, strings.Join(l.remarks(totals), "; "))
	for _, t := range totals {
		if t != nil {
			p.Sum(&t.Total, t.column, m.format(t), false)
		} else {
			p.Skip()
		}
	}
}

func (m *summary) remark(p *xlsx.Page, here bool, text string) {
	if !here || text == "" {
		p.Skip()
		return
	}
	p.Text(xlsx.LookIndent, text)
}

// verifiedWords are the words and looks of control totals.
var verifiedWords = map[pipeline.Verified]struct {
	word string
	look xlsx.Look
}{
	pipeline.VerifiedEqual:   {"agrees", xlsx.LookGood},
	pipeline.VerifiedDiffers: {"differs", xlsx.LookBad},
	pipeline.VerifiedUnknown: {"not verified", xlsx.LookOpen},
}

// figures writes the cells of the last time, and of control totals.
func (m *summary) figures(p *xlsx.Page, l *summaryLine) {
	if m.compared {
		if l.Before != nil && l.at < len(l.Before.Rows) {
			p.Count(l.Before.Rows[l.at], false)
		} else {
			p.Skip()
		}
		if change := l.change(); change != "" {
			p.Text(xlsx.LookIndent, change)
		} else {
			p.Skip()
		}
	}
	if m.verified {
		i := slices.IndexFunc(l.Controls, func(c pipeline.Control) bool { return c.Query == l.at })
		if i < 0 || l.State != pipeline.ReportSettled {
			p.Skip()
		} else {
			v := verifiedWords[l.Controls[i].Verified()]
			p.Text(v.look, v.word)
		}
	}
}

// change is how many percent more rows the query has than the last time.
func (l *summaryLine) change() string {
	if l.Before == nil || l.at >= len(l.Before.Rows) || l.at >= len(l.Rows) {
		return ""
	}
	return pipeline.RowsChange(l.Before.Rows[l.at], l.Rows[l.at]).PercentText()
}

// doubts are what control totals say against the connection.
func (l *summaryLine) doubts() (out []string) {
	for i := range l.Controls {
		out = append(out, l.Controls[i].Faults()...)
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// remarks are what the workbook could not hold of a connection, and what else is to be known.
func (l *summaryLine) remarks(totals []*excelTotal) (out []string) {
	if l.first {
		for _, loss := range l.Losses {
			out = append(out, fmt.Sprintf("%s: %d %s %s", loss.Column, loss.Cells, plural(loss.Cells, "cell", "cells"), loss.What))
		}
		out = append(out, l.Notes...)
		out = append(out, l.doubts()...)
		if text := pipeline.AlertText(l.Alerts()); text != "" {
			out = append(out, "much else than the last time: "+text)
		}
	}
	for _, t := range totals {
		if t != nil && t.Total.Others() > 0 {
			out = append(out, fmt.Sprintf("%s: %d %s in its total", t.Name, t.Total.Others(), plural(t.Total.Others(), "value is not a number and not", "values are not numbers and not")))
		}
	}
	return out
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
