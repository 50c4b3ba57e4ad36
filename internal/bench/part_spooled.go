package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

const spooledTimes = 5 // the rows of a run, of options.rows

// benchSpooled runs what keeps rows in a spool before it writes or sends them, with five times the rows. No two rows
// are equal: dedupe has to remember every one.
func benchSpooled(ctx context.Context, b *bench) error {
	taken, err := startReceiver(0)
	if err != nil {
		return err
	}
	defer taken.close()
	rows := b.rows / 4 * 4 * spooledTimes
	b.printf("\n[spooled] From the spool: %s rows of 15 columns, no two of them equal, 4 connections; one run each\n", count(float64(rows)))
	t := table{}
	t.add("", "seconds", "rows/s", "CPU s", "peak MB", "MB written")
	var aims []func()
	for _, s := range sinkContenders(taken.url) {
		if !slices.Contains([]string{parquetFile, distinctRows}, s.name) {
			continue
		}
		c := b.fanmill(s.name, job{connections: 4, query: unequal(quarter, b.rows/4, spooledTimes), rows: rows, destination: s.make})
		r, err := taken.counting(c, true).run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		t.add(s.name, seconds(r.wall.Seconds()), count(float64(rows)/r.wall.Seconds()), seconds(r.cpu.Seconds()), megabytes(float64(r.peak)), megabytes(float64(r.file)))
		if r.peak == 0 {
			aims = append(aims, b.noPeak)
			continue
		}
		aims = append(aims, func() {
			b.aim(s.name+": peak memory, below 256 MB", float64(r.peak)/(1<<20), " MB", r.peak < aimSpooled)
		})
	}
	t.print(b.out)
	for _, say := range aims {
		say()
	}
	return nil
}

// unequal is a query that returns a table's rows so many times, with an id that no other row has, nor one of another
// connection: a connection is a process of the server's.
func unequal(table string, rows, times int) string {
	selects := make([]string, times)
	for i := range selects {
		selects[i] = fmt.Sprintf("select pg_backend_pid() * 1000000000::bigint + %d + id as id, invoice_no, ack_no, customer_id, customer, gstin, place_of_supply, hsn,"+
			" invoice_date, due_date, taxable_value, cgst, sgst, total, created_at from %s", i*rows, table)
	}
	return strings.Join(selects, " union all ")
}
