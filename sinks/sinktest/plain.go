package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// finished delivers what is left and checks that the target has it all, and that its files prove it.
func (w *world) finished() error {
	if err := w.script(context.Background()); err != nil {
		return err
	}
	return errors.Join(w.whole(), w.proven())
}

// same checks that the artifacts have the bytes of an undisturbed run's.
func (w *world) same(want map[string]string) error {
	if w.subject.Varies {
		return nil
	}
	have, err := w.artifacts()
	if err != nil {
		return err
	}
	for name, text := range want {
		if have[name] != text {
			return fmt.Errorf("%s has %d bytes and not those of an undisturbed run, which has %d", name, len(have[name]), len(text))
		}
	}
	if len(have) != len(want) {
		return fmt.Errorf("files are %q, of an undisturbed run %q", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
	}
	return nil
}

// clean checks that nothing private is left of a destination of files.
func (w *world) clean() error {
	var left []string
	err := filepath.WalkDir(filepath.Join(w.out(), ".fanmill"), func(path string, e os.DirEntry, err error) error {
		if err == nil {
			left = append(left, path)
		}
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("after Clean the private folder is there: %q (%v)", left, err)
	}
	return nil
}

// undisturbed is a run and its resume, looked at between any two steps.
func undisturbed(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	w.step = func(name string) error {
		if err := w.sound(); err != nil {
			return fmt.Errorf("at %q: %w", name, err)
		}
		return nil
	}
	if err := w.finished(); err != nil {
		return err
	}
	return w.clean()
}

// everythingTwice repeats each call that may be repeated: it changes nothing.
func everythingTwice(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	if err := w.finished(); err != nil {
		return err
	}
	want, err := w.artifacts()
	if err != nil {
		return err
	}
	w = newWorld(t, s, standard())
	w.twice = true
	if err := w.finished(); err != nil {
		return err
	}
	return w.same(want)
}

// noRows is a run whose connections have none.
func noRows(t testing.TB, s Subject) error {
	w := newWorld(t, s, plan{rows: [][]int{{0, 0}, {0, 0}}, groups: [][][]int{{{0}, {1}}}, replaced: -1})
	return w.finished()
}

// nothingAtAll is a run in which every connection failed, and a resume that brings one.
func nothingAtAll(t testing.TB, s Subject) error {
	w := newWorld(t, s, plan{rows: [][]int{{1, 1}, {2, 2}}, groups: [][][]int{{}, {{0}}}, replaced: -1})
	return w.finished()
}

// manyConnections commits them in groups.
func manyConnections(t testing.TB, s Subject) error {
	const many, together = 60, 25
	p := plan{groups: [][][]int{{nil}}, replaced: 7}
	for i := range many {
		p.rows = append(p.rows, []int{i % 4, i % 3})
		last := &p.groups[0][len(p.groups[0])-1]
		if *last = append(*last, i); len(*last) == together {
			p.groups[0] = append(p.groups[0], nil)
		}
	}
	w := newWorld(t, s, p)
	if err := w.finished(); err != nil {
		return err
	}
	first, err := w.artifacts()
	if err != nil {
		return err
	}
	w = newWorld(t, s, p)
	if err := w.finished(); err != nil {
		return err
	}
	if second, err := w.artifacts(); err != nil || !s.Varies && !maps.Equal(first, second) {
		return fmt.Errorf("the same rows have made other bytes (%w)", err)
	}
	return nil
}
