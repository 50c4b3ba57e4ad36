package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// Aims of part memory.
const (
	aimMemory  = 200 << 20 // bytes
	aimGrowth  = 1.25      // of the memory at the fewest rows, at four times as many: flat, but for the collector's moods
	aimSpooled = 256 << 20 // bytes, where a row group or sorted keys are in memory, too
)

// benchMemory measures how the process's memory follows the rows: with one, two and four times as many.
func benchMemory(ctx context.Context, b *bench) error {
	b.printf("\n[memory] Peak memory of one run each, PostgreSQL -> destinations, --parallel 4\n")
	rows := b.rows / 4 * 4
	cases := []struct {
		name         string
		connections  int
		table        string
		destinations []string
	}{
		{"CSV and XLSX, 4 connections", 4, quarter, []string{"csv", "excel"}},
		{"CSV, 1 connection", 1, whole, []string{"csv"}},
	}
	t := table{}
	t.add("", "rows", "seconds", "rows/s", "CPU s", "peak MB", "of the first")
	var aims []func()
	for _, c := range cases {
		var first, largest, last float64
		for _, times := range []int{1, 2, 4} {
			total := rows * times
			if c.table == whole {
				total = b.rows * times
			}
			run := b.fanmill(c.name, job{connections: c.connections, query: repeated(c.table, times), rows: total, destinations: c.destinations})
			r, err := run.run(ctx)
			if err != nil {
				return err
			}
			last = float64(r.peak)
			largest = max(largest, last)
			ratio := none
			if first == 0 {
				first = last
			} else if first > 0 {
				ratio = fmt.Sprintf("%.2f", last/first)
			}
			t.add(c.name, count(float64(total)), seconds(r.wall.Seconds()), count(float64(total)/r.wall.Seconds()), seconds(r.cpu.Seconds()),
				megabytes(last), ratio)
		}
		if largest == 0 {
			aims = append(aims, b.noPeak)
			continue
		}
		aims = append(aims, func() {
			b.aim(c.name+": peak memory, below 200 MB", largest/(1<<20), " MB", largest < aimMemory)
			b.aim(c.name+": at 4 times the rows, at most 1.25 times", last/first, "", last/first <= aimGrowth)
		})
	}
	t.print(b.out)
	for _, say := range aims {
		say()
	}
	return nil
}

func (b *bench) noPeak() {
	b.printf("  this system does not tell the peak memory of an ended process\n")
}

const (
	wideConnections = 8
	wideShare       = 20 // the part of the rows that each connection has of them: a row is about a kilobyte
	wideMD5s        = 32 // of 32 characters each, which do not compress in the row log
	memoryExit      = 5  // the exit code of a run that was stopped for memory
)

// benchThresholds runs with rows of a kilobyte, many connections at a time and little memory allowed.
func benchThresholds(ctx context.Context, b *bench) error {
	each := b.rows / wideShare
	sql := fmt.Sprintf(`DROP TABLE IF EXISTS %[1]s; CREATE UNLOGGED TABLE %[1]s (id bigint NOT NULL, remarks text NOT NULL);
INSERT INTO %[1]s SELECT i, (SELECT string_agg(md5((i * %[3]d + k)::text), '') FROM generate_series(1, %[3]d) k) FROM generate_series(1::bigint, %[2]d) i; ANALYZE %[1]s`, wide, each, wideMD5s)
	if err := b.pg.exec(ctx, sql); err != nil {
		return fmt.Errorf("make the table of wide rows: %w", err)
	}
	total := each * wideConnections
	b.printf("\n[thresholds] Rows of 1 KB, CSV and XLSX, %d connections, --parallel %d: peak memory under MEMORY_THRESHOLD_MB\n", wideConnections, wideConnections)
	t := table{}
	t.add("threshold MB", "rows", "seconds", "rows/s", "CPU s", "peak MB", "of the threshold")
	var aims []func()
	for _, threshold := range []int{256, 512} {
		name := fmt.Sprint(threshold)
		run := b.fanmill(name, job{connections: wideConnections, query: repeated(wide, 1), rows: total, destinations: []string{"csv", "excel"},
			parallel: wideConnections, threshold: threshold})
		r, err := run.run(ctx)
		var ended *exec.ExitError
		if errors.As(err, &ended) && ended.ExitCode() == memoryExit {
			t.add(name, "stopped for memory", none, none, none, none, none)
			aims = append(aims, func() { b.aim(name+" MB: the run is not stopped for memory", 0, "", false) })
			continue
		}
		if err != nil {
			return err
		}
		share := float64(r.peak) / float64(int64(threshold)<<20)
		t.add(name, count(float64(total)), seconds(r.wall.Seconds()), count(float64(total)/r.wall.Seconds()), seconds(r.cpu.Seconds()),
			megabytes(float64(r.peak)), fmt.Sprintf("%.2f", share))
		if r.peak == 0 {
			aims = append(aims, b.noPeak)
			continue
		}
		aims = append(aims, func() { b.aim(name+" MB: peak memory, of the threshold, below 1", share, "", share < 1) })
	}
	t.print(b.out)
	for _, say := range aims {
		say()
	}
	return nil
}
