package sinks

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"

	"fanmill/sinks/deflate"
)

// gzipCodec makes members [RFC 1952] of a piece that deflate.Append has made. A member's length stands in an extra
// field of its header, so that members are found again, and joined: the new member has their pieces one after the
// other, a checksum that follows from theirs, and nothing is compressed again. Headers have no time and no name, so
// that the same lines are the same bytes.
type gzipCodec struct{}

const (
	gzipMagic = "\x1f\x8b"
	// gzipHead is a member's header before its length: deflate, an extra field, no time, an unknown system, and 12
	// bytes of extra fields, which are one, called FM, of 8 bytes.
	gzipHead    = gzipMagic + "\x08\x04\x00\x00\x00\x00\x00\xff\x0c\x00FM\x08\x00"
	gzipHeader  = int64(len(gzipHead) + 8)
	gzipTrailer = int64(len(deflate.End) + 8) // CRC-32 and length of the text, modulo 2^32
)

func (gzipCodec) name() string  { return "gzip" }
func (gzipCodec) magic() string { return gzipMagic }

func (gzipCodec) pack(dst, text []byte) []byte {
	start := len(dst)
	dst = appendGzipHeader(dst, 0)
	if len(text) > 0 {
		dst = deflate.Append(dst, text)
	}
	dst = appendGzipTrailer(dst, crc32.ChecksumIEEE(text), int64(len(text)))
	binary.LittleEndian.PutUint64(dst[start+len(gzipHead):], uint64(len(dst)-start))
	return dst
}

func appendGzipHeader(dst []byte, length int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, gzipHead...), uint64(length))
}

func appendGzipTrailer(dst []byte, crc uint32, text int64) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, deflate.End...), crc)
	return binary.LittleEndian.AppendUint32(dst, uint32(text))
}

func (gzipCodec) open(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

// gzipSum is what the trailer and the length of a joined member follow from.
type gzipSum struct {
	pieces int64 // bytes of pieces
	crc    uint32
	text   uint64 // bytes of text, modulo 2^32
}

// add accounts for a member that follows: the length of its pieces, and its trailer. That says the length of the text
// modulo 2^32, and the checksum needs all of it, but not of the first member. No other one has so much: it is a
// batch.
func (s *gzipSum) add(pieces int64, crc, text uint32) {
	s.pieces += pieces
	s.crc = deflate.CombineCRC(s.crc, crc, int64(text))
	s.text += uint64(text)
}

func (gzipCodec) join(w io.Writer, r io.ReaderAt, from, to int64) error {
	var sum gzipSum
	err := eachGzip(r, from, to, func(start, end int64, crc, text uint32) error {
		sum.add(end-start, crc, text)
		return nil
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	_, _ = out.Write(appendGzipHeader(nil, gzipHeader+sum.pieces+gzipTrailer)) // Flush has its error
	err = eachGzip(r, from, to, func(start, end int64, _, _ uint32) error { return copyRange(out, r, start, end) })
	if err != nil {
		return err
	}
	_, _ = out.Write(appendGzipTrailer(nil, sum.crc, int64(sum.text)))
	return out.Flush()
}

// eachGzip calls do for the pieces of every member, from where to where they stand, with the member's trailer.
func eachGzip(r io.ReaderAt, from, to int64, do func(start, end int64, crc, text uint32) error) error {
	for from < to {
		var b [gzipHeader]byte
		if to-from < gzipHeader+gzipTrailer {
			return errNotJoined
		}
		if _, err := r.ReadAt(b[:], from); err != nil {
			return err
		}
		length := int64(binary.LittleEndian.Uint64(b[len(gzipHead):]))
		if string(b[:len(gzipHead)]) != gzipHead || length < gzipHeader+gzipTrailer || length > to-from {
			return errNotJoined
		}
		start, end := from+gzipHeader, from+length-gzipTrailer
		if _, err := r.ReadAt(b[:gzipTrailer], end); err != nil && err != io.EOF {
			return err
		}
		if string(b[:len(deflate.End)]) != deflate.End {
			return errNotJoined
		}
		sums := b[len(deflate.End):]
		if err := do(start, end, binary.LittleEndian.Uint32(sums), binary.LittleEndian.Uint32(sums[4:])); err != nil {
			return err
		}
		from += length
	}
	return nil
}
