package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"fanmill/nats"
	"fanmill/pipeline"
)

// dues has the alarms that go off sent to a channel.
func dues(t *testing.T, c *nats.Conn) <-chan *pipeline.Message {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, done := make(chan *pipeline.Message, 10), make(chan error, 1)
	go func() {
		done <- c.Bus().Serve(ctx, slog.New(slog.DiscardHandler), pipeline.Handler{Topic: pipeline.TopicDues, Durable: "due-v1", Parallel: 4, Handle: func(_ context.Context, m *pipeline.Message) error {
			out <- m
			return nil
		}})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return out
}

// An alarm goes off at its time or after it, names what it is for, and is set no more. It replaces the one that was
// seen, and no other; one that is cancelled does not go off.
func TestAlarms(t *testing.T) {
	c := open(t, t.TempDir())
	a := c.Alarms()
	for range 2 {
		if err := a.Open(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	now, err := a.Now(within(t))
	if err != nil || time.Since(now).Abs() > 5*time.Second {
		t.Fatalf("it is %s: %v", now, err)
	}
	far := now.Add(24 * time.Hour).Truncate(time.Second).UTC()
	set := func(job string, at time.Time, seen pipeline.Alarm) error {
		return a.Set(within(t), job, "0123", at, seen)
	}
	if has, err := a.Alarm(within(t), "a.b", "0123"); err != nil || has != (pipeline.Alarm{}) {
		t.Errorf("%+v, %v", has, err)
	}
	if err := set("a.b", far, pipeline.Alarm{}); err != nil {
		t.Fatal(err)
	}
	has, err := a.Alarm(within(t), "a.b", "0123")
	if err != nil || !has.At.Equal(far) {
		t.Errorf("%+v, %v", has, err)
	}
	if err := set("a.b", far.Add(time.Hour), pipeline.Alarm{}); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("set over one that was not seen: %v", err)
	}
	if err := set("other", far, pipeline.Alarm{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Cancel(within(t), "other", "0123"); err != nil {
		t.Fatal(err)
	}
	if has, err := a.Alarm(within(t), "other", "0123"); err != nil || has.Revision != 0 {
		t.Errorf("after it was cancelled: %+v, %v", has, err)
	}
	off := dues(t, c)
	soon := now.Add(2 * time.Second).Truncate(time.Second).UTC()
	if err := set("a.b", soon, has); err != nil {
		t.Fatal(err)
	}
	past := now.Add(-time.Hour).Truncate(time.Second).UTC()
	if err := set("late", past, pipeline.Alarm{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []pipeline.Due{{Job: "late", Schedule: "0123", At: past}, {Job: "a.b", Schedule: "0123", At: soon}} {
		var m *pipeline.Message
		select {
		case m = <-off:
		case <-time.After(30 * time.Second):
			t.Fatalf("the alarm of %s does not go off", want.Job)
		}
		var got pipeline.Due
		if err := json.Unmarshal(m.Payload, &got); err != nil || got != want || m.Subject != pipeline.TopicDue(want.Job, "0123") {
			t.Errorf("%s: %s, %v", m.Subject, m.Payload, err)
		}
		if m.Stored.Before(want.At) {
			t.Errorf("it went off at %s, and was for %s", m.Stored, want.At)
		}
	}
	if has, err := a.Alarm(within(t), "a.b", "0123"); err != nil || has.Revision != 0 {
		t.Errorf("after it went off: %+v, %v", has, err)
	}
}

// An alarm whose time comes while the server is down goes off when that is back.
func TestAlarmsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	c, err := nats.Open(within(t), nats.Options{DataDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Alarms()
	if err := a.Open(within(t)); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(2 * time.Second).Truncate(time.Second).UTC()
	if err := errors.Join(a.Set(within(t), "gst", "0123", at, pipeline.Alarm{}), c.Close(within(t))); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(at.Add(100 * time.Millisecond)))
	c = open(t, dir)
	select {
	case m := <-dues(t, c):
		if m.Subject != pipeline.TopicDue("gst", "0123") {
			t.Error(m.Subject)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not go off")
	}
}
