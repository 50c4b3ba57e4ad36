package deliver

import (
	"fmt"
	"testing"

	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// The spool keeps what a resume may need, and what waits for another disk. What nobody needs any more goes, also if
// another process has ended the run.
func TestSweepSpool(t *testing.T) {
	ctx, kv := t.Context(), &memstore.KV{}
	l := &Cleaner{Runs: kv, Spool: &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}}
	for run, rec := range map[string]*checkpoint.RunRecord{
		"abandoned":  {Job: "job", State: pipeline.RunAbandoned, Cleaned: true},
		"complete":   {Job: "job", State: pipeline.RunComplete, Cleaned: true},
		"elsewhere":  {Job: "job", State: pipeline.RunComplete, Cleaned: true, Waits: map[string][]string{"d": {"there"}}},
		"forgotten":  nil,
		"to-clean":   {Job: "job", State: pipeline.RunComplete},
		"unfinished": {Job: "job", State: pipeline.RunInterrupted, Cleaned: true},
	} {
		if _, err := l.Spool.Claim(pipeline.Token(run), "d", 1, "t"); err != nil {
			t.Fatal(err)
		}
		if rec == nil {
			continue
		}
		if _, err := checkpoint.CreateDocument(ctx, kv, checkpoint.RunKey(run), *rec); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Spool.Claim("unreadable", "d", 1, "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(ctx, checkpoint.RunKey("unreadable"), []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if err := l.Sweep(ctx); err != nil {
		t.Error(err)
	}
	if left, err := l.Spool.Runs(); err != nil || fmt.Sprint(left) != "[elsewhere to-clean unfinished unreadable]" {
		t.Errorf("the spool has %v (%v)", left, err)
	}
}
