package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Aims of writing workbooks.
const (
	aimSpeed = 5.0 // times excelize's rate
	aimSize  = 1.2 // times excelize's file
)

//go:embed native/libxlsxwriter.c
var libxlsxwriterC []byte

// benchRows measures rows in memory to a workbook, every contender in a process of its own.
func benchRows(ctx context.Context, b *bench) error {
	rows, rounds := b.rows/2, min(b.runs, 3)
	b.printf("\n[rows] Rows in memory -> XLSX: %s rows of %d columns; medians of %d runs in turn\n", count(float64(rows)), len(sampleColumns), rounds)
	contenders := []contender{
		b.writer("fanmill, all cores", writeWithFanmill, rows, 0),
		b.writer("fanmill, one core", writeWithFanmill, rows, 1),
		b.writer("excelize StreamWriter", writeWithExcelize, rows, 0),
	}
	native, why := b.libxlsxwriter(ctx, rows)
	switch {
	case why == nil:
		contenders = append(contenders, *native)
	case b.libx == "on":
		return why
	}
	all, err := compete(ctx, rounds, contenders...)
	if err != nil {
		return err
	}
	ours, peer := &all[0], &all[2]
	t := table{}
	t.add("", "seconds", "rows/s", "of excelize", "CPU s", "cores", "peak MB", "file MB", "of excelize")
	for i := range all {
		s := &all[i]
		t.add(s.name, seconds(s.median(wallSeconds)), count(s.rate()), fmt.Sprintf("%.1f", s.against(peer)), seconds(s.median(cpuSeconds)),
			fmt.Sprintf("%.1f", s.median(result.cores)), megabytes(s.median(peakBytes)), megabytes(s.median(fileBytes)),
			fmt.Sprintf("%.2f", s.median(fileBytes)/peer.median(fileBytes)))
	}
	t.print(b.out)
	if why != nil {
		b.printf("  libxlsxwriter: %v\n", why)
	}
	speed, size := ours.against(peer), ours.median(fileBytes)/peer.median(fileBytes)
	b.aim("all cores, times excelize's rate, at least 5", speed, "", speed >= aimSpeed)
	b.aim("file size, times excelize's, at most 1.2", size, "", size <= aimSize)
	return nil
}

// writer is a child that writes a workbook; processors 0 are all.
func (b *bench) writer(name, kind string, rows, processors int) contender {
	return contender{name, rows, func(ctx context.Context) (result, error) {
		path := filepath.Join(b.tmp, "rows.xlsx")
		defer os.Remove(path)
		variables := []string{"TMPDIR=" + b.tmp, "TMP=" + b.tmp}
		if processors > 0 {
			variables = append(variables, "GOMAXPROCS="+strconv.Itoa(processors))
		}
		r, err := runChild(ctx, rows, variables, childWrite, kind, strconv.Itoa(rows), path)
		if err != nil {
			return r, err
		}
		return r, measureFile(path, &r)
	}}
}

// libxlsxwriter compiles the C program; the error says why there is none.
func (b *bench) libxlsxwriter(ctx context.Context, rows int) (*contender, error) {
	if b.libx == "off" {
		return nil, errors.New("left out")
	}
	source, program, input := filepath.Join(b.tmp, "libxlsxwriter.c"), filepath.Join(b.tmp, "libxlsxwriter"), filepath.Join(b.tmp, "sample.txt")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	batch, err := sample()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(source, libxlsxwriterC, 0o644), os.WriteFile(input, tabbed(batch), 0o644)); err != nil {
		return nil, err
	}
	if text, err := exec.CommandContext(ctx, "cc", "-O2", "-o", program, source, "-lxlsxwriter").CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		return nil, fmt.Errorf("not installed (Debian, Ubuntu: apt install gcc libxlsxwriter-dev): %w %s", err, first)
	}
	return &contender{"libxlsxwriter, const. memory", rows, func(ctx context.Context) (result, error) {
		path := filepath.Join(b.tmp, "native.xlsx")
		defer os.Remove(path)
		cmd := exec.CommandContext(ctx, program, input, strconv.Itoa(rows), path)
		cmd.Env = append(os.Environ(), "TMPDIR="+b.tmp)
		r, text, err := execute(cmd)
		if err != nil {
			return r, err
		}
		var seconds float64
		var peak int64
		if _, err := fmt.Sscan(string(text), &seconds, &peak); err != nil {
			return r, fmt.Errorf("read what it says: %w: %s", err, text)
		}
		r.wall = time.Duration(seconds * float64(time.Second))
		if peak > 0 {
			r.peak = peak
		}
		return r, measureFile(path, &r)
	}}, nil
}
