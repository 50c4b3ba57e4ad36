package main

import (
	"context"
	"fmt"
)

// Aims of the parts over PostgreSQL.
const (
	aimCSV    = 0.8       // of psql's rate
	aimMemory = 200 << 20 // bytes
	aimGrowth = 1.25      // of the memory at the fewest rows, at four times as many: flat, but for the collector's moods
)

// benchCSV measures PostgreSQL to CSV.
func benchCSV(ctx context.Context, b *bench) error {
	return b.race(ctx, "csv", "PostgreSQL -> CSV", []string{"csv"}, b.runs, func(all []series, peer *series) {
		b.aim("one connection, of psql's rate, at least 0.80", all[0].against(peer), "", all[0].against(peer) >= aimCSV)
		b.aim("four connections, of psql's rate for as many rows, at least 0.80", all[1].against(peer), "", all[1].against(peer) >= aimCSV)
	})
}

// benchXLSX measures PostgreSQL to a workbook.
func benchXLSX(ctx context.Context, b *bench) error {
	return b.race(ctx, "xlsx", "PostgreSQL -> XLSX (psql writes CSV)", []string{"excel"}, min(b.runs, 3), nil)
}

// race lets psql run against fanmill with one connection and with four.
func (b *bench) race(ctx context.Context, part, title string, destinations []string, rounds int, aims func(all []series, peer *series)) error {
	b.printf("\n[%s] %s: %s rows of 15 columns; medians of %d runs in turn\n", part, title, count(float64(b.rows)), rounds)
	contenders := []contender{
		b.fanmill("fanmill, 1 connection", job{1, repeated(whole, 1), b.rows, destinations}),
		b.fanmill("fanmill, 4 connections", job{4, repeated(quarter, 1), b.rows / 4 * 4, destinations}),
	}
	if b.pg.psql != "" {
		contenders = append(contenders, b.psqlCopy())
	}
	all, err := compete(ctx, rounds, contenders...)
	if err != nil {
		return err
	}
	var peer *series
	if b.pg.psql != "" {
		peer = &all[2]
	}
	t := table{}
	t.add("", "seconds", "rows/s", "of psql", "CPU s", "cores", "peak MB", "file MB")
	for i := range all {
		s := &all[i]
		ratio := none
		if peer != nil {
			ratio = fmt.Sprintf("%.2f", s.against(peer))
		}
		t.add(s.name, seconds(s.median(wallSeconds)), count(s.rate()), ratio, seconds(s.median(cpuSeconds)),
			fmt.Sprintf("%.1f", s.median(result.cores)), megabytes(s.median(peakBytes)), megabytes(s.median(fileBytes)))
	}
	t.print(b.out)
	switch {
	case peer == nil:
		b.printf("  psql is not installed: there is nothing to compare with\n")
	case aims != nil:
		aims(all, peer)
	}
	return nil
}

// benchMemory measures how the process's memory follows the rows.
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
			run := b.fanmill(c.name, job{c.connections, repeated(c.table, times), total, c.destinations})
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
			aims = append(aims, func() { b.printf("  this system does not tell the peak memory of an ended process\n") })
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
