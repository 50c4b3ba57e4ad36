package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A child does one contender's work and ends, so that its processor time and its memory are its own.
const (
	childCommand = "child" // the hidden first argument
	childWrite   = "write" // child write KIND ROWS FILE: a workbook or a Parquet file
	childRead    = "read"  // child read KIND DRIVER QUERY: a query's rows, from the database that dsnVariable names
	childServe   = "serve" // child serve ROWS: a SQL Server of our own, until its standard input ends
)

// childResult is what a child prints.
type childResult struct {
	Nanoseconds int64 `json:"nanoseconds"` // of the work, without its preparations
	Rows        int   `json:"rows"`
	Peak        int64 `json:"peak"` // resident memory in bytes; 0 if the system does not tell
}

func child(args []string, stdout, stderr io.Writer) int {
	if err := beChild(args, stdout); err != nil {
		fmt.Fprintln(stderr, "bench child:", err)
		return 1
	}
	return 0
}

func beChild(args []string, stdout io.Writer) error {
	if len(args) == 2 && args[0] == childServe {
		return serveAsChild(args[1], os.Stdin, stdout)
	}
	if len(args) != 4 {
		return fmt.Errorf("arguments %q", args)
	}
	var work func() (rows int, err error)
	var err error
	switch args[0] {
	case childWrite:
		work, err = writing(args[1], args[2], args[3])
	case childRead:
		work, err = reading(args[1], args[2], args[3])
	default:
		err = fmt.Errorf("there is no work %q", args[0])
	}
	if err != nil {
		return err
	}
	start := time.Now()
	rows, err := work()
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(childResult{time.Since(start).Nanoseconds(), rows, ownPeak()})
}

// runChild runs this program as a child and measures it. variables are added to its environment.
func runChild(ctx context.Context, rows int, variables []string, args ...string) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{childCommand}, args...)...)
	cmd.Env = append(os.Environ(), variables...)
	return executeChild(cmd, rows)
}

// executeChild runs a program that prints a childResult and measures it.
func executeChild(cmd *exec.Cmd, rows int) (result, error) {
	r, text, err := execute(cmd)
	if err != nil {
		return r, err
	}
	var said childResult
	if err := json.Unmarshal(text, &said); err != nil {
		return r, fmt.Errorf("read what the child says: %w: %s", err, text)
	}
	if said.Rows != rows {
		return r, fmt.Errorf("%d rows, not %d", said.Rows, rows)
	}
	r.wall = time.Duration(said.Nanoseconds)
	if said.Peak > 0 {
		r.peak = said.Peak
	}
	return r, nil
}

// The kinds of childWrite.
const (
	writeWithFanmill  = "fanmill"
	writeWithExcelize = "excelize"
	writeWithParquet  = "parquet" // rows of which no two are the same
)

// writing prepares rows and returns what writes a file of them.
func writing(kind, count, file string) (work func() (int, error), err error) {
	rows, err := strconv.Atoi(count)
	if err != nil {
		return nil, err
	}
	if kind == writeWithParquet {
		batches, err := distinct(rows)
		return func() (int, error) { return writeParquet(file, batches) }, err
	}
	batch, err := sample()
	if err != nil {
		return nil, err
	}
	switch kind {
	case writeWithFanmill:
		return func() (int, error) { return rows, writeFanmill(file, batch, rows) }, nil
	case writeWithExcelize:
		table := boxed(batch)
		return func() (int, error) { return rows, writeExcelize(file, table, rows) }, nil
	}
	return nil, fmt.Errorf("nothing writes as %q", kind)
}

// ownPeak is the largest resident memory of this process, where Linux tells it: unlike maxRSS, of this program alone.
func ownPeak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}
