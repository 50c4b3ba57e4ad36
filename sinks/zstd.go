package sinks

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdCodec makes frames [RFC 8878] with a checksum of the text. Frames cannot be joined: the text of the finished
// file is compressed once more, so that the frames before it are made quickly and it is made well.
type zstdCodec struct{}

const (
	zstdMagic = "\x28\xb5\x2f\xfd"
	// zstdWindow bounds the memory of both sides. Every reader takes 8 MB; rows resemble those close by.
	zstdWindow = 2 << 20
	// zstdReadWindow is what the program zstd takes, too, if it is not asked for more.
	zstdReadWindow = 128 << 20
)

// zstdEncoders makes encoders, which each compress one text at a time: batches are many at a time already.
func zstdEncoders(level zstd.EncoderLevel) *sync.Pool {
	return &sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true), zstd.WithZeroFrames(true))
		if err != nil {
			panic(err) // an option that is none
		}
		return e
	}}
}

// The encoders not in use, of frames and of finished files.
var zstdQuick, zstdWell = zstdEncoders(zstd.SpeedFastest), zstdEncoders(zstd.SpeedDefault)

func (zstdCodec) name() string  { return "zstd" }
func (zstdCodec) magic() string { return zstdMagic }

func (zstdCodec) pack(dst, text []byte) []byte {
	e := zstdQuick.Get().(*zstd.Encoder)
	defer zstdQuick.Put(e)
	return e.EncodeAll(text, dst)
}

func (zstdCodec) open(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdReadWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func (c zstdCodec) join(w io.Writer, r io.ReaderAt, from, to int64) error {
	text, err := c.open(io.NewSectionReader(r, from, to-from))
	if err != nil {
		return err
	}
	defer text.Close()
	e := zstdWell.Get().(*zstd.Encoder)
	defer zstdWell.Put(e)
	e.Reset(w)
	defer e.Reset(nil) // lets go of the file
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := text.Read(*buf)
		if n > 0 {
			if _, err := e.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return e.Close()
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errNotJoined, err)
		}
	}
}
