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
	appendRounds = 15
	aimAppend    = 1.2 // times the first sheet
)

// benchAppend measures what a sheet costs in a workbook that grows: the first, and the fortieth.
func benchAppend(ctx context.Context, b *bench) (err error) {
	b.printf("\n[append] A growing workbook: sheets of %s rows; medians of %d runs in turn\n", count(appendRows), appendRounds)
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

	var contenders []contender
	for _, number := range []int{1, appendSheets} {
		file, err := os.Create(filepath.Join(b.tmp, fmt.Sprintf("append%d.xlsx", number)))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // the folder is removed anyway
		book := xlsx.New(properties)
		for i := 1; i < number; i++ {
			if book, err = book.Append(file, sheets(part, segments, i, fmt.Sprint("Branch ", i))); err != nil {
				return err
			}
		}
		if err := file.Sync(); err != nil {
			return err
		}
		contenders = append(contenders, appending(file, book, part, segments, number))
	}
	all, err := compete(ctx, appendRounds, contenders...)
	if err != nil {
		return err
	}
	t := table{}
	t.add("", "milliseconds", "workbook before, MB", "of the first")
	for i := range all {
		s := &all[i]
		t.add(s.name, fmt.Sprintf("%.2f", 1000*s.median(wallSeconds)), megabytes(s.median(fileBytes)), fmt.Sprintf("%.2f", s.median(wallSeconds)/all[0].median(wallSeconds)))
	}
	t.print(b.out)
	b.printf("  appended and synced to disk; encoding the rows of a sheet before that takes %.0f ms\n", 1000*encoding.Seconds())
	ratio := all[1].median(wallSeconds) / all[0].median(wallSeconds)
	b.aim(fmt.Sprintf("sheet %d, times sheet 1, at most 1.2", appendSheets), ratio, "", ratio <= aimAppend)
	return nil
}

// appending appends the same sheet at the same place again and again.
func appending(file *os.File, book *xlsx.Workbook, part io.ReaderAt, segments xlsx.Segments, number int) contender {
	return contender{fmt.Sprint("sheet ", number), appendRows, func(context.Context) (result, error) {
		err := errors.Join(file.Truncate(book.Length()), file.Sync())
		if err == nil {
			_, err = file.Seek(book.Length(), io.SeekStart)
		}
		if err != nil {
			return result{}, err
		}
		start := time.Now()
		if _, err = book.Append(file, sheets(part, segments, number, "The next")); err == nil {
			err = file.Sync()
		}
		return result{wall: time.Since(start), file: book.Length()}, err
	}}
}
