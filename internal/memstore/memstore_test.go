package memstore_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"fanmill/internal/memstore"
	"fanmill/internal/porttest"
	"fanmill/pipeline"
)

// The store in memory keeps to what the pipeline asks of a store, as the real one does.
func TestKV(t *testing.T) {
	porttest.KV(t, func(*testing.T) pipeline.KV { return &memstore.KV{} })
}

// So do its row logs.
func TestRowLogs(t *testing.T) {
	porttest.RowLogs(t, func(*testing.T) pipeline.RowLogs { return &memstore.Logs{} })
}

// So does its bus.
func TestBus(t *testing.T) {
	porttest.Bus(t, func(*testing.T) pipeline.Bus { return &memstore.Bus{} })
}

// Of the bus: a consumer reads one topic, and no message is for two of them.
func TestBusConsumers(t *testing.T) {
	b := &memstore.Bus{}
	serve := func(topic, durable string) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return b.Serve(ctx, slog.New(slog.DiscardHandler), pipeline.Handler{Topic: topic, Durable: durable, Parallel: 1})
	}
	if err := serve(pipeline.TopicQueryCommands("one"), "one"); err != nil {
		t.Fatal(err)
	}
	if err := serve(pipeline.TopicQueryCommands("two"), "one"); !pipeline.IsPermanent(err) {
		t.Errorf("a consumer reads two topics: %v", err)
	}
	if err := serve("fanmill.work.query.>", "all"); !pipeline.IsPermanent(err) {
		t.Errorf("a message is for two consumers: %v", err)
	}
}

// The bus lies as the real one does: answers get lost, messages come twice, and late, and those who listen miss some.
func TestBusLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := true
		b := &memstore.Bus{LosePublish: memstore.Once(true), LoseDone: memstore.Once(false),
			Late: func(m *pipeline.Message) bool { return late && string(m.Payload) == "1" }, Unheard: func(string) bool { return true }}
		stop, err := b.Listen(pipeline.TopicCommands, func(pipeline.Inquiry) { t.Error("a message was heard") })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		topic := pipeline.TopicQueryCommand("any", "r", "c")
		if err := b.Publish(topic, "one", []byte("1")); !errors.Is(err, memstore.ErrLost) || !errors.Is(err, pipeline.ErrTransient) {
			t.Errorf("a lost answer is %v", err)
		}
		for _, id := range []string{"one", "two"} { // the first was stored
			if err := b.Publish(topic, id, []byte(map[string]string{"one": "1", "two": "2"}[id])); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		got, end := make(chan *pipeline.Message, 10), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- b.Serve(ctx, nil, pipeline.Handler{Topic: pipeline.TopicCommands, Durable: "all", Parallel: 4, Handle: func(_ context.Context, m *pipeline.Message) error {
				got <- m
				<-end
				return nil
			}})
		}()
		synctest.Wait()
		if len(got) != 1 || string((<-got).Payload) != "2" {
			t.Fatal("the late one is not late")
		}
		late = false
		b.Wake()
		first := <-got
		b.Again(topic)
		again := []*pipeline.Message{<-got, <-got}
		if string(first.Payload) != "1" || again[0].Delivered != 2 || again[1].Delivered != 2 {
			t.Errorf("handed over are %+v, and then %+v", first, again)
		}
		if err := first.Done(ctx); !errors.Is(err, memstore.ErrLost) {
			t.Errorf("a lost answer is %v", err)
		}
		if err := first.Done(ctx); err != nil {
			t.Error(err)
		}
		if kept, err := b.Kept(ctx, topic, 9); err != nil || len(kept) != 1 {
			t.Errorf("kept are %v, %v", kept, err)
		}
		close(end)
		<-time.After(time.Hour) // of the bubble: nothing comes again
		cancel()
		if err := <-done; err != nil || len(got) > 0 {
			t.Errorf("%v, and %d more", err, len(got))
		}
	})
}
