package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/verify"
)

// Invariants 3 and 6 with rows that come in pieces: killed while the record has half a row, or goes on from one, the
// artifacts end as those of an undisturbed run, and a branch whose rows are all in the log is not asked again.
func TestKilledInAHugeRow(t *testing.T) {
	t.Parallel()
	// Of two rows in pieces of at most 8 MB the first piece of the second makes more than half of the log.
	dsn := sqliteDB(t, "create table doc (id text, text text); insert into doc values ('1', hex(randomblob(6000000))), ('2', hex(randomblob(6000000)))")
	const query = "select * from doc order by id"
	truth, columns, err := verify.SQLite(t.Context(), []verify.Source{{Name: "Lite", Path: dsn}}, query)
	if err != nil {
		t.Fatal(err)
	}
	truth[""] = truth["Lite"] // files of one branch do not name it
	delete(truth, "Lite")
	names := []string{"v.csv", "v.jsonl"}
	w := newJob(t, object{"id": "v",
		"destinations": []object{{"id": "c", "type": "csv", "filePath": outPath("v.csv")}, {"id": "j", "type": "jsonl", "filePath": outPath("v.jsonl")},
			{"id": "p", "type": "parquet", "filePath": outPath("v.parquet")}},
		"connections": []object{{"id": "s", "name": "Lite", "driver": "sqlite", "dsn": dsn, "query": query}}})
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "32"}
	w.mustRun(exitComplete, nil)
	want := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(w.out(name))
		if err != nil || len(text) < 24e6 {
			t.Fatalf("%s has %d bytes (%v)", name, len(text), err)
		}
		want[name] = text
	}
	for point, delivered := range map[string]bool{
		"mid-row":     false, // the first record with half a row
		"mid-row:3":   false, // the one of the last destination
		"before-cas":  true,  // its rest has come, and no record says so
		"before-seal": true,
	} {
		t.Run(point, func(t *testing.T) {
			if code, out := w.run([]string{"FANMILL_FAILPOINT=" + point}); code != -1 {
				t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
			}
			w.askedSince()
			w.mustRun(exitComplete, nil, "--resume")
			if asked := w.askedSince(); delivered && len(asked) > 0 {
				t.Errorf("asked again: %v", asked)
			}
			for _, name := range names {
				if text, err := os.ReadFile(w.out(name)); err != nil || !bytes.Equal(text, want[name]) {
					t.Errorf("%s has %d bytes (%v), and not the %d of an undisturbed run", name, len(text), err, len(want[name]))
				}
			}
			rows, err := verify.Parquet(w.out("v.parquet"), columns, "branch")
			if d := verify.Diff(truth, rows); err != nil || len(d) > 0 {
				t.Errorf("Parquet: %s (%v)", strings.Join(d, "; "), err)
			}
			if left, err := filepath.Glob(filepath.Join(w.dir, "data", "spool", "*", "*", "*")); err != nil || len(left) > 0 {
				t.Errorf("left in the spool: %q (%v)", left, err)
			}
		})
	}
}
