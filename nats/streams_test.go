package nats_test

import (
	"reflect"
	"testing"

	"fanmill/nats"
	"fanmill/pipeline"
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

// A store of a version that kept triggers among the commands is brought up to date, whether or not an earlier try was
// cut short: every message is kept, each where its reader looks for it, and triggers are no longer acknowledged by
// their stream.
func TestOldLayoutIsMigrated(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if err := c.OldLayout(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, m := range [][2]string{
		{pipeline.TopicTrigger("a"), "id-1"}, {pipeline.TopicOwnTrigger("a", "me"), "id-2"}, {pipeline.TopicTrigger("b"), ""},
		{pipeline.TopicQuery("r"), "id-3"}, {pipeline.TopicSink("r"), "id-4"},
	} {
		if err := c.PublishAcked(within(t), m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	sub := c.Bus().Subscriber("query-r", 1) // a consumer of the old stream goes on
	ch, err := sub.Subscribe(within(t), pipeline.TopicQuery("r"))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, ch).Nack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	shut(t, c)

	for range 2 { // the second time there is nothing to do
		c = open(t, dir)
		subjects, n, err := c.Subjects(within(t), "FANMILL_JOBS")
		if err != nil || n != 3 || !reflect.DeepEqual(subjects, []string{"fanmill.jobs.own.*.*", "fanmill.jobs.query.>", "fanmill.jobs.sink.>"}) {
			t.Errorf("FANMILL_JOBS has %d messages on %v (%v)", n, subjects, err)
		}
		if subjects, n, err = c.Subjects(within(t), "FANMILL_TRIGGERS"); err != nil || n != 2 || !reflect.DeepEqual(subjects, []string{"fanmill.jobs.run.*", "fanmill.jobs.inline.*"}) {
			t.Errorf("FANMILL_TRIGGERS has %d messages on %v (%v)", n, subjects, err)
		}
		shut(t, c)
	}
	c = open(t, dir)
	stop := answering(t, c, pipeline.TopicTrigger("c"))
	defer stop()
	ask(t, c, pipeline.TopicTrigger("c"), "id-5")
	serve := c.Bus().Subscriber("serve", 3)
	triggers, err := serve.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"id-1", "FANMILL_JOBS-3", "id-5"} {
		m := receive(t, triggers)
		if m.UUID != want {
			t.Errorf("%s came, want %s", m.UUID, want)
		}
		m.Ack()
	}
	sub = c.Bus().Subscriber("query-r", 1)
	if ch, err = sub.Subscribe(within(t), pipeline.TopicQuery("r")); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, ch); m.UUID != "id-3" {
		t.Errorf("the command is %s", m.UUID)
	} else {
		m.Ack()
	}
	for _, s := range []interface{ Close() error }{sub, serve} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
