package dedupe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/dedupe"
)

// rowset is the rows of one query of one connection: an id and a name, each of which may be NULL.
type rowset struct {
	connection, query int
	rows              []row
}

type row struct {
	id   int64
	name string // "" is NULL
}

var columns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "name", Kind: columnar.Text}}

// tester is what *testing.T, *testing.B and *rapid.T share.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// feed hands rows over in batches of this size, the last ones smaller.
func feed(t tester, sets []rowset, size int) dedupe.Rows {
	return func(yield func(dedupe.Share) error) error {
		for _, s := range sets {
			for first := 0; first == 0 || first < len(s.rows); first += size {
				rows := s.rows[first:min(first+size, len(s.rows))]
				b := columnar.NewBuilder(columns)
				for _, r := range rows {
					b.Column(0).Long(r.id)
					if r.name == "" {
						b.Column(1).Null()
					} else {
						b.Column(1).String(r.name)
					}
					b.EndRow()
				}
				if err := yield(dedupe.Share{Connection: s.connection, Query: s.query, First: int64(first), Batch: decoded(t, b)}); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func decoded(t tester, b *columnar.Builder) *columnar.Batch {
	t.Helper()
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(slices.Clone(body))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// kept are all rows that are kept, read in batches of this size.
func kept(t tester, r *dedupe.Result, sets []rowset, size int) (out []string) {
	t.Helper()
	for _, s := range sets {
		n := 0
		for first := 0; first < len(s.rows); first += size {
			rows, err := r.Kept(nil, s.connection, s.query, int64(first), min(size, len(s.rows)-first))
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range rows {
				out = append(out, fmt.Sprint(s.connection, "/", s.query, "/", first+int(i)))
			}
			n += len(rows)
		}
		if c := r.Counts(s.connection, s.query); c.Rows != int64(len(s.rows)) || c.Kept() != int64(n) {
			t.Fatalf("connection %d, query %d: %+v, and %d rows are kept of %d", s.connection, s.query, c, n, len(s.rows))
		}
	}
	return out
}

// empty fails if a folder has files.
func empty(t tester, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) > 0 {
		t.Fatalf("%v is left, %v", files, err)
	}
}

// spec is one of the queries of feed, compared by the columns.
func spec(t testing.TB, queries int, keys ...int) dedupe.Spec {
	s := dedupe.Spec{Dir: filepath.Join(t.TempDir(), "dedupe")}
	for range queries {
		s.Queries = append(s.Queries, dedupe.Query{Columns: columns, Keys: keys})
	}
	return s
}

func run(t testing.TB, s dedupe.Spec, rows dedupe.Rows) *dedupe.Result {
	t.Helper()
	r, err := dedupe.Run(t.Context(), s, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		empty(t, s.Dir)
	})
	return r
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
