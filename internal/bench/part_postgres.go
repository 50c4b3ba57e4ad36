package main

import (
	"context"
	"fmt"
)

const aimCSV = 0.8 // of psql's rate

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
		b.fanmill("fanmill, 1 connection", job{connections: 1, query: repeated(whole, 1), rows: b.rows, destinations: destinations}),
		b.fanmill("fanmill, 4 connections", job{connections: 4, query: repeated(quarter, 1), rows: b.rows / 4 * 4, destinations: destinations}),
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
