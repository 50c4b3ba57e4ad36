package nats_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fanmill/checkpoint"
	"fanmill/internal/porttest"

	"fanmill/pipeline"
)

// The store keeps to what the pipeline asks of it, as the one in memory does.
func TestKV(t *testing.T) {
	porttest.KV(t, func(t *testing.T) pipeline.KV { return open(t, t.TempDir()).Stores().Runs })
}

// The mark of a deletion goes by itself, or years of runs would leave millions.
func TestMarksOfDeletionsGo(t *testing.T) {
	c := open(t, t.TempDir())
	kv, key := c.Stores().Checkpoints, checkpoint.RecordKey("r", "d")
	if _, err := kv.Create(within(t), key, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t), key); err != nil {
		t.Fatal(err)
	}
	if ttl, err := c.LastHeader("KV_fanmill_checkpoints", "$KV.fanmill_checkpoints."+key, "Nats-TTL"); err != nil || ttl != "1h0m0s" {
		t.Errorf("the deletion's mark lives for %q, %v", ttl, err)
	}
}

// A request that is not answered in time may be tried again; one that was called off is only called off.
func TestCallErrorsAreClassified(t *testing.T) {
	kv := open(t, t.TempDir()).Stores().Runs
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := kv.Get(ctx, "k"); !errors.Is(err, context.Canceled) || errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("a cancelled call: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 0)
	defer cancel()
	if _, err := kv.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("a call out of time: %v", err)
	}
	if _, err := kv.Put(within(t), "a b", nil); err == nil {
		t.Error("a key with a space was stored")
	}
}

// A watch that begins while keys are removed tells when what is there has come: it does not wait for what is gone.
func TestWatchWhileKeysGo(t *testing.T) {
	kv := open(t, t.TempDir()).Stores().Runs
	ctx := within(t)
	for i := range 600 {
		if _, err := kv.Put(ctx, fmt.Sprintf("k%d.v", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	removed := make(chan error, 1)
	go func() { removed <- kv.RemoveAll(ctx, "*.v") }()
	for gone := false; !gone; {
		select {
		case err := <-removed:
			if gone = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		watching, stop := context.WithCancel(ctx)
		entries, err := kv.Watch(watching, ">")
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for e := range entries {
			if told = e.Key == ""; told {
				break
			}
		}
		stop()
		for range entries {
		}
		if !told {
			t.Fatal("the end of what is there was not told")
		}
	}
	if keys, err := kv.Keys(ctx, ">"); err != nil || len(keys) != 0 {
		t.Errorf("left are %q, %v", keys, err)
	}
}
