package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline/columnar"
)

// FrameKind says what a frame is.
type FrameKind string

// The kinds of frames. An attempt is open, rows..., eof; a connection that is given up gets failed, alone, from the
// coordinator.
const (
	FrameOpen   FrameKind = "open"   // body: Opening
	FrameRows   FrameKind = "rows"   // body: a batch, or a piece of one (columnar.ContentType)
	FrameEOF    FrameKind = "eof"    // body: Ending
	FrameFailed FrameKind = "failed" // body: Failure
	// FrameForeign is a message that another program has put on a subject of the row log. It takes a place there, and
	// is nothing else.
	FrameForeign FrameKind = "foreign"
	// FrameFence says that no frame of its attempt is stored behind it. It has no number and no body, and destinations
	// pass it over.
	FrameFence FrameKind = "fence"
	// FramePassed is none of the log's. A reader of some connections makes it, see FrameReader.
	FramePassed FrameKind = "passed"
)

// Frame is one message of the row log. Frames of an attempt are numbered through all its queries: open is 0, rows are
// 1..n, eof is n+1. A batch larger than a message (one huge row) is split over consecutive frames, its fragments.
type Frame struct {
	Kind       FrameKind
	Connection string // id
	Attempt    int    // 1 is the first
	Number     uint64
	Query      int // index into the connection's queries; rows frames only
	Rows       int // rows of the batch; on the last fragment only
	Fragment   int // 0-based
	Fragments  int // 1 unless the batch is split
	Body       []byte

	Seq uint64 // position in the row log, set when read
}

// Opening is the body of an open frame.
type Opening struct {
	Queries []OpeningQuery `json:"queries"`
}

// OpeningQuery is one query's result as the database described it.
type OpeningQuery struct {
	Name    string          `json:"name,omitempty"`
	Columns []OpeningColumn `json:"columns"`
}

// OpeningColumn is a column's name and type (columnar.Column.Type).
type OpeningColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Times is, in a schema, how often the connections whose column it is have its name; 0 is once.
	Times int `json:"times,omitempty"`
}

// NewOpening spells the columns of an attempt's queries for the open frame.
func NewOpening(queries []Query, columns [][]columnar.Column) Opening {
	o := Opening{Queries: make([]OpeningQuery, len(columns))}
	for i, cols := range columns {
		o.Queries[i] = OpeningQuery{Name: queries[i].Name, Columns: make([]OpeningColumn, len(cols))}
		for k, c := range cols {
			o.Queries[i].Columns[k] = OpeningColumn{Name: c.Name, Type: c.Type()}
		}
	}
	return o
}

// OpeningOf describes what a session's queries return.
func OpeningOf(s Session, queries []Query) Opening {
	columns := make([][]columnar.Column, len(queries))
	for q := range columns {
		columns[q] = s.Columns(q)
	}
	return NewOpening(queries, columns)
}

// Columns reads the columns of query q.
func (o *Opening) Columns(q int) ([]columnar.Column, error) {
	out := make([]columnar.Column, len(o.Queries[q].Columns))
	for i, c := range o.Queries[q].Columns {
		var err error
		if out[i], err = columnar.ParseType(c.Name, c.Type); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Ending is the body of an eof frame: what a destination must have received to settle the connection.
type Ending struct {
	Rows     []int64 `json:"rows"` // per query
	Frames   uint64  `json:"frames"`
	Checksum uint64  `json:"checksum,string"` // of the rows frames' bodies, see Chain
	Millis   int64   `json:"durationMs"`      // from opening the database to the last row
	Attempts int     `json:"attempts"`        // tries this run made, this one included

	Notes    map[int][]string `json:"notes,omitempty"` // by query, see NotingSession
	Controls []Control        `json:"controls,omitempty"`
}

// Failure is the body of a failed frame.
type Failure struct {
	Error    string `json:"error"` // at most MaxErrorBytes
	Attempts int    `json:"attempts"`
	Millis   int64  `json:"durationMs"`
}

// MaxErrorBytes bounds an error's text wherever it is stored, so that records stay small.
const MaxErrorBytes = 1024

// Chain is the running checksum over an attempt's rows bodies. Its whole state is eight bytes, so that a commit record
// can carry it across a restart.
type Chain uint64

// Add returns the chain extended by one body.
func (c Chain) Add(body []byte) Chain {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(c))
	binary.LittleEndian.PutUint64(b[8:], xxhash.Sum64(body))
	return Chain(xxhash.Sum64(b[:]))
}

// SumRows adds the rows of all queries.
func SumRows(rows []int64) (n int64) {
	for _, r := range rows {
		n += r
	}
	return n
}

// JSONBody marshals the body of a frame that carries JSON. The types are this package's own and always marshal.
func JSONBody(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return b
}
