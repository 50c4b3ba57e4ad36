package sheets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	api "google.golang.org/api/sheets/v4"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

const account = "robot@fake.iam.gserviceaccount.com"

// clock is a time that passes only while somebody sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.slept = c.now.Add(d), c.slept+d
	return ctx.Err()
}

// world is a fake with one spreadsheet, and a client of ours.
type world struct {
	*sheetsfake.Server
	t      testing.TB
	clock  *clock
	book   *sheetsfake.Book
	client *sheets.Client

	mu     sync.Mutex
	bodies [][]byte // of batches that were sent
	fault  func(sheetsfake.Call) sheetsfake.Fault
}

func newWorld(t testing.TB, o sheetsfake.Options) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	o.Now = w.clock.Now
	var err error
	if w.Server, err = sheetsfake.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	w.book = w.Create("doc", account)
	w.client = w.newClient()
	w.OnCall(w.see)
	return w
}

// see checks that Google's own types know all that is sent.
func (w *world) see(c sheetsfake.Call) sheetsfake.Fault {
	if c.Kind == "batchUpdate" {
		d := json.NewDecoder(bytes.NewReader(c.Body))
		d.DisallowUnknownFields()
		if err := d.Decode(new(api.BatchUpdateSpreadsheetRequest)); err != nil {
			w.t.Errorf("Google's client does not know what was sent: %v", err)
		}
		w.mu.Lock()
		w.bodies = append(w.bodies, c.Body)
		w.mu.Unlock()
	}
	w.mu.Lock()
	fault := w.fault
	w.mu.Unlock()
	if fault == nil {
		return sheetsfake.Fault{}
	}
	return fault(c)
}

// failBy has f decide on every request from now on; nil lets all through. Goroutines of the server call f, several at a
// time, also one that a client has given up.
func (w *world) failBy(f func(sheetsfake.Call) sheetsfake.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// sent is the bodies of the batches that were sent.
func (w *world) sent() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.bodies)
}

func (w *world) newClient() *sheets.Client {
	w.t.Helper()
	credentials, err := sheets.ParseCredentials(string(w.KeyFile(account)))
	if err != nil {
		w.t.Fatal(err)
	}
	// Small requests: many batches of few rows.
	client, err := sheets.NewClient(credentials, w.URL(), sheets.Service{Clock: w.clock, BatchBytes: 16 << 10})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// config is that of a run with some connections, B1, B2...
func config(connections int) sheets.Config {
	c := sheets.Config{Spreadsheet: "doc", Owner: sheets.Owner{Store: "s", Job: "j", Destination: "d"}, Birth: "run 1", Began: time.UnixMilli(1000), Epoch: 1, ConnectionColumn: "connection"}
	for i := range connections {
		id := fmt.Sprintf("B%d", i+1)
		c.Connections = append(c.Connections, sheets.Wanted{ID: id, Titles: []string{id}})
	}
	return c
}

// run is the configuration of run n of the same job.
func run(c sheets.Config, n int) sheets.Config {
	c.Birth, c.Began = fmt.Sprintf("run %d", n), time.UnixMilli(int64(n)*1000)
	return c
}

func (w *world) doc(c sheets.Config) *sheets.Document {
	w.t.Helper()
	d, err := sheets.New(w.client, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

var columns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "name", Kind: columnar.Text}}

// batch builds rows by a function.
func batch(t testing.TB, cols []columnar.Column, rows int, fill func(b *columnar.Builder, row int)) *columnar.Batch {
	t.Helper()
	b := columnar.NewBuilder(cols)
	for i := range rows {
		fill(b, i)
		b.EndRow()
	}
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := columnar.Decode(bytes.Clone(body))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// connection has so many rows: 1 "tag 1", 2 "tag 2"... in batches of 100.
func connection(t testing.TB, index, rows int, tag string) *sheets.Connection {
	c := &sheets.Connection{Index: index, Name: fmt.Sprintf("B%d", index+1), Attempt: 1, Tables: []sheets.Table{{Columns: columns, Rows: int64(rows)}}}
	c.Each = func(_ context.Context, yield func(int, *columnar.Batch) error) error {
		for from := 0; from < rows; from += 100 {
			b := batch(t, columns, min(100, rows-from), func(b *columnar.Builder, row int) {
				b.Column(0).Long(int64(from + row + 1))
				b.Column(1).String(fmt.Sprintf("%s %d", tag, from+row+1))
			})
			if err := yield(0, b); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// of is a connection of given batches of one table.
func of(index int, cols []columnar.Column, batches ...*columnar.Batch) *sheets.Connection {
	c := &sheets.Connection{Index: index, Name: fmt.Sprintf("B%d", index+1), Attempt: 1, Tables: []sheets.Table{{Columns: cols}}}
	for _, b := range batches {
		c.Tables[0].Rows += int64(b.Rows)
	}
	c.Each = func(_ context.Context, yield func(int, *columnar.Batch) error) error {
		for _, b := range batches {
			if err := yield(0, b); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// must sends connections, all of which settle.
func (w *world) must(d *sheets.Document, conns ...*sheets.Connection) sheets.Result {
	w.t.Helper()
	r, err := d.Send(context.Background(), conns)
	if err != nil || len(r.Rejected) > 0 || len(r.Settled) != len(conns) {
		w.t.Fatalf("sent: %d settled of %d, rejected %v, error %v", len(r.Settled), len(conns), r.Rejected, err)
	}
	return r
}

// holds checks that a tab has a header, and the rows of these connections in order.
func (w *world) holds(title string, want ...rows) {
	w.t.Helper()
	got := w.book.Values(title)
	if len(got) == 0 || fmt.Sprint(got[0][len(got[0])-2:]) != "[id name]" {
		w.t.Fatalf("tab %q begins with %v", title, got)
	}
	at := 1
	for _, r := range want {
		for i := range r.n {
			line := []any{float64(i + 1), fmt.Sprintf("%s %d", r.tag, i+1)}
			if r.name != "" {
				line = append([]any{r.name}, line...)
			}
			if at >= len(got) || fmt.Sprint(got[at]) != fmt.Sprint(line) {
				w.t.Fatalf("tab %q, row %d of %d: %v, want %v", title, at, len(got), got[min(at, len(got)-1)], line)
			}
			at++
		}
	}
	if at != len(got) {
		w.t.Fatalf("tab %q has %d rows, want %d: %v", title, len(got), at, got[at])
	}
}

// rows are those of a connection: n, with a tag, after its name in a tab that is shared.
type rows struct {
	n    int
	tag  string
	name string
}

// clean checks that nothing is left but visible tabs.
func (w *world) clean() {
	w.t.Helper()
	for _, t := range w.book.Tabs() {
		if t.Hidden {
			w.t.Errorf("the hidden tab %q is left", t.Title)
		}
	}
}
