package verify

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Open reads the text of a file, which is compressed if its name ends in .gz or .zst.
func Open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text := io.NopCloser(f)
	switch strings.ToLower(filepath.Ext(path)) {
	case ".gz":
		text, err = gzip.NewReader(f)
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1)); err == nil {
			text = d.IOReadCloser()
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return opened{text, f}, nil
}

// opened is a file and the text in it.
type opened struct {
	io.ReadCloser
	file *os.File
}

// Close closes both.
func (o opened) Close() error { return errors.Join(o.ReadCloser.Close(), o.file.Close()) }
