package sinktest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
)

// acts are what a user does to a public file between a crash and the next claim.
var acts = map[string]func(path string) error{
	"deletes it": os.Remove,
	"renames another over it": func(path string) error {
		if err := os.WriteFile(path+".tmp", []byte("the user's "+filepath.Base(path)), 0o666); err != nil {
			return err
		}
		return os.Rename(path+".tmp", path)
	},
}

// users has a user delete or replace what is public. The run goes on: the artifact is there again, and whole; what the
// user put there is kept beside it. Of files per connection, one that has its final form is the user's from then on.
func users(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	all, err := w.instants()
	if err != nil {
		return err
	}
	want, err := w.artifacts()
	if err != nil {
		return err
	}
	tried := map[string]bool{}
	for _, now := range all {
		// Between two runs the file is the user's, and what the first claim of a resume finds is another matter.
		if now.record.Run > 0 || now.record.State == pipeline.RecordFinished || len(now.record.Shown) == 0 {
			continue
		}
		where := fmt.Sprint(now.step, len(now.record.Shown))
		if tried[where] {
			continue
		}
		tried[where] = true
		for act, do := range acts {
			if err := w.meddle(now, want, do); err != nil {
				return fmt.Errorf("after %q a user %s: %w", now.step, act, err)
			}
		}
	}
	if len(tried) < 4 {
		return fmt.Errorf("only %d instants", len(tried))
	}
	return nil
}

// meddle takes the world back to an instant, has the user act, and delivers the rest.
func (w *world) meddle(now instant, want map[string]string, act func(path string) error) error {
	if err := w.put(now); err != nil {
		return err
	}
	public, err := w.artifacts()
	if err != nil {
		return err
	}
	var users []string
	for name := range public {
		path := filepath.Join(w.out(), filepath.FromSlash(name))
		if d := w.spec().Destination; path != d.Path && !slices.Contains(d.Files, path) { // what stood there before, kept beside it
			continue
		}
		if err := act(path); err != nil {
			return err
		}
		if text, err := os.ReadFile(path); err == nil {
			users = append(users, string(text))
		}
	}
	if err := w.script(w.t.Context()); err != nil {
		return err
	}
	have, err := w.artifacts()
	if err != nil {
		return err
	}
	for name, text := range want {
		mine := w.split() && (have[name] == "" || strings.HasPrefix(have[name], "the user's "))
		if !mine && !w.subject.Varies && have[name] != text {
			err = errors.Join(err, fmt.Errorf("%s is not what it was to be: %d bytes, want %d", name, len(have[name]), len(text)))
		}
	}
	for _, text := range users {
		if !slices.ContainsFunc(keys(have), func(name string) bool { return have[name] == text }) {
			err = errors.Join(err, fmt.Errorf("the user's file is gone: there are %q", keys(have)))
		}
	}
	if err == nil && !w.split() {
		err = w.whole()
	}
	return err
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}
