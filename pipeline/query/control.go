package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Control totals compare what was delivered with what the database says of the same rows, which it is asked for once
// they are read: in the same session, and in the same state of the database where that can promise it.
//
// What was delivered is added up here, once, for all destinations: from each batch as it goes into the row log, decoded
// again as a destination decodes it. Those very bytes are what the checksum in the eof is of, which every destination
// compares before it settles the connection; so a sum of what a destination has taken would be this one, made once for
// each. What a file has in the end tells its own count, and fanmill verify.
//
// Rows are not given up for their control totals: where the database does not tell them, that is said, and the
// connection is delivered as not verified.

// control is what an attempt has of the control totals of one query.
type control struct {
	query  int // of the connection's
	name   string
	verify *pipeline.Verify
	ask    pipeline.ControlQuery
	at     int   // of the session's queries; -1 if it is not asked
	err    error // why it is not asked, or did not answer
	asked  []askedTotal
	sums   []deliveredSum
}

// controls are those of an attempt.
type controls []*control

// askedTotal is a figure of the database.
type askedTotal struct{ total columnar.Total }

// deliveredSum adds up a column.
type deliveredSum struct {
	column    string
	at        int    // of the query's columns; -1 if it cannot be told
	why       string // then
	rough     bool   // its values are floats of 24 bits
	total     columnar.Total
	magnitude float64
	filled    int64
}

// newControls are the control totals of a connection's queries, and what their database is to be asked.
func newControls(kind *pipeline.DatabaseKind, queries []pipeline.Query) (all controls) {
	for q := range queries {
		v := queries[q].Verify
		if v.None() {
			continue
		}
		c := &control{query: q, name: queries[q].Name, verify: v, at: -1}
		switch {
		case v.Query != "":
			c.ask.SQL = v.Query
			n := len(v.Sum)
			if v.Count {
				n++
			}
			for range n {
				c.ask.Shifts = append(c.ask.Shifts, []uint{0})
			}
		case kind.Control == nil:
			c.err = fmt.Errorf("how a %s database is asked for them is not known; give \"verify\" a \"query\"", kind.Label)
		default:
			c.ask, c.err = kind.Control(queries[q].SQL, v)
		}
		all = append(all, c)
	}
	return all
}

// open opens the database for the rows and the control totals. If it refuses the latter's queries, it is opened for the
// rows alone.
func (a *attempt) open(ctx context.Context, kind *pipeline.DatabaseKind, dsn string) (pipeline.Session, error) {
	a.controls = newControls(kind, a.conn.Queries)
	queries := a.queries()
	rows := len(queries)
	for _, c := range a.controls {
		if c.err == nil {
			c.at = len(queries)
			queries = append(slices.Clip(queries), pipeline.Query{Name: controlName(c.name), SQL: c.ask.SQL, Args: a.m.Params})
		}
	}
	r := pipeline.Request{DSN: dsn, Queries: queries, Snapshot: a.snapshot, Together: len(queries) > rows}
	session, err := kind.Driver.Open(ctx, r)
	if err == nil || len(queries) == rows || !pipeline.IsPermanent(err) || ctx.Err() != nil {
		return session, err
	}
	r.Queries, r.Together = queries[:rows], false
	session, rowsErr := kind.Driver.Open(ctx, r)
	if rowsErr != nil {
		return nil, rowsErr
	}
	for _, c := range a.controls {
		if c.at >= 0 {
			c.at, c.err = -1, err
		}
	}
	return session, nil
}

// controlName names the query for control totals in errors.
func controlName(query string) string {
	if query == "" {
		return "control totals"
	}
	return "control totals of " + query
}

// find looks for the columns that are added up.
func (all controls) find(columns [][]columnar.Column) {
	for _, c := range all {
		for _, name := range c.verify.Sum {
			s := deliveredSum{column: name}
			if s.at, s.why = columnNamed(columns[c.query], name); s.at >= 0 {
				col := columns[c.query][s.at]
				s.total, s.rough = columnar.NewTotal(col), col.Kind == columnar.Float32
			}
			c.sums = append(c.sums, s)
		}
	}
}

// columnNamed finds a column: of exactly that name, else of one that differs by case alone.
func columnNamed(columns []columnar.Column, name string) (at int, why string) {
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		at = slices.IndexFunc(columns, func(c columnar.Column) bool { return same(c.Name, name) })
		if at < 0 {
			continue
		}
		if slices.ContainsFunc(columns[at+1:], func(c columnar.Column) bool { return same(c.Name, name) }) {
			return -1, fmt.Sprintf("the query returns more than one column %s", pipeline.ShowName(name))
		}
		return at, ""
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return -1, fmt.Sprintf("the query returns no column %s; it returns %s", pipeline.ShowName(name), pipeline.ShowNames(names))
}

// of are the sums of a query; nil if it has none.
func (all controls) of(query int) []deliveredSum {
	for _, c := range all {
		if c.query == query {
			return c.sums
		}
	}
	return nil
}

// takes is how many bytes it takes to add up a batch of so many.
func (all controls) takes(query, bytes int) int64 {
	if len(all.of(query)) == 0 {
		return 0
	}
	return int64(bytes)
}

// add adds up a batch, as it is encoded.
func (all controls) add(query int, body []byte) error {
	sums := all.of(query)
	if len(sums) == 0 {
		return nil
	}
	b, err := columnar.Decode(body)
	if err != nil {
		return pipeline.Permanent(err)
	}
	for i := range sums {
		s := &sums[i]
		if s.at < 0 || s.at >= len(b.Cols) {
			continue
		}
		v := &b.Cols[s.at]
		s.total.AddColumn(v, b.Rows)
		s.magnitude += v.Magnitude(b.Rows)
		s.filled += int64(b.Rows - v.Nulls)
		s.rough = s.rough || v.Kind == columnar.Float32
	}
	return nil
}

// askControls asks the database, whose rows are read. It may take as long as it may be silent otherwise. A failure that
// may pass fails the attempt, as long as another one follows.
func (a *attempt) askControls(ctx context.Context, session pipeline.Session) error {
	for _, c := range a.controls {
		if c.at < 0 {
			continue
		}
		within, cancel := Within(ctx, a.worker.QueryTimeout, 0)
		c.err = c.read(within, session)
		silent := within.Err() != nil
		if silent && ctx.Err() == nil {
			c.err = context.Cause(within)
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case c.err != nil && !silent && !pipeline.IsPermanent(c.err) && !a.last:
			return c.err
		}
	}
	return nil
}

var (
	errControlRows = pipeline.Permanent(errors.New("the query for control totals returned no row; it has to return one"))
	errControlMany = pipeline.Permanent(errors.New("the query for control totals returned more than one row"))
)

// read asks one query for its row.
func (c *control) read(ctx context.Context, session pipeline.Session) error {
	columns, n := session.Columns(c.at), 0
	for _, shifts := range c.ask.Shifts {
		n += len(shifts)
	}
	if len(columns) != n {
		return pipeline.Permanent(fmt.Errorf("the query for control totals returns %s, and has to return %d: the count, if that is wanted, and the sums, in the job's order",
			pipeline.Counted(len(columns), "column"), n))
	}
	var row *columnar.Batch
	more := func(b *columnar.Builder) bool { return b.Rows() > 1 }
	take := func(b *columnar.Builder) error {
		switch {
		case b.Rows() == 0:
			return nil
		case b.Rows() > 1 || row != nil:
			return errControlMany
		}
		body, err := b.Encode()
		if err != nil {
			return pipeline.Permanent(err)
		}
		b.Reset()
		row, err = columnar.Decode(slices.Clone(body))
		return err
	}
	if err := session.Stream(ctx, c.at, columnar.NewBuilder(columns), more, take); err != nil {
		return err
	}
	if row == nil {
		return errControlRows
	}
	at := 0
	for _, shifts := range c.ask.Shifts {
		var t askedTotal
		for _, shift := range shifts {
			v := &row.Cols[at]
			part := columnar.NewTotal(v.Column)
			part.AddColumn(v, 1)
			part.Shift(shift)
			if v.Nulls == 0 { // else it is the sum of nothing
				t.total.Add(&part)
			}
			at++
		}
		c.asked = append(c.asked, t)
	}
	return nil
}

// How far the sums of doubles, and of floats of 24 bits, may be from one another, as a part of the sum of their values
// without signs: a database rounds each step, and has an order of its own.
const (
	doublesApart = 1e-9
	floatsApart  = 1e-6
)

// compare is what the eof says: rows are those that were read, per query.
func (all controls) compare(rows []int64) (out []pipeline.Control) {
	for _, c := range all {
		r := pipeline.Control{Query: c.query, Name: c.name}
		asked := c.asked
		if c.err != nil {
			r.Error, asked = pipeline.ShortError(c.err), nil
		}
		if c.verify.Count {
			t := pipeline.ControlTotal{Delivered: strconv.FormatInt(rows[c.query], 10)}
			if len(asked) > 0 {
				t.Asked, t.Note = asked[0].text()
				t.Differs = t.Asked != "" && t.Asked != t.Delivered
				asked = asked[1:]
			}
			r.Totals = append(r.Totals, t)
		}
		for i := range c.sums {
			var of *askedTotal
			if i < len(asked) {
				of = &asked[i]
			}
			r.Totals = append(r.Totals, c.sums[i].compare(of))
		}
		out = append(out, r)
	}
	return out
}

// text is the figure as a decimal number, or why it is none.
func (t *askedTotal) text() (text, why string) {
	if t.total.Others() > 0 {
		return "", "what the database says is no number"
	}
	return t.total.Text(), ""
}

// compare compares a sum with what the database says; nil if that is not known.
func (s *deliveredSum) compare(asked *askedTotal) pipeline.ControlTotal {
	t := pipeline.ControlTotal{Column: s.column}
	others := s.total.Others()
	switch {
	case s.at < 0:
		t.Note = s.why
		return t
	case others > 0 && others == s.filled:
		t.Note = "it has no numbers"
		return t
	case others > 0:
		t.Note = fmt.Sprintf("%d of its values are no numbers, and in no sum", others)
	}
	t.Delivered = s.total.Text()
	if asked == nil {
		return t
	}
	text, why := asked.text()
	if why != "" {
		t.Note = why
		return t
	}
	apart := doublesApart
	if s.rough {
		apart = floatsApart
	}
	switch t.Asked = text; {
	case !s.total.Agrees(&asked.total, apart*s.magnitude):
		t.Differs = true
	case !s.total.Approximate() && !asked.total.Approximate(): // as many decimals
		t.Asked = t.Delivered
	}
	return t
}

// notifyUnverified tells of control totals that differ, or are not known.
func (w *Worker) notifyUnverified(m *pipeline.Manifest, connection string, a *attempt) {
	var faults []string
	for _, c := range a.controls.compare(a.rows) {
		faults = append(faults, c.Faults()...)
	}
	if len(faults) > 0 {
		w.notify(m, pipeline.Event{Kind: pipeline.EventUnverified, Connection: connection, Attempt: a.tries,
			Error: pipeline.ShortError(errors.New(strings.Join(faults, "; ")))})
	}
}
