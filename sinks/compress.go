package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"fanmill/pipeline"
)

// A file of lines may be compressed. A batch becomes a member of its own, a whole gzip member or zstd frame, where it
// is encoded: side by side with others, and once. Parts and commits only copy members, so that every committed length
// is a valid file of exactly the committed lines. The finished file is one member, because several readers stop after
// the first one without an error.

// codec is a way of compressing.
type codec interface {
	// name is the option's value.
	name() string
	// magic is what every member begins with.
	magic() string
	// pack compresses text behind dst as a member. It may be called side by side, and gives the same bytes for the
	// same text.
	pack(dst, text []byte) []byte
	// open reads the text of members, whoever made them.
	open(r io.Reader) (io.ReadCloser, error)
	// join writes the text of the members from one place to another, all made by pack or join, as one member.
	join(w io.Writer, r io.ReaderAt, from, to int64) error
}

var codecs = []codec{gzipCodec{}, zstdCodec{}}

// compressionOption is of all kinds of files of lines.
var compressionOption = pipeline.Option{Name: "compression", Types: []string{"string"}, Enum: []string{"gzip", "zstd", "none"},
	Absent:      "as the file's ending says: `.gz` is gzip, `.zst` is zstd, others are none",
	Description: "How the file is compressed: see [compressed files](#compressed-files).", Example: "gzip"}

// compressedEndings are those of compressed files.
var compressedEndings = map[string]string{"gzip": ".gz", "zstd": ".zst"}

// textEndings are those that say that a file is text as it is.
var textEndings = map[string]bool{".csv": true, ".tsv": true, ".tab": true, ".txt": true, ".json": true, ".jsonl": true, ".ndjson": true}

// otherEndings promise a compression that nothing here writes.
var otherEndings = map[string]bool{".zip": true, ".bz2": true, ".xz": true, ".7z": true, ".br": true, ".lz4": true, ".lzma": true, ".lzo": true, ".rar": true,
	".snappy": true, ".sz": true, ".tgz": true, ".z": true, ".gzip": true, ".zstd": true, ".tzst": true}

// byEnding is the compression that a path's ending says, none of a text's, and "" if it says nothing.
func byEnding(path string) string {
	ending := strings.ToLower(filepath.Ext(strings.TrimSpace(path)))
	for name, known := range compressedEndings {
		if ending == known {
			return name
		}
	}
	if textEndings[ending] {
		return "none"
	}
	return ""
}

// codecOf is how the file at path is compressed, by the option's value or, if that is "", the path's ending; nil is
// not at all.
func codecOf(path, option string) codec {
	name := cmp.Or(option, byEnding(path))
	for _, c := range codecs {
		if c.name() == name {
			return c
		}
	}
	return nil
}

// checkCompression is the part of a kind's Check that concerns it: readers go by a file's name. What a token brings
// in is not looked at.
func checkCompression(d *pipeline.Destination, option string) error {
	path := strings.TrimSpace(d.FilePath)
	ending := filepath.Ext(path)
	rest := strings.TrimSuffix(path, ending)
	if otherEndings[strings.ToLower(ending)] {
		return problem{"filePath", fmt.Errorf("filePath ends in %s, which nothing here writes: end it in .gz (gzip) or .zst (zstd), such as %s.gz", ending, rest)}
	}
	says := byEnding(path)
	if option == "" || says == "" || option == says {
		return nil
	}
	if says == "none" {
		rest = path
	}
	return problem{"compression", fmt.Errorf("compression is %s, and filePath ends in %s: write \"filePath\": %q, or leave compression out", option, ending, rest+compressedEndings[option])}
}

// errNotJoined says that bytes which this program has written are no longer as it wrote them.
var errNotJoined = errors.New("the compressed copy of the file is damaged")

// piece is a chunk's text as it stands in a part.
type piece struct {
	data []byte
	text int64   // bytes of text, if it is compressed
	head int     // what of data the head of the text became
	own  *[]byte // data's memory, if it is compressed
}

var packBuffers = sync.Pool{New: func() any { return new([]byte) }}

// piece makes text what stands in a part. The first head bytes become members of their own.
func (l *lines) piece(text []byte, head int) piece {
	if l.codec == nil || len(text) == 0 {
		return piece{data: text, head: head}
	}
	p := piece{text: int64(len(text)), own: packBuffers.Get().(*[]byte)}
	p.data = (*p.own)[:0]
	if head > 0 {
		p.data = l.codec.pack(p.data, text[:head])
		p.head = len(p.data)
	}
	p.data = l.codec.pack(p.data, text[head:])
	*p.own = p.data
	return p
}

// release gives the memory back.
func (p *piece) release() {
	if p.own != nil {
		packBuffers.Put(p.own)
		p.own = nil
	}
}

// packed is a text that a commit writes between parts.
func (l *lines) packed(text []byte) []byte {
	if l.codec == nil || len(text) == 0 {
		return text
	}
	return l.codec.pack(nil, text)
}

// beginning is what a commit writes before its parts. A compressed file without a byte would be none: it has a member
// without text.
func (l *lines) beginning(head []byte, rows bool) []byte {
	if l.codec != nil && len(head) == 0 && !rows && l.table.artifact.State().Length == 0 {
		return l.codec.pack(nil, nil)
	}
	return l.packed(head)
}

// length is that of the committed text.
func (l *lines) length() int64 {
	if l.codec != nil {
		return l.text
	}
	return l.table.artifact.State().Length
}

// committed accounts for text that a commit has added.
func (l *lines) committed(text int64) {
	if l.codec != nil {
		l.text += text
	}
}

// final makes compressed members one. What rows were appended to stays as it is. A file that is not compressed is
// final as it was committed.
func (l *lines) final(*pipeline.Report) func(io.Writer, io.ReaderAt, int64) error {
	st, from := l.table.artifact.State(), int64(0)
	if st.Baseline != nil {
		from = st.Baseline.Length
	}
	if l.codec == nil || from > 0 && from == st.Length {
		return nil
	}
	return func(w io.Writer, committed io.ReaderAt, length int64) error {
		if err := copyRange(w, committed, 0, from); err != nil {
			return err
		}
		err := l.codec.join(w, committed, from, length)
		if errors.Is(err, errNotJoined) {
			err = pipeline.Transient(fmt.Errorf("%s: %w", l.table.artifact.Path(), err)) // the next claim proves it
		}
		return err
	}
}

// copyRange copies bytes from one place to another.
func copyRange(w io.Writer, r io.ReaderAt, from, to int64) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.NewSectionReader(r, from, to-from)}, *buf)
	if err == nil && n != to-from {
		err = errNotJoined
	}
	return err
}
