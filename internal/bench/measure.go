package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// result is one run of one contender.
type result struct {
	wall time.Duration // of the work itself
	cpu  time.Duration // of the whole process, user and system
	life time.Duration // of the whole process
	peak int64         // resident memory, bytes; 0 if unknown
	file int64         // size of what was written, bytes
}

// cores is how many processors the process kept busy.
func (r result) cores() float64 { return r.cpu.Seconds() / max(r.life, 1).Seconds() }

// contender is something that does a part's work.
type contender struct {
	name string
	rows int
	run  func(ctx context.Context) (result, error)
}

// series are the results of a contender, in the order of the rounds.
type series struct {
	contender
	results []result
}

// compete lets the contenders run in turn: a warm-up each, then the measured rounds. Whatever else slows the machine for
// a while so slows all of them.
func compete(ctx context.Context, rounds int, contenders ...contender) ([]series, error) {
	all := make([]series, len(contenders))
	for round := range rounds + 1 {
		for i, c := range contenders {
			r, err := c.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			all[i].contender = c
			if round > 0 {
				all[i].results = append(all[i].results, r)
			}
		}
	}
	return all, nil
}

// median of a figure over the rounds.
func (s *series) median(of func(result) float64) float64 {
	values := make([]float64, len(s.results))
	for i, r := range s.results {
		values[i] = of(r)
	}
	return median(values)
}

// rate is the median of the rows per second.
func (s *series) rate() float64 {
	return s.median(func(r result) float64 { return float64(s.rows) / r.wall.Seconds() })
}

// against is the median over the rounds of this contender's rate as a multiple of the peer's in the same round.
func (s *series) against(peer *series) float64 {
	ratios := make([]float64, len(s.results))
	for i := range ratios {
		ratios[i] = float64(s.rows) / s.results[i].wall.Seconds() / (float64(peer.rows) / peer.results[i].wall.Seconds())
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func wallSeconds(r result) float64 { return r.wall.Seconds() }
func cpuSeconds(r result) float64  { return r.cpu.Seconds() }
func peakBytes(r result) float64   { return float64(r.peak) }
func fileBytes(r result) float64   { return float64(r.file) }

// execute runs a program to its end and measures it. The text it prints comes back; what it says of an error is in the error.
func execute(cmd *exec.Cmd) (result, []byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	life := time.Since(start)
	if err != nil {
		return result{}, nil, fmt.Errorf("%s: %w\n%s%s", cmd.Path, err, stdout.Bytes(), stderr.Bytes())
	}
	state := cmd.ProcessState
	r := result{wall: life, life: life, cpu: state.UserTime() + state.SystemTime(), peak: maxRSS(state)}
	return r, stdout.Bytes(), nil
}
