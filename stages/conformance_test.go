package stages_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// Every kind keeps its value, exactly, and has the same text whatever the database; NULL is not "".
func TestKinds(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.dsn(t), qKinds)
		var declared, names []string
		for _, c := range s.Columns(0) {
			declared, names = append(declared, c.Type()), append(names, c.Name)
		}
		same(t, "declared types", declared, kindTypes)
		same(t, "names", names, kindNames)
		rows, types := texts(t, s, 0, 3)
		same(t, "types of a batch", types, kindTypes)
		same(t, "rows", rows, kindRows)
	})
}

// The queries of a session are described together and run one after another, in any order, also twice.
func TestSeveralQueries(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.dsn(t), qIDs, qNone, qDay)
		if n := len(s.Columns(1)); n != 2 {
			t.Errorf("%d columns described for the second query", n)
		}
		for range 2 {
			for q, want := range [][]string{{"1", "2"}, nil, {"2024-02-29"}} {
				rows, _ := texts(t, s, q, 100)
				same(t, fmt.Sprint("query ", q), rows, want)
			}
		}
	})
}

// A result without rows still calls emit, once.
func TestEmptyResult(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.dsn(t), qNone)
		calls := 0
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			calls++
			return b.Check()
		})
		if err != nil || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}

// Invariant 4: a result of any size takes the memory of a batch, and reading a row allocates nothing but what its driver must.
func TestMillionRowsInFlatMemory(t *testing.T) {
	const rows, slack = 1_000_000, 8 << 20
	each(t, func(t *testing.T, db database) {
		s := open(t, db.driver, db.dsn(t), db.series(rows))
		b := columnar.NewBuilder(s.Columns(0))
		var before, after runtime.MemStats
		n, batches, largest, live := 0, 0, 0, uint64(0)
		err := s.Stream(t.Context(), 0, b, full, func(b *columnar.Builder) error {
			n += b.Rows()
			largest = max(largest, b.Bytes())
			b.Reset()
			switch batches++; {
			case batches == 2: // the buffers have grown to their size
				runtime.GC()
				runtime.ReadMemStats(&before)
			case batches%8 == 0:
				runtime.GC()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				live = max(live, now.HeapAlloc)
			}
			return nil
		})
		runtime.ReadMemStats(&after)
		if err != nil || n != rows {
			t.Fatalf("%d rows: %v", n, err)
		}
		if largest > batchBytes+1000 {
			t.Errorf("a batch of %d bytes", largest)
		}
		if live > before.HeapAlloc+slack {
			t.Errorf("%d bytes live after two batches, up to %d later", before.HeapAlloc, live)
		}
		if got := float64(after.Mallocs - before.Mallocs); got > (db.allocs+0.001)*rows {
			t.Errorf("%.0f allocations for %d rows in %d batches", got, rows, batches)
		}
		// Widening a column allocates the offsets of its batch.
		if got := after.TotalAlloc - before.TotalAlloc; db.allocs == 0 && got > 24*rows {
			t.Errorf("%d bytes allocated for %d rows in %d batches", got, rows, batches)
		}
	})
}

// A stream ends with its context, between two rows, without waiting for the end of the result; its connection is given up, and the next
// one is as good as new.
func TestCancelMidStream(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		s := open(t, db.driver, dsn, db.series(1_000_000_000))
		ctx, cancel := context.WithCancel(t.Context())
		canceled(t, soon(t, "a cancelled stream", func() error {
			return s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
				cancel()
				b.Reset()
				return nil
			})
		}))
		afterCancel(t, db, dsn, s)
	})
}

// A stream ends with its context, also while the database computes and no row ever comes; nothing is left computing there.
func TestCancelWhileComputing(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		s := open(t, db.driver, dsn, db.endless)
		cancelWhen(t, s, func() {
			if db.busy != nil {
				db.busy(t, dsn, 1)
			}
		})
		afterCancel(t, db, dsn, s)
	})
}

// afterCancel closes a session whose stream was cancelled: the server knows nothing of it any more, and a new one is as good as ever.
func afterCancel(t *testing.T, db database, dsn string, s pipeline.Session) {
	t.Helper()
	closes(t, s)
	if db.busy != nil {
		db.busy(t, dsn, 0)
	}
	if db.sessions != nil {
		db.sessions(t, dsn, 0) // nobody can be given this connection again
	}
	rows, _ := texts(t, open(t, db.driver, dsn, qIDs), 0, 100)
	same(t, "the next session's rows", rows, []string{"1", "2"})
}

// A context that ended before anything began ends everything before it begins.
func TestCancelledBefore(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		ctx, cancel := context.WithCancel(t.Context())
		s := open(t, db.driver, dsn, db.endless)
		cancel()
		canceled(t, soon(t, "opening", func() error {
			_, err := stages.Kinds()[db.driver].Driver.Open(ctx, pipeline.Request{DSN: dsn, Queries: asQueries([]string{db.endless})})
			return err
		}))
		canceled(t, soon(t, "a stream", func() error { return s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)), full, drop) }))
		afterCancel(t, db, dsn, s)
	})
}

// An error of emit ends the stream and comes back as it is.
func TestEmitError(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		s := open(t, db.driver, dsn, db.series(1_000_000_000))
		stop := errors.New("the log is gone")
		calls := 0
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error {
			calls++
			return stop
		})
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
		if pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrTransient) {
			t.Errorf("the stage has classified an error that is not its own: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if db.sessions != nil {
			db.sessions(t, dsn, 0)
		}
	})
}

// A query that can never run is a permanent error with the database's own words, and names the query.
func TestBadQueries(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		for _, c := range []struct{ sql, want string }{
			{"select * from nowhere", db.noTable},
			{"selekt 1", db.syntax},
			{"select 1; select 2", ""},
			{"delete from t", ""},
			{"", ""},
			{"select id from kinds where id = :nobody", ":nobody"},
		} {
			err := attempt(t, db.driver, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{Name: "good", SQL: qIDs},
				{Name: "bad", SQL: c.sql, Args: []pipeline.Arg{{Name: "somebody", Type: pipeline.ArgInt, Text: "1"}}}}})
			switch {
			case err == nil:
				t.Errorf("%q was accepted", c.sql)
			case !pipeline.IsPermanent(err), !strings.Contains(err.Error(), c.want), !strings.Contains(err.Error(), `"bad"`):
				t.Errorf("%q: permanent %v: %v", c.sql, pipeline.IsPermanent(err), err)
			}
		}
	})
}

// No statement can change a branch's database, where the database can promise that.
func TestReadOnly(t *testing.T) {
	eachThat(t, func(db database) bool { return db.write != "" }, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		if err := attempt(t, db.driver, pipeline.Request{DSN: dsn, Queries: asQueries([]string{db.write})}); !pipeline.IsPermanent(err) {
			t.Errorf("a write gave %v", err)
		}
		rows, _ := texts(t, open(t, db.driver, dsn, qCount), 0, 10)
		same(t, "rows written", rows, []string{"0"})
	})
}

// Values are bound as what they are: one of each type finds the row that has them, wherever its name stands, and what looks
// like a name or like SQL within a text is text.
func TestParams(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		find := pipeline.Query{SQL: qMatch, Args: []pipeline.Arg{
			{Name: "amount", Type: pipeline.ArgDecimal, Text: "12.30"},
			{Name: "day", Type: pipeline.ArgDate, Text: "2024-02-29"},
			{Name: "yes", Type: pipeline.ArgBool, Text: "true"},
			{Name: "big", Type: pipeline.ArgInt, Text: "9007199254740993"},
			{Name: "words", Type: pipeline.ArgText, Text: `नमस्ते, "x"`},
			{Name: "id", Type: pipeline.ArgInt, Text: "1"},
			{Name: "unused", Type: pipeline.ArgText, Text: "nobody asks for this"},
		}}
		// The query's columns: the int; "equal" if the decimal is 12.50; "equal" if the date is 2024-02-29; the text; "yes" if the bool is
		// true, "no" if it is false; "null" if the null is NULL; the int again; the text ':i'.
		show := pipeline.Query{SQL: db.params, Args: []pipeline.Arg{
			{Name: "i", Type: pipeline.ArgInt, Text: "-5"},
			{Name: "d", Type: pipeline.ArgDecimal, Text: "12.50"},
			{Name: "day", Type: pipeline.ArgDate, Text: "2024-02-29"},
			{Name: "txt", Type: pipeline.ArgText, Text: `O'Brien said "\:i"; -- 漢字 🙂`},
			{Name: "b", Type: pipeline.ArgBool, Text: "false"},
			{Name: "none", Type: pipeline.ArgNull},
		}}
		none := find
		none.Args = slices.Clone(find.Args)
		none.Args[0].Text = "12.31"
		s := openRequest(t, db.driver, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{find, show, none}})
		for q, want := range []string{"1", `-5|equal|equal|O'Brien said "\:i"; -- 漢字 🙂|no|null|-5|:i`, ""} {
			rows, _ := texts(t, s, q, 100)
			same(t, fmt.Sprint("query ", q), []string{strings.Join(rows, "\n")}, []string{want})
		}
	})
}

// All queries of a session that asks for it see one state of the database, whatever others commit meanwhile. A database that
// cannot promise that says so.
func TestSnapshot(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		r := pipeline.Request{DSN: dsn, Snapshot: true, Queries: asQueries([]string{qCount, qCount})}
		if db.noSnapshot != "" {
			if err := attempt(t, db.driver, r); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), db.noSnapshot) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		s := openRequest(t, db.driver, r)
		before, _ := texts(t, s, 0, 10)
		same(t, "rows before", before, []string{"0"})
		if db.exec == nil {
			return // its own tests show what the server was asked for
		}
		db.exec(t, dsn, "insert into t values (1)")
		after, _ := texts(t, s, 1, 10)
		same(t, "rows of the same snapshot", after, []string{"0"})
		now, _ := texts(t, open(t, db.driver, dsn, qCount), 0, 10)
		same(t, "rows committed", now, []string{"1"})
	})
}

// A server that goes away in the middle of a result is worth another try.
func TestKilledMidStream(t *testing.T) {
	eachThat(t, func(db database) bool { return db.kill != nil }, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		s := open(t, db.driver, dsn, db.series(1_000_000_000))
		killed := false
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			b.Reset()
			if !killed {
				killed = true
				db.kill(t, dsn)
			}
			return nil
		})
		if !errors.Is(err, pipeline.ErrTransient) || pipeline.IsPermanent(err) {
			t.Errorf("the error is %v", err)
		}
	})
}

// A login that is refused stays refused; the error has the server's words and not the password.
func TestWrongPassword(t *testing.T) {
	eachThat(t, func(db database) bool { return db.wrongPassword != nil }, func(t *testing.T, db database) {
		dsn, password, words := db.wrongPassword(t)
		err := attempt(t, db.driver, pipeline.Request{DSN: dsn, Queries: asQueries([]string{qIDs})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), password) {
			t.Errorf("the error is %v", err)
		}
	})
}

// A session says what it is connected to, and a DSN where it leads, so that branches on one server can be spared.
func TestServerAndHost(t *testing.T) {
	each(t, func(t *testing.T, db database) {
		if got := open(t, db.driver, db.dsn(t), qIDs).Server(); !strings.HasPrefix(got, db.server) || len(got) < len(db.server)+3 {
			t.Errorf("the server is %q", got)
		}
		for dsn, want := range db.hosts {
			if got := stages.Kinds()[db.driver].Driver.Host(dsn); got != want {
				t.Errorf("%s leads to %q, want %q", dsn, got, want)
			}
		}
	})
}
