package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"

	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// Count counts the rows of a Parquet file, whoever wrote it, by what its pages hold, and compares them with the footer.
// With the name of a column of texts it calls each for its values, those that stand together at once; a NULL is "".
func Count(ctx context.Context, r io.ReaderAt, size int64, column string, each func(value string, rows int64)) (rows int64, err error) {
	defer func() {
		if p := recover(); p != nil { // arrow-go's answer to some damaged pages
			err = fmt.Errorf("it is damaged: %v", p)
		}
	}()
	f, err := file.NewParquetReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return 0, fmt.Errorf("it is no Parquet file, or damaged: %w", err)
	}
	defer f.Close()
	at := 0
	if column != "" {
		if at = f.MetaData().Schema.ColumnIndexByName(column); at < 0 {
			return 0, fmt.Errorf("it has no column %s", column)
		}
	}
	for group := range f.NumRowGroups() {
		n := int64(0)
		if column != "" {
			n, err = countValues(ctx, f.RowGroup(group), at, each)
		} else {
			n, err = countPages(ctx, f.RowGroup(group))
		}
		if err != nil {
			return 0, fmt.Errorf("row group %d: %w", group, err)
		}
		if said := f.RowGroup(group).NumRows(); said != n {
			return 0, fmt.Errorf("row group %d has %d rows, and its footer says %d", group, n, said)
		}
		rows += n
	}
	return rows, nil
}

// countPages counts the rows of a group by the pages of its first column.
func countPages(ctx context.Context, g *file.RowGroupReader) (rows int64, err error) {
	if g.NumColumns() == 0 {
		return 0, errors.New("it has no columns")
	}
	pages, err := g.GetColumnPageReader(0)
	if err != nil {
		return 0, err
	}
	for pages.Next() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if _, dictionary := pages.Page().(*file.DictionaryPage); !dictionary {
			rows += int64(pages.Page().NumValues())
		}
	}
	return rows, pages.Err()
}

// countValues counts the rows of a group by the values of a column of texts.
func countValues(ctx context.Context, g *file.RowGroupReader, at int, each func(string, int64)) (rows int64, err error) {
	chunk, err := g.Column(at)
	if err != nil {
		return 0, err
	}
	texts, ok := chunk.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return 0, errors.New("the column with the connection's name has no texts")
	}
	const batch = 4096
	values, levels := make([]pq.ByteArray, batch), make([]int16, batch)
	most := texts.Descriptor().MaxDefinitionLevel()
	last, run := "", int64(0)
	for texts.HasNext() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, _, err := texts.ReadBatch(batch, values, levels, nil)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		next := 0
		for _, level := range levels[:n] {
			value := pq.ByteArray(nil)
			if most == 0 || level == most {
				value = values[next]
				next++
			}
			if string(value) != last {
				if run > 0 {
					each(last, run)
				}
				last, run = string(value), 0
			}
			run++
		}
		rows += n
	}
	if run > 0 {
		each(last, run)
	}
	return rows, texts.Err()
}
