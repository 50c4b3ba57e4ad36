package sinks

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"fanmill/pipeline"
)

// look is what the text of a file shows that rows are appended to.
type look struct {
	head   []byte // maxHeaderBytes of it, if it has so many
	length int64
	last   byte
	quotes int
}

// look reads all of a file once, and keeps its beginning.
func (l *lines) look(r io.ReaderAt, size int64) (look, error) {
	var seen look
	in := &inspected{r: io.NewSectionReader(r, 0, size)}
	text := io.Reader(in)
	if l.codec != nil {
		if err := l.begins(r); err != nil {
			return seen, err
		}
		opened, err := l.codec.open(in)
		if err != nil {
			return seen, l.unread(in, err)
		}
		defer opened.Close()
		text = opened
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := text.Read(*buf)
		seen.add((*buf)[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return seen, l.unread(in, err)
		}
	}
	if l.codec != nil {
		l.text = seen.length
		return seen, nil
	}
	if seen.length != size {
		return seen, l.unread(in, io.ErrUnexpectedEOF)
	}
	for _, c := range codecs {
		if strings.HasPrefix(string(seen.head), c.magic()) {
			return seen, l.refuse("it is compressed with %s, and this destination writes text as it is (\"compression\": \"none\")", c.name())
		}
	}
	return seen, nil
}

func (s *look) add(text []byte) {
	if len(text) == 0 {
		return
	}
	s.head = append(s.head, text[:min(len(text), maxHeaderBytes-len(s.head))]...)
	s.length += int64(len(text))
	s.last = text[len(text)-1]
	s.quotes += bytes.Count(text, []byte{'"'})
}

// begins refuses a file that is compressed in another way, or not at all.
func (l *lines) begins(r io.ReaderAt) error {
	b := make([]byte, 4)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return pipeline.Transient(fmt.Errorf("read %s: %w", l.table.artifact.Path(), err))
	}
	skippable := l.codec.name() == "zstd" && n == 4 && b[0]&0xf0 == 0x50 && string(b[1:]) == "\x2a\x4d\x18" // [RFC 8878] 3.1.2
	if !strings.HasPrefix(string(b[:n]), l.codec.magic()) && !skippable {
		return l.refuse("it is not compressed with %s, as this destination writes it", l.codec.name())
	}
	return nil
}

// unread is the error of a file that cannot be read to its end.
func (l *lines) unread(in *inspected, err error) error {
	if in.err != nil || l.codec == nil {
		return pipeline.Transient(fmt.Errorf("read %s: %w", l.table.artifact.Path(), err))
	}
	if err == io.ErrUnexpectedEOF {
		return l.refuse("it is damaged: it ends in the middle of its compressed bytes; put that right first")
	}
	return l.refuse("it is damaged, or not all of it is compressed with %s (%v); put that right first", l.codec.name(), err)
}

// refuse says why nothing can be appended, and what to do.
func (l *lines) refuse(format string, args ...any) error {
	return pipeline.Permanent(fmt.Errorf("rows cannot be appended to %s: %s; for a new run without --resume let the destination write the same way, or give it another filePath or \"mode\": \"replace\"",
		l.table.artifact.Path(), fmt.Sprintf(format, args...)))
}

// inspected remembers the error of a file that is read, which is none of what is in it.
type inspected struct {
	r   io.Reader
	err error
}

func (r *inspected) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
