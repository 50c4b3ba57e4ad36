package nats_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"fanmill/nats"
)

// logged tells that something was logged.
type logged chan struct{}

func (s logged) Write(p []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(p), nil
}

// opening opens a store for a worker, which says that it waits, and brings what came of it.
func opening(ctx context.Context, t *testing.T, url string) <-chan *nats.Conn {
	t.Helper()
	waits, opened := make(logged, 1), make(chan *nats.Conn, 1)
	go func() {
		defer close(opened)
		c, err := nats.Open(ctx, nats.Options{Access: at(url), Worker: true, Log: slog.New(slog.NewTextHandler(io.Writer(waits), &slog.HandlerOptions{Level: slog.LevelWarn}))})
		switch {
		case err == nil:
			opened <- c
		case !errors.Is(err, context.Canceled):
			t.Errorf("open: %v", err)
		}
	}()
	select {
	case <-waits:
	case <-within(t).Done():
		t.Fatal("the worker does not say that it waits")
	}
	return opened
}

// A worker makes nothing in a store: it waits until a coordinator has, and works then.
func TestWorkerWaitsForWhatCoordinatorsMake(t *testing.T) {
	url := serve(t, 1, true)
	opened := opening(within(t), t, url)
	guest, err := nats.Open(within(t), nats.Options{Access: at(url), Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, guest)
	if made, err := guest.StreamReplicas(within(t)); err != nil || len(made) > 0 {
		t.Errorf("a worker has made %v, %v", made, err)
	}
	coordinator, err := nats.Open(within(t), nats.Options{Access: at(url)})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, coordinator)
	worker := <-opened
	if worker == nil {
		t.FailNow()
	}
	defer shut(t, worker)
	if worker.StoreID() != coordinator.StoreID() {
		t.Errorf("the worker takes the store for %s, the coordinator for %s", worker.StoreID(), coordinator.StoreID())
	}
	if _, err := worker.Stores().Checkpoints.Put(within(t), "k", []byte("{}")); err != nil {
		t.Error(err)
	}
	if _, err := coordinator.Stores().Checkpoints.Get(within(t), "k"); err != nil {
		t.Error(err)
	}
	if err := worker.Probe(within(t)); err != nil {
		t.Error(err)
	}
}

// A worker that is stopped while it waits does not wait on.
func TestWorkerThatWaitsIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(within(t))
	opened := opening(ctx, t, serve(t, 1, true))
	cancel()
	if c := <-opened; c != nil {
		shut(t, c)
		t.Error("the worker has opened a store where there is none")
	}
}
