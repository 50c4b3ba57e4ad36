package stages_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// database is one kind of database under the suite: what every stage must be able to do, and what the suite must be told to ask
// for it. Each database's own test file adds its entry in an init function. A server that knows only scripted answers fits as
// well as a real one: what is asked is either one of the texts q... below, which are the same everywhere, or comes from a field.
type database struct {
	driver string
	server string // how the product's name and version begin
	// dsn makes a database with the table kinds, whose rows are kindRows, and the empty table t with an int column a.
	dsn func(t testing.TB) string
	// hosts are DSNs and the servers that they lead to.
	hosts map[string]string

	series  func(n int) string // a query of n rows of an int, a decimal(14,2) and a text, which are made as they are read
	endless string             // a query that computes without ever returning a row
	write   string             // a statement that returns rows and writes to t; "" if the database cannot promise that nothing is written
	params  string             // a query with every type of argument, see TestParams
	allocs  float64            // the most allocations for a row that reading a result may cost: those that the database's driver cannot do without

	noTable, syntax string // a piece of the database's words about a missing table, and about what is no statement

	// wrongPassword is a DSN with a password that the server refuses, that password, and a piece of the server's words. nil where
	// there are no passwords.
	wrongPassword func(t testing.TB) (dsn, password, words string)
	// busy waits until the server runs n statements for the database of a DSN, and sessions until n sessions are connected to it, not
	// counting those that ask. kill ends all of them as an administrator would, or a power failure. All nil where there is no server.
	busy, sessions func(t testing.TB, dsn string, n int)
	kill           func(t testing.TB, dsn string)

	// exec commits a statement in another session. nil where statements cannot be executed.
	exec func(t testing.TB, dsn, statement string)
	// typed, where exec is nil, makes a function that returns a query of a value of a type, both as in SQL (see types_test.go and the
	// tables of docs/types.md). nil where nothing can be asked about either.
	typed func(t testing.TB) func(typ, value string) (dsn, query string)
	// noSnapshot is a piece of the error of a database that cannot promise one state to several queries.
	noSnapshot string
}

var databases []database

// Queries of the suite that are the same on every database.
const (
	qKinds = "select * from kinds order by id"
	qIDs   = "select id from kinds where id < 3 order by id"
	qNone  = "select txt as t, id from kinds where id > 5"
	qDay   = "select day from kinds where id = 1"
	qCount = "select count(*) as n from t"
	qMatch = "select id from kinds where d = :amount and day = :day and b = :yes and i = :big and txt = :words and id = :id and :id = id"
)

// The rows of the table kinds: the text of every value is the same from every database.
var (
	kindNames = []string{"id", "b", "i", "f", "d", "day", "clock", "ts", "moment", "txt", "bin"}
	kindTypes = []string{"int", "bool", "int", "float", "decimal(14,2)", "date", "time", "timestamp", "timestamptz", "text", "binary"}
	kindRows  = []string{
		`1|true|9007199254740993|0.1|12.30|2024-02-29|23:59:59.5|2024-02-29 12:00:00.123456|2024-02-29 06:30:00+00:00|नमस्ते, "x"|0x00ff`,
		`2|false|-9223372036854775808|-1e+300|-999999999999.99|0001-01-01|00:00:00|1900-01-01 00:00:00|1999-12-31 23:59:59+00:00||0x`,
		`3|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL`,
		"4|true|9223372036854775807|1e-07|0.00|9999-12-31|12:34:56|9999-12-31 23:59:59.999999|2024-07-01 03:00:00.5+00:00|\ta\n|0xdeadbeef",
	}
)

// each runs a test on every database.
func each(t *testing.T, f func(t *testing.T, db database)) {
	t.Helper()
	eachThat(t, func(database) bool { return true }, f)
}

// eachThat runs a test on every database that has what the test is about.
func eachThat(t *testing.T, has func(db database) bool, f func(t *testing.T, db database)) {
	t.Helper()
	tested := 0
	for _, db := range databases {
		if has(db) {
			t.Run(db.driver, func(t *testing.T) { f(t, db) })
			tested++
		}
	}
	if tested < 2 {
		t.Errorf("%d databases were tested", tested)
	}
}

func open(t testing.TB, driver, dsn string, queries ...string) pipeline.Session {
	t.Helper()
	return openRequest(t, driver, pipeline.Request{DSN: dsn, Queries: asQueries(queries)})
}

func openRequest(t testing.TB, driver string, r pipeline.Request) pipeline.Session {
	t.Helper()
	s, err := stages.Kinds()[driver].Driver.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func asQueries(sql []string) []pipeline.Query {
	out := make([]pipeline.Query, len(sql))
	for i := range sql {
		out[i] = pipeline.Query{SQL: sql[i]}
		if len(sql) > 1 {
			out[i].Name = fmt.Sprint("q", i)
		}
	}
	return out
}

// attempt is what the pipeline does with a request: it returns the first error of opening a session and streaming its queries.
func attempt(t testing.TB, driver string, r pipeline.Request) (err error) {
	t.Helper()
	defer func() { discreet(t, err) }()
	s, err := stages.Kinds()[driver].Driver.Open(t.Context(), r)
	if err != nil {
		return err
	}
	for q := range r.Queries {
		if err = s.Stream(t.Context(), q, columnar.NewBuilder(s.Columns(q)), full, drop); err != nil {
			break
		}
	}
	if e := s.Close(); e != nil {
		t.Error(e)
	}
	return err
}

// suiteSecrets are in the passwords of all DSNs of the suite that are to fail.
var suiteSecrets = []string{"s3cr3t", "wr0ng"}

// discreet fails a test whose error tells a password.
func discreet(t testing.TB, err error) {
	t.Helper()
	for _, secret := range suiteSecrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

// full cuts batches as the pipeline does.
func full(b *columnar.Builder) bool { return b.Bytes() >= batchBytes }

// batchBytes is what the pipeline cuts batches at.
const batchBytes = 1 << 20

func drop(b *columnar.Builder) error { b.Reset(); return nil }

// watchdog ends a test that waits for what never comes. It is far beyond what a busy machine needs, and no measure of the code: that a
// thing ends at once is told by what ends it.
const watchdog = time.Minute

// soon is the result of f, which must come by itself.
func soon(t testing.TB, what string, f func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-time.After(watchdog):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// cancelWhen streams the first query of a session, ends its context as soon as running has returned, and expects the stream to end for
// that reason. The session is left to be closed.
func cancelWhen(t testing.TB, s pipeline.Session, running func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := soon(t, "a cancelled stream", func() error {
		var ending sync.WaitGroup
		ending.Go(func() { running(); cancel() })
		defer ending.Wait()
		return s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, drop)
	})
	canceled(t, err)
}

// canceled expects the error of a stream that its context has ended.
func canceled(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) || pipeline.IsPermanent(err) {
		t.Errorf("a cancelled stream ended with: %v", err)
	}
}

// closes closes a session.
func closes(t testing.TB, s pipeline.Session) {
	t.Helper()
	if err := soon(t, "closing", s.Close); err != nil {
		t.Error(err)
	}
}

// texts is every row of a query, its values as CSV text, through the encoding that the pipeline uses. types are those of
// the last batch; every batch has perBatch rows.
func texts(t testing.TB, s pipeline.Session, q, perBatch int) (rows, types []string) {
	t.Helper()
	rows, types, err := textsOf(t.Context(), s, q, perBatch)
	if err != nil {
		t.Fatal(err)
	}
	return rows, types
}

func textsOf(ctx context.Context, s pipeline.Session, q, perBatch int) (rows, types []string, err error) {
	err = s.Stream(ctx, q, columnar.NewBuilder(s.Columns(q)),
		func(b *columnar.Builder) bool { return b.Rows() >= perBatch },
		func(b *columnar.Builder) error {
			body, err := b.Encode()
			if err != nil {
				return err
			}
			batch, err := columnar.Decode(slices.Clone(body))
			if err != nil {
				return err
			}
			types = types[:0]
			for i := range batch.Cols {
				types = append(types, batch.Cols[i].Type())
			}
			for r := range batch.Rows {
				var line []string
				for i := range batch.Cols {
					v := &batch.Cols[i]
					var clock columnar.Clock
					if v.Null(r) {
						line = append(line, "NULL")
					} else {
						line = append(line, string(v.AppendText(nil, r, &clock)))
					}
				}
				rows = append(rows, strings.Join(line, "|"))
			}
			b.Reset()
			return nil
		})
	return rows, types, err
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
