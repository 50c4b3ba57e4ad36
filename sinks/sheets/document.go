// Package sheets brings rows into a Google spreadsheet, exactly once by what the spreadsheet itself says.
//
// A connection's rows reach its visible tab in one batch of Google's, which is applied as a whole or not at all,
// together with an entry of the ledger: developer metadata of the spreadsheet whose id follows from the run, the
// destination and the connection, and which Google refuses to create twice. Rows that do not fit one batch wait in a
// hidden tab, at computed ranges, so that a write may be repeated; the hidden tab is a cache and may be lost. Who
// commits reads the ledger before anything is tried again.
//
//	ledger    one entry a committed connection     id = hash(owner, birth, connection)       value = attempt:rows:from
//	slot      on a tab that connections share      id = hash(owner, birth, tab, first row)   no value
//	fence     one entry                            id = hash(owner, run, epoch)              value = began:epoch:birth
//	mark      on each tab of ours                  id = hash(owner, tab)                     whose tab, and what is in it
package sheets

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Mode is what happens to a tab's rows of earlier runs.
type Mode uint8

// The modes.
const (
	Replace Mode = iota
	Append
)

// Swap is how a hidden tab's rows become those of the visible one.
type Swap uint8

// The swaps.
const (
	SwapAuto  Swap = iota // cells up to autoSwapCells, else tabs
	SwapCells             // cells are copied: the visible tab and all that refers to it stay
	SwapTabs              // the hidden tab takes the place of the visible one: formulas that refer to it break
)

// autoSwapCells is the largest copy that SwapAuto asks for. A request of Google's ends after 180 seconds; what a copy
// takes is not documented.
const autoSwapCells = 2_000_000

// Owner is whose a tab is.
type Owner struct{ Store, Job, Destination string }

// Config of a document.
type Config struct {
	Spreadsheet      string // its id, see ParseSpreadsheet
	Owner            Owner
	Birth            string    // random, of the run
	Began            time.Time // of the run: a later run of the job fences earlier ones
	Epoch            uint64    // of the claim: a later claim fences earlier ones
	Mode             Mode
	Swap             Swap
	All              string            // title of the one tab of all connections; "" gives each its own
	ConnectionColumn string            // header of its first column, the connections' names
	Columns          []columnar.Column // of the one tab: those of all connections; nil if they are the same
	Connections      []Wanted          // in the job's order
	Cells            CellOptions
	Log              *slog.Logger
}

// Wanted is a connection with the titles that its tabs should have, one for each query that is taken; none with
// Config.All.
type Wanted struct {
	ID     string
	Titles []string
}

// Connection is a sealed connection to be sent. What it says never changes.
type Connection struct {
	Index   int // in Config.Connections
	Name    string
	Attempt int
	Tables  []Table
	Found   []TableFound // by Survey; nil has Send make one
	// Each gives all batches, of each table from its first row on; table is the index in Tables. It may be called
	// again. It ends with yield's error.
	Each func(ctx context.Context, yield func(table int, b *columnar.Batch) error) error
}

// Table is what one query returned.
type Table struct {
	Columns []columnar.Column
	Rows    int64
	Digits  []string // columns of numbers that are written as texts, with all their digits, by their names in the tab
	// From is where each of Config.Columns is in a batch, -1 for one that the table lacks. nil finds them by their
	// names.
	From []int
}

// Settled is what the ledger says of a committed connection.
type Settled struct {
	Attempt int
	Rows    int64
	From    int64 // row of its first tab, from 0, in which it begins
}

// Document is a spreadsheet under one claim. Its methods are called by one goroutine.
type Document struct {
	c      Config
	client *Client
	owner  string             // hash
	places []place            // of Config.Connections
	state  *state             // what the spreadsheet holds; nil is to be read
	stages map[stageKey]int64 // rows that are known to be in hidden tabs
	first  bool               // nothing was written under this claim
	looked map[int64]bool     // tabs below whose rows there is nothing
}

// New makes a document. It sends nothing.
func New(client *Client, c Config) (*Document, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Document{c: c, client: client, stages: map[stageKey]int64{}, looked: map[int64]bool{}, first: true}
	d.owner = hash(c.Spreadsheet, c.Owner.Store, c.Owner.Job, c.Owner.Destination)
	d.places = d.assign()
	if n := ledgerCharacters(len(c.Connections)); n > mostLedger {
		return nil, pipeline.Permanent(fmt.Errorf("spreadsheet %s: a ledger of %d connections takes %d characters of metadata, Google's limit leaves %d: use several spreadsheets", c.Spreadsheet, len(c.Connections), n, mostLedger))
	}
	return d, nil
}

var spreadsheetID = regexp.MustCompile(`^[A-Za-z0-9_-]{3,}$`)

// ParseSpreadsheet reads the option spreadsheet: an id, or the address in a browser.
func ParseSpreadsheet(s string) (id string, err error) {
	id = strings.TrimSpace(s)
	if _, after, ok := strings.Cut(id, "/spreadsheets/d/"); ok {
		id, _, _ = strings.Cut(after, "/")
		id, _, _ = strings.Cut(id, "?")
		id, _, _ = strings.Cut(id, "#")
	}
	if !spreadsheetID.MatchString(id) {
		return "", fmt.Errorf("spreadsheet: %q is neither an id nor an address such as https://docs.google.com/spreadsheets/d/<id>/edit", s)
	}
	return id, nil
}
