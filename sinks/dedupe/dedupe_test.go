package dedupe_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fanmill/sinks/dedupe"
)

// Whatever the rows, the memory, the batches and the rounds: what is kept is what a map says.
func TestRunAgainstMap(t *testing.T) {
	base := t.TempDir()
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		dir := filepath.Join(base, fmt.Sprint(cases))
		queries := rapid.IntRange(1, 2).Draw(t, "queries")
		keys := rapid.SampledFrom([][]int{nil, {0}, {1}, {0, 1}}).Draw(t, "keys")
		s := dedupe.Spec{Dir: dir, Keep: rapid.SampledFrom([]dedupe.Keep{dedupe.First, dedupe.Last}).Draw(t, "keep"),
			Memory: rapid.SampledFrom([]int64{1, 40 << 10, 600 << 10, 0}).Draw(t, "memory")}
		for range queries {
			s.Queries = append(s.Queries, dedupe.Query{Columns: columns, Keys: keys})
		}
		sets := drawSets(t, queries)
		rounds := rapid.IntRange(1, 3).Draw(t, "rounds")
		size := rapid.IntRange(1, 50).Draw(t, "batch")
		sent := map[string]bool{}
		for round := range rounds {
			var mine []rowset
			for _, set := range sets {
				if set.connection%rounds == round {
					mine = append(mine, set)
				}
			}
			want, counts := expect(mine, keys, s.Keep, sent)
			s.Save = filepath.Join(dir, "saved", fmt.Sprint(round))
			r, err := dedupe.Run(context.Background(), s, feed(t, mine, size))
			if err != nil {
				t.Fatal(err)
			}
			if got := kept(t, r, mine, size); !slices.Equal(got, want) {
				t.Fatalf("round %d keeps\n%v, want\n%v", round, got, want)
			}
			if total := r.Total(); total != counts {
				t.Fatalf("round %d counts %+v, want %+v", round, total, counts)
			}
			s.Sent = append(s.Sent, r.Sent())
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, "saved")); err != nil {
			t.Fatal(err)
		}
		empty(t, dir)
	})
}

func drawSets(t *rapid.T, queries int) (sets []rowset) {
	most := rapid.SampledFrom([]int{3, 2000}).Draw(t, "values")
	for c := range rapid.IntRange(0, 5).Draw(t, "connections") {
		for q := range queries {
			set := rowset{connection: c, query: q}
			seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 400).Draw(t, "rows")
			for range n {
				seed = seed*6364136223846793005 + 1442695040888963407
				r := row{id: int64(seed >> 33 % uint64(most))}
				if x := seed >> 50 % 7; x > 0 {
					r.name = strings.Repeat("x", int(x))
				}
				set.rows = append(set.rows, r)
			}
			sets = append(sets, set)
		}
	}
	return sets
}

// expect is the result by a map, and adds to sent.
func expect(sets []rowset, keys []int, keep dedupe.Keep, sent map[string]bool) (want []string, counts dedupe.Counts) {
	winner := map[string]string{}
	key := func(s rowset, r row) (string, bool) {
		switch {
		case slices.Contains(keys, 1) && r.name == "":
			return "", false
		case slices.Equal(keys, []int{0}):
			return fmt.Sprint(s.query, r.id), true
		case slices.Equal(keys, []int{1}):
			return fmt.Sprint(s.query, r.name), true
		}
		return fmt.Sprint(s.query, r.id, r.name), true
	}
	at := func(s rowset, i int) string { return fmt.Sprint(s.connection, "/", s.query, "/", i) }
	for _, s := range sets {
		for i, r := range s.rows {
			if k, ok := key(s, r); ok && (winner[k] == "" || keep == dedupe.Last) {
				winner[k] = at(s, i)
			}
		}
	}
	for _, s := range sets {
		for i, r := range s.rows {
			counts.Rows++
			k, ok := key(s, r)
			switch {
			case ok && sent[k] && keep == dedupe.Last:
				counts.Superseded++
			case ok && sent[k]:
				counts.AlreadySent++
			case ok && winner[k] != at(s, i):
				counts.Duplicates++
			default:
				want = append(want, at(s, i))
			}
		}
	}
	for k := range winner {
		sent[k] = true
	}
	return want, counts
}

// Keys are compared, not their hashes: it makes no difference whether all, or many, have the same one.
func TestForcedCollisions(t *testing.T) {
	var sets []rowset
	for c := range 3 {
		set := rowset{connection: c}
		for i := range 3000 {
			set.rows = append(set.rows, row{id: int64(i % 2500), name: fmt.Sprint("n", c*i%2)})
		}
		sets = append(sets, set)
	}
	for name, hash := range map[string]func([]byte) uint64{
		"all":      func([]byte) uint64 { return 7 },
		"zero":     func([]byte) uint64 { return 0 },
		"low half": func(key []byte) uint64 { return uint64(key[len(key)-1]) },
		"high half": func(key []byte) uint64 {
			return uint64(key[len(key)-1]) << 58
		},
	} {
		for _, memory := range []int64{300 << 10, 0} { // the first is a tenth of what the keys take
			t.Run(fmt.Sprint(name, memory), func(t *testing.T) {
				dedupe.ForceHash(t, hash)
				s := spec(t, 1)
				s.Memory = memory
				r := run(t, s, feed(t, sets, 1000))
				want, counts := expect(sets, nil, s.Keep, map[string]bool{})
				if got := kept(t, r, sets, 777); !slices.Equal(got, want) || r.Total() != counts {
					t.Fatalf("%d rows are kept, want %d; %+v, want %+v", len(got), len(want), r.Total(), counts)
				}
			})
		}
	}
}

// Partitions that are too large are split again; one key in all rows needs none.
func TestSkew(t *testing.T) {
	const rows = 20_000
	wide := strings.Repeat("w", 1000)
	var one, all, huge rowset
	for i := range rows {
		one.rows = append(one.rows, row{id: 1, name: wide})
		all.rows = append(all.rows, row{id: int64(i), name: wide})
	}
	for i := range 8 { // each is larger than the memory
		huge.rows = append(huge.rows, row{id: int64(i / 2), name: strings.Repeat("h", 500_000)})
	}
	for _, c := range []struct {
		name       string
		set        rowset
		kept       int64
		partitions func(n int) bool
	}{
		{"one key", one, 1, func(n int) bool { return n == 0 }},
		{"all distinct", all, rows, func(n int) bool { return n > 64 }},
		{"huge rows", huge, 4, func(n int) bool { return n > 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(t, 1)
			s.Memory = 128 << 10
			r := run(t, s, feed(t, []rowset{c.set}, 4096))
			if got := r.Total().Kept(); got != c.kept || !c.partitions(dedupe.Partitions(r)) {
				t.Fatalf("%d rows are kept, want %d, by %d partitions", got, c.kept, dedupe.Partitions(r))
			}
		})
	}
}

// The bitmap is on the disk where it does not fit, also with rows dropped in any order.
func TestBitmapOnDisk(t *testing.T) {
	for _, keep := range []dedupe.Keep{dedupe.First, dedupe.Last} {
		const rows = 200_000 // four pages, of which two are in memory
		at := func(i int) int64 { return int64(i*7919) % (rows / 3) }
		var set rowset
		winner := map[int64]int{}
		for i := range rows {
			set.rows = append(set.rows, row{id: at(i)})
			if _, there := winner[at(i)]; !there || keep == dedupe.Last {
				winner[at(i)] = i
			}
		}
		s := spec(t, 1, 0)
		s.Memory, s.Keep = 256<<10, keep
		r := run(t, s, feed(t, []rowset{set}, 1<<15))
		if sizeOf(t, filepath.Join(s.Dir, "dedupe.bits")) == 0 {
			t.Fatal("the bitmap is in memory")
		}
		got := kept(t, r, []rowset{set}, 100_000)
		if len(got) != len(winner) {
			t.Fatalf("%d rows are kept, want %d", len(got), len(winner))
		}
		for _, k := range got {
			var i int
			if _, err := fmt.Sscanf(k, "0/0/%d", &i); err != nil || winner[at(i)] != i {
				t.Fatalf("row %s is kept, want %d: %v", k, winner[at(i)], err)
			}
		}
	}
}

// Rows out of order, or of columns that the query lacks, are a mistake of the caller's, and are said.
func TestOrder(t *testing.T) {
	one := []row{{id: 1}}
	for name, sets := range map[string][]rowset{
		"connection back": {{1, 0, one}, {0, 0, one}},
		"query back":      {{0, 1, one}, {0, 0, one}},
		"twice":           {{0, 0, one}, {0, 0, one}},
		"query unknown":   {{0, 2, one}},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, 2)
			if _, err := dedupe.Run(t.Context(), s, feed(t, sets, 10)); err == nil {
				t.Fatal("no error")
			}
			empty(t, s.Dir)
		})
	}
	s := spec(t, 1, 2)
	if _, err := dedupe.Run(t.Context(), s, feed(t, nil, 1)); err == nil || !strings.Contains(err.Error(), "column 2") {
		t.Fatalf("a key that the query lacks: %v", err)
	}
	r := run(t, spec(t, 1), feed(t, []rowset{{0, 0, one}}, 10))
	for _, at := range []int64{-1, 1} {
		if _, err := r.Kept(nil, 0, 0, at, 1); err == nil {
			t.Fatalf("row %d was looked at", at)
		}
	}
	if rows, err := r.Kept(nil, 5, 0, 0, 0); err != nil || len(rows) != 0 {
		t.Fatal(rows, err)
	}
}
