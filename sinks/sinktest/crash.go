package sinktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"fanmill/pipeline/failpoint"
)

// instant is what the end of a process leaves behind.
type instant struct {
	step   string
	files  image
	record record
}

// instants runs a world to its end and keeps what a process that ends there leaves, between any two steps: those of the
// loop, each look at the context, each failpoint. What does not differ from the instant before is left out.
func (w *world) instants() (all []instant, err error) {
	var mu sync.Mutex
	var failed error
	at := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		now, err := take(w.root)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		if n := len(all); n == 0 || !reflect.DeepEqual(all[n-1].files, now) || !reflect.DeepEqual(all[n-1].record, w.record) {
			all = append(all, instant{step, now, w.record})
		}
	}
	w.step = func(name string) error { at(name); return nil }
	defer failpoint.Watch(at)()
	err = w.script(&watched{Context: context.Background(), look: func() { at("a look at the context") }})
	w.step = nil
	return all, errors.Join(err, failed)
}

// crashes ends the process between any two steps, and claims the destination again. What readers see is whole before
// anything runs again, and the finished artifact is that of an undisturbed run.
func crashes(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	if w.target.Answer != nil { // what a receiver has cannot be put back: its process ends where the sink is forgotten
		return stops(t, s, errCrashed)
	}
	all, err := w.instants()
	if err != nil {
		return err
	}
	want, err := w.artifacts()
	if err != nil {
		return err
	}
	t.Logf("%d instants", len(all))
	if len(all) < 10 {
		return fmt.Errorf("only %d instants differ", len(all))
	}
	for k, now := range all {
		if err := w.goOn(now, want); err != nil {
			return fmt.Errorf("a crash at instant %d, %q: %w", k, now.step, err)
		}
	}
	return nil
}

// goOn takes the world back to an instant, and delivers the rest.
func (w *world) goOn(now instant, want map[string]string) error {
	if err := now.files.put(w.root); err != nil {
		return err
	}
	w.record = now.record
	if err := w.sound(); err != nil {
		return fmt.Errorf("before anything runs again: %w", err)
	}
	if err := w.finished(); err != nil {
		return err
	}
	if err := w.same(want); err != nil {
		return err
	}
	return w.clean()
}
