package dedupe_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/dedupe"
)

// saved is a file of the keys of 3,000 rows, of which 2,000 are kept.
func saved(t *testing.T, s dedupe.Spec) dedupe.SentKeys {
	t.Helper()
	s.Save = filepath.Join(t.TempDir(), "sent", "1.keys")
	var set rowset
	for i := range 3000 {
		set.rows = append(set.rows, row{id: int64(i % 2000), name: "n"})
	}
	r := run(t, s, feed(t, []rowset{set}, 500))
	if got := r.Sent(); got.Keys != 2000 || got.Bytes != sizeOf(t, s.Save) || got.Path != s.Save {
		t.Fatalf("%+v", got)
	}
	return r.Sent()
}

// A late row whose key was sent is dropped and counted, under a name that says what it would have been.
func TestLateRows(t *testing.T) {
	for keep, want := range map[dedupe.Keep]dedupe.Counts{
		dedupe.First: {Rows: 4, Duplicates: 1, AlreadySent: 2},
		dedupe.Last:  {Rows: 4, Duplicates: 1, Superseded: 2},
	} {
		s := spec(t, 1, 0)
		s.Keep = keep
		s.Sent = []dedupe.SentKeys{saved(t, s)}
		late := rowset{connection: 7, rows: []row{{1, "late"}, {5000, "new"}, {1, "again"}, {5000, "new"}}}
		r := run(t, s, feed(t, []rowset{{connection: 6}, late, {connection: 8}}, 3))
		if got := r.Counts(7, 0); got != want || r.Total() != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

// A Run that is repeated, after a crash anywhere, has the same result and saves the same bytes.
func TestRepeat(t *testing.T) {
	s := spec(t, 1)
	s.Memory = 300 << 10
	first := saved(t, s)
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dedupe.1.part", "dedupe.bits"} { // as a kill leaves them
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte("rest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := saved(t, s)
	if again.SHA256 != first.SHA256 {
		t.Fatalf("%+v, then %+v", first, again)
	}
	if err := dedupe.Clean(s.Dir); err != nil {
		t.Fatal(err)
	}
	empty(t, s.Dir)
	if err := dedupe.Clean(filepath.Join(s.Dir, "nowhere")); err != nil {
		t.Fatal(err)
	}
}

// Saved keys that are damaged, or of another normal form, end the Run: they are never left out.
func TestSavedKeysDamaged(t *testing.T) {
	s := spec(t, 1)
	good := saved(t, s)
	body, err := os.ReadFile(good.Path)
	if err != nil {
		t.Fatal(err)
	}
	recorded := good
	unknown := dedupe.SentKeys{Path: good.Path}
	for name, c := range map[string]struct {
		is   dedupe.SentKeys
		body []byte
		says string
	}{
		"shorter, recorded":     {recorded, body[:len(body)-1], "bytes"},
		"shorter":               {unknown, body[:len(body)-1], ""},
		"half":                  {unknown, body[:len(body)/2], "ends early"},
		"longer":                {unknown, append(bytes.Clone(body), 0), ""},
		"empty":                 {unknown, nil, "ends early"},
		"no keys":               {unknown, []byte("{}\n"), "format"},
		"text":                  {unknown, []byte("hello\n"), "no file of keys"},
		"one bit":               {unknown, flip(body, len(body)/2), ""},
		"a bit of the sum":      {unknown, flip(body, len(body)-1), "SHA-256"},
		"normal form":           {unknown, bytes.Replace(body, []byte(`"form":1`), []byte(`"form":2`), 1), "version 2 of the normal form"},
		"format":                {unknown, bytes.Replace(body, []byte(`keys 1`), []byte(`keys 2`), 1), "format"},
		"another file, sound":   {dedupe.SentKeys{Path: good.Path, SHA256: strings.Repeat("0", 64)}, body, "recorded"},
		"another length, sound": {dedupe.SentKeys{Path: good.Path, Bytes: 7}, body, "7 were saved"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(good.Path, c.body, 0o600); err != nil {
				t.Fatal(err)
			}
			s := s
			s.Sent = []dedupe.SentKeys{c.is}
			_, err := dedupe.Run(t.Context(), s, feed(t, nil, 1))
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), good.Path) {
				t.Fatalf("%v, want %q", err, c.says)
			}
			empty(t, s.Dir)
		})
	}
	if err := os.Remove(good.Path); err != nil {
		t.Fatal(err)
	}
	s.Sent = []dedupe.SentKeys{good}
	if _, err := dedupe.Run(t.Context(), s, feed(t, nil, 1)); !errors.Is(err, fs.ErrNotExist) || pipeline.IsPermanent(err) {
		t.Fatalf("%v: a folder may come back", err)
	}
}

func flip(body []byte, at int) []byte {
	body = bytes.Clone(body)
	body[at] ^= 1
	return body
}

// Keys of other columns, types or zones cannot be compared; of whole rows, columns may be added at the end.
func TestSavedKeysOfAnotherSchema(t *testing.T) {
	added := append(columns[:2:2], columnar.Column{Name: "more", Kind: columnar.Int})
	for name, c := range map[string]struct {
		keys, keysNow []int
		now           []columnar.Column
		zone          *time.Location
		queries       int
		says          string
	}{
		"the same":                  {now: columns},
		"a column more":             {now: added},
		"a column more, by key":     {keys: []int{0}, keysNow: []int{0}, now: added},
		"a wider number":            {now: []columnar.Column{{Name: "id", Kind: columnar.Decimal, Precision: 20}, columns[1]}},
		"a column less":             {now: columns[:1], says: "query 0"},
		"a key more":                {keys: []int{0}, keysNow: []int{0, 1}, now: columns, says: "query 0"},
		"a key now":                 {keysNow: []int{0, 1}, now: columns, says: "query 0"},
		"texts where numbers were":  {now: []columnar.Column{{Name: "id", Kind: columnar.Text}, columns[1]}, says: `"id", compared as value`},
		"another name":              {now: []columnar.Column{{Name: "no", Kind: columnar.Int}, columns[1]}, says: `"no"`},
		"another zone":              {now: columns, zone: time.FixedZone("Asia/Kolkata", 19800), says: "Asia/Kolkata"},
		"another number of queries": {now: columns, queries: 1, says: "queries"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, 1, c.keys...)
			sent := saved(t, s)
			now := dedupe.Spec{Dir: s.Dir, Zone: c.zone, Sent: []dedupe.SentKeys{sent}}
			for range 1 + c.queries {
				now.Queries = append(now.Queries, dedupe.Query{Columns: c.now, Keys: c.keysNow})
			}
			r, err := dedupe.Run(t.Context(), now, feed(t, nil, 1))
			if c.says != "" {
				if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
