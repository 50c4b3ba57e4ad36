package sinktest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// end is the end of an undisturbed run, and what is known to lead there: of two worlds that are equal in all that
// decides what the next claim does, one need not be tried.
type end struct {
	artifacts map[string]string
	leads     map[string]bool
}

// end is that of a world that nobody disturbed.
func (w *world) end() (*end, error) {
	all, err := w.artifacts()
	return &end{all, map[string]bool{}}, err
}

// undisturbed runs a world to its end, and keeps where each run begins.
func (w *world) undisturbed() (starts []instant, e *end, err error) {
	for w.record.Run < len(w.plan.groups) {
		start, err := w.now("begin")
		if err != nil {
			return nil, nil, err
		}
		starts = append(starts, start)
		if err := w.run(context.Background()); err != nil {
			return nil, nil, err
		}
	}
	e, err = w.end()
	return starts, e, err
}

// goOn delivers what is left, and checks that it ends as it must.
func (w *world) goOn(e *end) error {
	var passed []string
	for w.record.Run < len(w.plan.groups) {
		left, err := w.left()
		if err != nil {
			return err
		}
		if e.leads[left] {
			break
		}
		passed = append(passed, left)
		if err := w.run(context.Background()); err != nil {
			return err
		}
	}
	if w.record.Run == len(w.plan.groups) {
		if err := w.whole(); err != nil {
			return err
		}
		if err := w.same(e.artifacts); err != nil {
			return err
		}
		if err := w.clean(); err != nil {
			return err
		}
	}
	for _, left := range passed {
		e.leads[left] = true
	}
	return nil
}

// left is everything that decides what the next claim does: the files, but for times, the record, and what the receiver
// has.
func (w *world) left() (string, error) {
	files, err := look(w.root) // nobody is at work
	if err != nil {
		return "", err
	}
	has := ""
	if w.target.Keep != nil {
		has, _ = w.target.Keep()
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		if strings.HasSuffix(name, ".manifest.json") { // it has the time in it
			f.text = ""
		}
		fmt.Fprintf(h, "%q %v %q %q\n", name, f.mode, f.twin, f.text)
	}
	fmt.Fprintf(h, "%q\n", has)
	err = json.NewEncoder(h).Encode(w.record)
	return string(h.Sum(nil)), err
}
