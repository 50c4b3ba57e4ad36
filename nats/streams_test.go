package nats_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/nats"
)

// Whether a stream keeps a topic goes by tokens, wildcards on either side.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a.*", "a.b", true}, {"a.*", "a.*", true}, {"a.*", "a.b.c", false}, {"a.*", "a", false}, {"a.*.*", "a.b.c", true}, {"a.*.*", "a.b", false},
		{"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a.>", true}, {"a.>", "a.*", true}, {"a.>", "a", false}, {"a.*", "a.>", false},
		{"a.b", "a.*", false}, {"a.b", "a.b", true}, {"a.b", "a.bc", false}, {"a.*", "a..b", false}, {"a.*", "a.", false}, {"a.>", "a.", false},
	} {
		if got := nats.Covers(c.pattern, c.topic); got != c.want {
			t.Errorf("%s covers %s: %v", c.pattern, c.topic, got)
		}
	}
}

// Of two versions that share a store, neither takes from a stream what the other one relies on. What an older one
// lacks is added; of a stream that a later one has set nothing is touched.
func TestStreamsOnlyGain(t *testing.T) {
	const stream, known, strange, text = "FANMILL_JOBS", "fanmill.jobs.own.*.*", "fanmill.later.>", "fanmill: triggers of fanmill run; each is gone when its process has ended"
	for _, step := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		want   []string
		text   string // of the description
	}{
		{"gained", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, strange) }, []string{known, strange}, text},
		{"lacking", func(c *jetstream.StreamConfig) { c.Subjects, c.Description = []string{strange}, "" }, []string{strange, known}, text},
		{"narrower", func(c *jetstream.StreamConfig) { c.Subjects = []string{"fanmill.jobs.own.one.*", strange} }, []string{strange, known}, text},
		{"wider", func(c *jetstream.StreamConfig) { c.Subjects = []string{"fanmill.jobs.own.>"} }, []string{"fanmill.jobs.own.>"}, text},
		{"of a later version", func(c *jetstream.StreamConfig) {
			c.Subjects, c.Description, c.Metadata = []string{known, strange}, "later", map[string]string{nats.MetaSettings: "2"}
		}, []string{known, strange}, "later"},
	} {
		t.Run(step.name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, dir)
			if err := c.EditStream(within(t), stream, step.change); err != nil {
				t.Fatal(err)
			}
			shut(t, c)
			c = open(t, dir)
			defer shut(t, c)
			got, err := c.StreamConfig(within(t), stream)
			if err != nil || !slices.Equal(got.Subjects, step.want) || got.Description != step.text {
				t.Errorf("it has %q, %q, %v, want %q", got.Subjects, got.Description, err, step.want)
			}
		})
	}
}

// Sequence 9: a bucket's reads are answered by its leader alone, also in a store that was made otherwise; who has it
// open meanwhile goes on. What a later version has set is left alone.
func TestBucketsAreReadFromTheirLeader(t *testing.T) {
	const stream = "KV_fanmill_runs"
	dir := t.TempDir()
	c := open(t, dir)
	defer shut(t, c)
	direct := func() bool {
		t.Helper()
		cfg, err := c.StreamConfig(within(t), stream)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.AllowDirect
	}
	reads := func(c *nats.Conn) {
		t.Helper()
		if e, err := c.Stores().Runs.Get(within(t), "r"); err != nil || string(e.Value) != "1" {
			t.Errorf("read %q, %v", e.Value, err)
		}
	}
	if direct() {
		t.Error("a new bucket is read from replicas")
	}
	if _, err := c.Stores().Runs.Put(within(t), "r", []byte("1")); err != nil {
		t.Fatal(err)
	}
	later := func(version string) {
		t.Helper()
		if err := c.EditStream(within(t), stream, func(s *jetstream.StreamConfig) {
			s.AllowDirect, s.Metadata = true, map[string]string{nats.MetaSettings: version}
		}); err != nil {
			t.Fatal(err)
		}
	}
	later("2")
	shared := open(t, dir) // as if its bucket could not be changed
	defer shut(t, shared)
	reads(shared)
	if !direct() {
		t.Error("the bucket of a later version was changed")
	}
	later("")
	changes := open(t, dir)
	defer shut(t, changes)
	if direct() {
		t.Error("the bucket is still read from replicas")
	}
	for _, c := range []*nats.Conn{c, shared, changes} {
		reads(c)
	}
}
