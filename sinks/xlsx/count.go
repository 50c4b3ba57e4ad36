package xlsx

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

// SheetRows is how many rows a sheet has, its header not counted.
type SheetRows struct {
	Name string
	Rows int64
}

// Count counts the rows of every sheet of a workbook, whoever wrote it, in the order of the tabs: it unpacks all of
// them, several at a time, and compares each with its checksum.
func Count(ctx context.Context, r io.ReaderAt, size int64) ([]SheetRows, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("it is no workbook, or damaged: %w", err)
	}
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser { return flate.NewReader(r) })
	parts := make(map[string]*zip.File, len(z.File))
	for _, f := range z.File {
		parts[f.Name] = f
	}
	var book struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			RID  string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	var relations struct {
		List []relation `xml:"Relationship"`
	}
	if err := errors.Join(readPart(parts, workbookFile, &book), readPart(parts, relationsFile, &relations)); err != nil {
		return nil, err
	}
	targets := make(map[string]string, len(relations.List))
	for _, rel := range relations.List {
		target := rel.Target
		if !strings.HasPrefix(target, "/") {
			target = "xl/" + target
		}
		targets[rel.ID] = strings.TrimPrefix(path.Clean("/"+target), "/")
	}
	out := make([]SheetRows, len(book.Sheets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range book.Sheets {
		out[i].Name = s.Name
		g.Go(func() (err error) {
			f := parts[targets[s.RID]]
			if f == nil {
				return fmt.Errorf("sheet %q has no part", s.Name)
			}
			if out[i].Rows, err = countRows(ctx, f); err != nil {
				return fmt.Errorf("sheet %q: %w", s.Name, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// readPart reads a part of XML.
func readPart(parts map[string]*zip.File, name string, into any) error {
	f := parts[name]
	if f == nil {
		return fmt.Errorf("it is no workbook: %s is missing", name)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxPart))
	if err == nil {
		err = xml.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// rowStart is how a row begins [ECMA-376 18.3.1.73]; in texts its < is escaped.
var rowStart = []byte("<row ")

// countRows counts the rows of a sheet under its header.
func countRows(ctx context.Context, f *zip.File) (rows int64, err error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	const chunk = 256 << 10
	buf := make([]byte, len(rowStart)-1+chunk)
	have := 0 // what a row may begin with that goes on in the next chunk
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(buf[have:])
		have += n
		rows += int64(bytes.Count(buf[:have], rowStart))
		if err == io.EOF {
			return max(0, rows-1), nil
		}
		if err != nil {
			return 0, err
		}
		keep := min(have, len(rowStart)-1)
		have = copy(buf, buf[have-keep:have])
	}
}
