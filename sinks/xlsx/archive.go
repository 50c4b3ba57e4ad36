package xlsx

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"fanmill/sinks/deflate"
)

// archive writes entries one after the other and remembers the first error.
type archive struct {
	w   io.Writer
	at  int64
	err error
}

func (a *archive) write(p []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(p)
	a.at += int64(n)
	a.err = err
}

var partWriters = sync.Pool{New: func() any {
	fw, err := flate.NewWriter(nil, 6)
	if err != nil {
		panic(err) // an unknown level
	}
	return fw
}}

// put compresses and writes a small part.
func (a *archive) put(name string, content []byte) *entry {
	e, body := pack(content)
	e.name = name
	a.putPacked(e, body)
	return e
}

// pack compresses a small part; its entry has no name and no place yet.
func pack(content []byte) (*entry, []byte) {
	var p packer
	return p.end(content)
}

// packer compresses a part piece by piece. None refers to what stands before it, so that pieces can be kept and used
// again.
type packer struct {
	body bytes.Buffer
	raw  int64
	crc  uint32
}

// text compresses a piece of its own.
func (p *packer) text(content []byte) {
	p.compress(content, (*flate.Writer).Flush)
}

func (p *packer) compress(content []byte, finish func(*flate.Writer) error) {
	fw := partWriters.Get().(*flate.Writer)
	fw.Reset(&p.body)
	_, _ = fw.Write(content) // a buffer takes everything
	_ = finish(fw)
	partWriters.Put(fw)
	p.account(crcOf(content), int64(len(content)))
}

func (p *packer) account(crc uint32, raw int64) {
	p.crc = deflate.CombineCRC(p.crc, crc, raw)
	p.raw += raw
}

// piece is what was compressed.
func (p *packer) piece() Piece {
	return Piece{Data: p.body.Bytes(), RawLength: p.raw, CRC32: p.crc}
}

// add appends a piece that is compressed already.
func (p *packer) add(c Piece) {
	p.body.Write(c.Data)
	p.account(c.CRC32, c.RawLength)
}

// end compresses the last piece.
func (p *packer) end(content []byte) (*entry, []byte) {
	p.compress(content, (*flate.Writer).Close)
	return &entry{size: int64(p.body.Len()), raw: p.raw, crc: p.crc}, p.body.Bytes()
}

func (a *archive) putPacked(e *entry, body []byte) {
	e.offset = a.at
	a.write(append(e.appendLocal(nil), body...))
}

// copyEntry writes an entry as r has it compressed, under the name that to has.
func (a *archive) copyEntry(to, from *entry, r io.ReaderAt) {
	to.offset = a.at
	a.write(to.appendLocal(nil))
	if a.err != nil {
		return
	}
	n, err := copyExactly(a.w, func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(r, from.data(), from.size)), nil
	}, from.size)
	if a.at += n; err != nil {
		a.err = fmt.Errorf("copy %s: %w", from.name, err)
	}
}

var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// copyExactly copies what open gives, which has to be so many bytes.
func copyExactly(w io.Writer, open func() (io.ReadCloser, error), length int64) (int64, error) {
	r, err := open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	buf := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(r, length), buf[:])
	if err != nil {
		return n, err
	}
	if n < length {
		return n, fmt.Errorf("its part holds %d bytes of the recorded %d: %w", n, length, io.ErrUnexpectedEOF)
	}
	if more, err := r.Read(buf[:1]); more > 0 {
		return n, fmt.Errorf("its part holds more than the recorded %d bytes", length)
	} else if err != nil && err != io.EOF {
		return n, err
	}
	return n, nil
}
