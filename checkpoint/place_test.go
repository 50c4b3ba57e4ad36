package checkpoint_test

import (
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// The command of a destination goes to where its bytes are, or may be written first; to anybody if it has none.
func TestPlaceOfACommand(t *testing.T) {
	file := &pipeline.SinkKind{Traits: pipeline.Traits{Target: pipeline.TargetFile}}
	remote := &pipeline.SinkKind{Traits: pipeline.Traits{Target: pipeline.TargetURL, Spooled: true}}
	spooled := &spool.Place{ID: "disk", Host: "second"}
	for name, c := range map[string]struct {
		kind *pipeline.SinkKind
		home string // of the run
		dest string // the place that the job names
		rec  checkpoint.CommitRecord
		want string
	}{
		"a new file is written where the run began":        {kind: file, home: "first 1", want: "home-first=201"},
		"a file that has bytes is where they are":          {kind: file, home: "first 1", rec: checkpoint.CommitRecord{Home: "second 2"}, want: "home-second=202"},
		"a file of a store that no other host has":         {kind: file, want: "local"},
		"a new file in a folder that the job names":        {kind: file, home: "first 1", dest: "reports", want: "place-reports"},
		"the same, with bytes in it":                       {kind: file, home: "first 1", dest: "reports", rec: checkpoint.CommitRecord{Home: "second 2"}, want: "place-reports"},
		"the same, with rows in a spool":                   {kind: file, dest: "reports", rec: checkpoint.CommitRecord{Home: "second 2", Place: spooled}, want: "home-second=202"},
		"a receiver of which nothing is on a disk":         {kind: remote, home: "first 1", want: ""},
		"a receiver whose record was claimed":              {kind: remote, rec: checkpoint.CommitRecord{Home: "second 2"}, want: ""},
		"a receiver whose rows are in a spool":             {kind: remote, home: "first 1", rec: checkpoint.CommitRecord{Home: "second 2", Place: spooled}, want: "home-second=202"},
		"a receiver of a kind that this process lacks":     {want: ""},
		"rows in the spool of a store with no other hosts": {kind: remote, rec: checkpoint.CommitRecord{Place: spooled}, want: "local"},
	} {
		m := &pipeline.Manifest{Home: c.home}
		if got := c.rec.At(m, &pipeline.ManifestDestination{Place: c.dest}, c.kind); got != c.want {
			t.Errorf("%s: the command goes to %q, want %q", name, got, c.want)
		}
	}
}
