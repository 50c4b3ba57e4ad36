package sinks_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"fanmill/pipeline"
)

// ends makes a destination's file end so.
func ends(ending string) func(*pipeline.Manifest, *pipeline.ManifestDestination) {
	return func(_ *pipeline.Manifest, d *pipeline.ManifestDestination) { d.Path += ending }
}

// unpack is the text of all members of a file, by its name; one says that there is one member, and nothing behind it.
func unpack(path string, one bool) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasSuffix(strings.ToLower(path), ".gz"):
		return unpackGzip(data, one)
	case strings.HasSuffix(strings.ToLower(path), ".zst"):
		return unpackZstd(data, one)
	}
	return string(data), nil
}

func unpackGzip(data []byte, one bool) (string, error) {
	in := bytes.NewReader(data)
	r, err := gzip.NewReader(in)
	if err != nil {
		return "", err
	}
	if !r.ModTime.IsZero() || r.Name != "" {
		return "", fmt.Errorf("time %v, name %q", r.ModTime, r.Name)
	}
	r.Multistream(!one)
	text, err := io.ReadAll(r)
	if err == nil && in.Len() > 0 {
		err = fmt.Errorf("%d bytes follow the first member", in.Len())
	}
	return string(text), err
}

func unpackZstd(data []byte, one bool) (string, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return "", err
	}
	defer d.Close()
	if len(data) == 0 {
		return "", io.ErrUnexpectedEOF // no frame
	}
	if end, err := zstdFrame(data); err != nil || one && end != len(data) {
		return "", fmt.Errorf("the first frame ends at %d of %d bytes: %w", end, len(data), err)
	}
	text, err := d.DecodeAll(data, nil)
	return string(text), err
}

// zstdFrame is where the first frame ends [RFC 8878] 3.1.1.
func zstdFrame(data []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(data); err != nil {
		return 0, err
	}
	for at := h.HeaderSize; at+3 <= len(data); {
		block := int(data[at]) | int(binary.LittleEndian.Uint16(data[at+1:]))<<8
		if at += 3; block>>1&3 == 1 { // one byte, many times
			at++
		} else {
			at += block >> 3
		}
		if block&1 != 0 {
			if h.HasCheckSum {
				at += 4
			}
			return at, nil
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// packWith compresses a text as another program does.
func packWith(tb tester, ending, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if ending == ".zst" {
		var err error
		if w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true)); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
