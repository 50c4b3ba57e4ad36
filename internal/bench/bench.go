package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// bench is one run of the program.
type bench struct {
	options
	out    io.Writer
	tmp    string  // removed at the end
	pg     *server // nil where there is none
	binary string  // fanmill, built from this module
	why    error   // there is no pg
	missed int     // aims
	left   []left
}

// left is what could not be measured.
type left struct {
	what string
	why  error
}

// run measures all parts that are asked for and counts the aims that were missed or could not be looked at. Only trouble with
// measuring is an error.
func run(ctx context.Context, o options, out io.Writer) (missed int, err error) {
	b := &bench{options: o, out: out}
	if b.tmp, err = os.MkdirTemp(o.dir, "fanmill-bench-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	if b.any(func(p part) bool { return p.postgres != unused }) {
		b.pg, b.why = startServer(ctx, o.dir, o.rows)
		if b.why != nil && !errors.Is(b.why, errNoServer) {
			return 0, b.why
		}
		if b.pg != nil {
			defer func() { err = errors.Join(err, b.pg.stop()) }()
		}
	}
	if b.any(func(p part) bool { return p.name == scalePart || p.postgres == required && b.pg != nil }) {
		if err = b.build(ctx); err != nil {
			return 0, err
		}
	}
	b.printf("%s\n", machine(b.pg))
	for _, p := range parts {
		switch {
		case !o.wants(p):
			continue
		case p.postgres == required && b.pg == nil:
			b.leave(p.name, b.why)
			continue
		}
		if err = p.run(ctx, b); err != nil {
			return b.missed, fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	b.printf("\n")
	for _, l := range b.left {
		b.printf("Left out: %s. %v\n", l.what, l.why)
	}
	if b.missed > 0 {
		b.printf("%d aim(s) missed. Run again while nothing else uses the machine before believing it.\n", b.missed)
	} else {
		b.printf("All aims that were looked at are met.\n")
	}
	return b.missed + len(b.left), nil
}

// any reports whether a part that is asked for is of that kind.
func (b *bench) any(is func(part) bool) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return b.wants(p) && is(p) })
}

func (b *bench) leave(what string, why error) { b.left = append(b.left, left{what, why}) }

// build makes the binary that users get.
func (b *bench) build(ctx context.Context) error {
	b.binary = filepath.Join(b.tmp, "fanmill")
	if runtime.GOOS == "windows" {
		b.binary += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "fanmill/cmd/fanmill")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build fanmill (run this inside its module): %w\n%s", err, text)
	}
	return nil
}

func (b *bench) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) }

// aim prints how a figure compares with what it should be.
func (b *bench) aim(what string, value float64, unit string, met bool) {
	verdict := "met"
	if !met {
		verdict = "MISSED"
		b.missed++
	}
	b.printf("  aim: %-68s %8.3f%-3s %s\n", what, value, unit, verdict)
}
