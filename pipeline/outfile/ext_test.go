package outfile_test

import (
	"testing"

	"fanmill/pipeline/outfile"
)

func TestExt(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "sales": "", "sales.csv": ".csv", "a.b/sales": "", `a.b\sales`: "", "sales.csv.gz": ".csv.gz", "sales.jsonl.ZST": ".jsonl.ZST",
		"sales.gz": ".gz", "Q1.2026.gz": ".gz", "{jobName}.csv.gz": ".csv.gz", "{a.b}.gz": ".gz", "v1.{query}.gz": ".gz", "sales.csv.zip": ".zip", "x.v1.csv": ".csv",
	} {
		if got := outfile.Ext(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
