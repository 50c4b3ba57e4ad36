package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// A child writes one workbook and ends, so that its processor time and its memory are its own.
const (
	childCommand  = "child" // the hidden first argument: child KIND ROWS FILE
	childFanmill  = "fanmill"
	childExcelize = "excelize"
)

// childResult is what a child prints.
type childResult struct {
	Nanoseconds int64 `json:"nanoseconds"` // of writing, without making the sample
	Peak        int64 `json:"peak"`        // resident memory in bytes; 0 if the system does not tell
}

func child(args []string, stdout, stderr io.Writer) int {
	if err := writeAsChild(args, stdout); err != nil {
		fmt.Fprintln(stderr, "bench child:", err)
		return 1
	}
	return 0
}

func writeAsChild(args []string, stdout io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("%d arguments, not KIND ROWS FILE", len(args))
	}
	rows, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	batch, err := sample()
	if err != nil {
		return err
	}
	var write func() error
	switch args[0] {
	case childFanmill:
		write = func() error { return writeFanmill(args[2], batch, rows) }
	case childExcelize:
		table := boxed(batch)
		write = func() error { return writeExcelize(args[2], table, rows) }
	default:
		return fmt.Errorf("no contender %q", args[0])
	}
	start := time.Now()
	if err := write(); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(childResult{time.Since(start).Nanoseconds(), ownPeak()})
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
