package sinktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"fanmill/internal/soak"
	"fanmill/pipeline/failpoint"
)

// instant is what the end of a process leaves behind.
type instant struct {
	step   string
	files  image
	record record
	has    string // what the receiver has
	back   func() // has the receiver have it again; nil of a destination that sends no requests
}

// now is what a process leaves that ends now. Goroutines of the sink may be at work.
func (w *world) now(step string) (instant, error) {
	files, err := take(w.root)
	i := instant{step: step, files: files, record: w.recorded()}
	if w.target.Keep != nil {
		i.has, i.back = w.target.Keep()
	}
	return i, err
}

// put takes the world back to an instant.
func (w *world) put(i instant) error {
	w.record = i.record
	if i.back != nil {
		i.back()
	}
	return i.files.put(w.root)
}

// instants runs a world to its end and keeps what a process that ends there leaves, between any two steps: those of the
// loop, each look at the context, each failpoint. What does not differ from the instant before is left out.
func (w *world) instants() (all []instant, err error) {
	var mu sync.Mutex
	var failed error
	over := false // the script has ended, and who looks now is late
	at := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		now, err := w.now(step)
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		if n := len(all); n > 0 {
			last := all[n-1]
			if last.has == now.has && reflect.DeepEqual(last.files, now.files) && reflect.DeepEqual(last.record, now.record) {
				return
			}
		}
		all = append(all, now)
	}
	w.step = func(name string) error { at(name); return nil }
	defer failpoint.Watch(at)()
	err = w.script(&watched{Context: context.Background(), look: func() { at("a look at the context") }})
	w.step = nil
	mu.Lock()
	defer mu.Unlock()
	over = true
	return all, errors.Join(err, failed)
}

// crashes ends the process between any two steps, and claims the destination again. What readers see is whole before
// anything runs again, and the finished artifact is that of an undisturbed run.
func crashes(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	all, err := w.instants()
	if err != nil {
		return err
	}
	end, err := w.end()
	if err != nil {
		return err
	}
	t.Logf("%d instants differ", len(all))
	if len(all) < 10 {
		return fmt.Errorf("only %d instants differ", len(all))
	}
	for k, now := range soak.Some(stride, all, func(i instant) string { return i.step }) {
		err := w.put(now)
		if err == nil {
			err = w.sound()
		}
		if err != nil {
			return fmt.Errorf("before anything runs again after a crash at instant %d, %q: %w", k, now.step, err)
		}
		if err := w.goOn(end); err != nil {
			return fmt.Errorf("a crash at instant %d, %q: %w", k, now.step, err)
		}
	}
	return nil
}
