package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"fanmill/sinks/xlsx"
)

const (
	appendRows   = 30_000
	appendSheets = 40
	appendRounds = 15  // workbooks
	aimAppend    = 1.2 // times the first sheet
)

// benchAppend measures what a sheet costs in a workbook that grows: the first, and the fortieth.
func benchAppend(ctx context.Context, b *bench) (err error) {
	b.printf("\n[append] A growing workbook: sheets of %s rows; medians over %d workbooks\n", count(appendRows), appendRounds)
	batch, err := sample()
	if err != nil {
		return err
	}
	part, err := os.Create(filepath.Join(b.tmp, "append.part"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close(), os.Remove(part.Name())) }()
	start := time.Now()
	segments, err := encodeRows(part, batch, appendRows)
	if err != nil {
		return err
	}
	encoding := time.Since(start)

	var writing, syncing [appendSheets][]float64 // seconds, by sheet and round
	var sizes [appendSheets]int64
	for range appendRounds {
		if err := b.grow(ctx, part, segments, func(i int, before int64, write, sync time.Duration) {
			sizes[i] = before
			writing[i], syncing[i] = append(writing[i], write.Seconds()), append(syncing[i], sync.Seconds())
		}); err != nil {
			return err
		}
	}
	total := func(i int) float64 { return median(writing[i]) + median(syncing[i]) }
	t := table{}
	t.add("", "write ms", "sync ms", "together", "of the first", "workbook before, MB")
	for _, i := range []int{0, 1, appendSheets/2 - 1, appendSheets - 1} {
		t.add(fmt.Sprint("sheet ", i+1), fmt.Sprintf("%.2f", 1000*median(writing[i])), fmt.Sprintf("%.2f", 1000*median(syncing[i])),
			fmt.Sprintf("%.2f", 1000*total(i)), fmt.Sprintf("%.2f", total(i)/total(0)), megabytes(float64(sizes[i])))
	}
	t.print(b.out)
	b.printf("  encoding the rows of a sheet before that took %.0f ms\n", 1000*encoding.Seconds())
	ratio := total(appendSheets-1) / total(0)
	b.aim(fmt.Sprintf("sheet %d, times sheet 1, at most 1.2", appendSheets), ratio, "", ratio <= aimAppend)
	return nil
}

// grow makes a workbook of appendSheets sheets, synced after each as a commit does, and tells how long each took.
func (b *bench) grow(ctx context.Context, part io.ReaderAt, segments xlsx.Segments, took func(i int, before int64, write, sync time.Duration)) (err error) {
	file, err := os.Create(filepath.Join(b.tmp, "append.xlsx"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	book := xlsx.New(properties)
	for i := range appendSheets {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, start := book.Length(), time.Now()
		if book, err = book.Append(file, sheets(part, segments, i, fmt.Sprint("Branch ", i+1))); err != nil {
			return err
		}
		written := time.Now()
		if err := file.Sync(); err != nil {
			return err
		}
		took(i, before, written.Sub(start), time.Since(written))
	}
	return nil
}
