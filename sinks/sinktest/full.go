package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fanmill/internal/soak"
	"fanmill/pipeline"
)

// fullChild is set in the process whose files are bounded: the bound holds for all of a process, and the one that go
// test watches writes files of its own.
const fullChild = "SINKTEST_FULL"

// fullDisk lets no file grow past a size, for each size that a file has in an undisturbed run: its last byte does not
// fit. What fails then says so, and goes on once there is room.
func fullDisk(t testing.TB, s Subject) error {
	if os.Getenv(fullChild) == "" {
		return again(t)
	}
	return full(t, s)
}

// again runs the present test in a process of its own.
func again(t testing.TB) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	levels := strings.Split(t.Name(), "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	child := exec.Command(exe, "-test.run="+strings.Join(levels, "/"), "-test.v")
	child.Env = append(os.Environ(), fullChild+"=1")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func full(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	sizes := map[int64]bool{}
	w.step = func(string) error {
		files, err := take(w.root)
		for _, f := range files {
			if f.text != "" {
				sizes[int64(len(f.text))] = true
			}
		}
		return err
	}
	if err := w.finished(); err != nil {
		return err
	}
	want, err := w.artifacts()
	if err != nil {
		return err
	}
	failed := 0
	for _, size := range soak.Some(stride, slices.Sorted(maps.Keys(sizes)), func(int64) bool { return false }) {
		w := newWorld(t, s, standard())
		err := w.within(size - 1)
		if err != nil {
			failed++
		}
		// That it is a bound and no full disk a sink may say, and give up: whoever started it must give it more.
		if err != nil && !strings.Contains(err.Error(), syscall.EFBIG.Error()) || errors.Is(err, pipeline.ErrLost) {
			return fmt.Errorf("no file can have %d bytes: %w", size, err)
		}
		if err := w.sound(); err != nil {
			return fmt.Errorf("no file can have %d bytes: %w", size, err)
		}
		if err := w.finished(); err != nil {
			return fmt.Errorf("no file could have %d bytes, and now there is room: %w", size, err)
		}
		if err := w.same(want); err != nil {
			return fmt.Errorf("no file could have %d bytes, and now there is room: %w", size, err)
		}
	}
	if failed == 0 {
		return fmt.Errorf("none of %d sizes was too large", len(sizes))
	}
	return nil
}

// within delivers while no file may be larger than that.
func (w *world) within(bytes int64) error {
	restore, err := limitFiles(bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.script(context.Background())
	if rerr := restore(); rerr != nil {
		w.t.Fatal(rerr)
	}
	return err
}
