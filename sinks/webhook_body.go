package sinks

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"fanmill/pipeline"
)

// bodies writes the bodies of requests into one file, one after the other. They are the bytes on the wire: compressed
// ones are compressed here, once, so that every attempt sends the same.
type bodies struct {
	options  *webhookOptions
	envelope *envelope // nil for the usual one
	about    Envelope
	conn     int // of the requests: a connection, or pipeline.OfAll
	name     string
	path     string

	file     *os.File
	out      *countingWriter
	requests []pipeline.WireRequest
	// Of the request under way.
	to      io.Writer
	packer  *gzip.Writer
	sum     hash.Hash
	begin   int64
	open    bool
	rows    int64
	text    int64 // bytes before compression
	written bool  // a row stands before the next one
	tail    string
}

// countingWriter counts what goes to a file. It has no other methods of writing: they would not be counted.
type countingWriter struct {
	to *bufio.Writer
	n  int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.n += int64(n)
	return n, err
}

// newBodies makes the file.
func newBodies(folder, name string, o *webhookOptions, about Envelope, connection int) (*bodies, error) {
	b := &bodies{options: o, about: about, conn: connection, name: name, path: filepath.Join(folder, name)}
	if o.keys.Body != "" {
		var err error
		if b.envelope, err = newEnvelope(o.keys.Body); err != nil {
			return nil, pipeline.Permanent(err)
		}
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	b.file, b.out = f, &countingWriter{to: bufio.NewWriterSize(f, 256<<10)}
	return b, nil
}

// row writes one row, a JSON object without a line break.
func (b *bodies) row(line []byte) error {
	k := &b.options.keys
	full := k.MaxRowsPerRequest > 0 && b.rows >= k.MaxRowsPerRequest ||
		k.MaxBytesPerRequest > 0 && b.rows > 0 && b.text+int64(len(line))+tailRoom > k.MaxBytesPerRequest
	if b.open && full {
		if err := b.end(false); err != nil {
			return err
		}
	}
	if !b.open {
		if err := b.start(); err != nil {
			return err
		}
	}
	if b.written && !b.lines() {
		if err := b.put(",\n"); err != nil {
			return err
		}
	}
	b.written = true
	b.rows++
	b.text += int64(len(line))
	if _, err := b.to.Write(line); err != nil {
		return b.failed(err)
	}
	if b.lines() {
		return b.put("\n")
	}
	return nil
}

// tailRoom is what may follow the last row of a body, in bytes.
const tailRoom = 64

func (b *bodies) lines() bool { return b.options.keys.Format == "ndjson" }

// start begins a request.
func (b *bodies) start() error {
	b.open, b.written, b.rows, b.text, b.begin, b.tail = true, false, 0, 0, b.out.n, ""
	b.sum = sha256.New()
	b.to = io.MultiWriter(b.out, b.sum)
	if b.packer = nil; b.options.keys.Gzip {
		b.packer = gzip.NewWriter(b.to) // one member, without time and name
		b.to = b.packer
	}
	if b.lines() {
		return nil
	}
	var head string
	var err error
	if b.envelope != nil {
		head, b.tail, err = b.envelope.around(b.about)
	} else {
		head, err = usual(b.about)
	}
	if err != nil {
		return pipeline.Permanent(err)
	}
	return b.put(head)
}

// end finishes a request.
func (b *bodies) end(last bool) error {
	tail := b.tail
	if !b.lines() && b.envelope == nil {
		tail = usualTail(len(b.requests)+1, last)
	}
	if err := b.put(tail); err != nil {
		return err
	}
	r := pipeline.WireRequest{File: b.name, Offset: b.begin, Rows: b.rows, Connection: b.conn, Type: "application/json"}
	if b.lines() {
		r.Type = "application/x-ndjson"
	}
	if b.packer != nil {
		if err := b.packer.Close(); err != nil {
			return b.failed(err)
		}
		r.Encoding = "gzip"
	}
	r.Length, r.SHA256 = b.out.n-b.begin, hex.EncodeToString(b.sum.Sum(nil))
	b.requests, b.open = append(b.requests, r), false
	return nil
}

func (b *bodies) put(text string) error {
	b.text += int64(len(text))
	_, err := io.WriteString(b.to, text)
	return b.failed(err)
}

func (b *bodies) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s: %w", b.path, err)
}

// close ends the last request, one without rows if empty says so, and makes the file durable.
func (b *bodies) close(empty bool) (requests []pipeline.WireRequest, size int64, err error) {
	if !b.open && len(b.requests) == 0 && empty {
		err = b.start()
	}
	if err == nil && b.open {
		err = b.end(true)
	}
	if err == nil {
		err = b.failed(b.out.to.Flush())
	}
	if err == nil {
		err = b.failed(b.file.Sync())
	}
	if cerr := b.file.Close(); err == nil {
		err = b.failed(cerr)
	}
	return b.requests, b.out.n, err
}

// discard closes the file and removes it.
func (b *bodies) discard() {
	_ = b.file.Close()
	_ = os.Remove(b.path)
}
