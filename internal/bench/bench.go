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
	"strings"
)

// bench is one run of the program.
type bench struct {
	options
	out    io.Writer
	tmp    string   // removed at the end
	pg     *server  // nil where there is none
	binary string   // fanmill, built from this module
	missed int      // aims
	left   []string // parts that could not run
}

// run measures all parts that are asked for and counts the aims that were missed or could not be looked at. Only trouble with
// measuring is an error.
func run(ctx context.Context, o options, out io.Writer) (missed int, err error) {
	b := &bench{options: o, out: out}
	if b.tmp, err = os.MkdirTemp(o.dir, "fanmill-bench-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	var why error
	if b.needsPostgres() {
		b.pg, why = startServer(ctx, o.dir, o.rows)
		if why != nil && !errors.Is(why, errNoServer) {
			return 0, why
		}
		if b.pg != nil {
			defer func() { err = errors.Join(err, b.pg.stop()) }()
			if err = b.build(ctx); err != nil {
				return 0, err
			}
		}
	}
	b.printf("%s\n", machine(b.pg))
	for _, p := range parts {
		switch {
		case !o.wants(p):
			continue
		case p.postgres && b.pg == nil:
			b.left = append(b.left, p.name)
			continue
		}
		if err = p.run(ctx, b); err != nil {
			return b.missed, fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	b.printf("\n")
	if len(b.left) > 0 {
		b.printf("Left out: %s. %v\n", strings.Join(b.left, ", "), why)
	}
	if b.missed > 0 {
		b.printf("%d aim(s) missed. Run again while nothing else uses the machine before believing it.\n", b.missed)
	} else {
		b.printf("All aims that were looked at are met.\n")
	}
	return b.missed + len(b.left), nil
}

func (b *bench) needsPostgres() bool {
	for _, p := range parts {
		if p.postgres && b.wants(p) {
			return true
		}
	}
	return false
}

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
	b.printf("  aim: %-64s %8.3f%-3s %s\n", what, value, unit, verdict)
}
