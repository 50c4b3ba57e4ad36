package dedupe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"fanmill/pipeline"
)

// readSent calls f for every key of a file, and returns an error if the file is not exactly what was saved; what f was
// told counts for nothing then.
func readSent(ctx context.Context, s SentKeys, now sentHeading, f func(key []byte) error) error {
	file, err := os.Open(s.Path)
	if err != nil {
		return trouble("dedupe: the keys of the rows that were sent", err)
	}
	defer file.Close()
	r := &sentReader{ctx: ctx, file: file, sum: sha256.New(), buf: bufio.NewReaderSize(nil, sentBufBytes)}
	r.buf.Reset(r)
	why, err := r.all(s, now, f)
	if err != nil {
		return err
	}
	if why != "" {
		return pipeline.Permanent(fmt.Errorf("dedupe: %s, the keys of the rows that were sent: %s; start over, or the receiver gets rows again", s.Path, why))
	}
	return nil
}

// sentReader sums what is read, but for the last bytes, which are the sum.
type sentReader struct {
	ctx  context.Context
	file *os.File
	buf  *bufio.Reader
	sum  hash.Hash
	left int64 // bytes to be summed
}

func (r *sentReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	summed := min(int64(n), r.left)
	r.sum.Write(p[:summed])
	r.left -= summed
	return n, err
}

// all reads everything. why says what is wrong with the file.
func (r *sentReader) all(s SentKeys, now sentHeading, f func(key []byte) error) (why string, err error) {
	info, err := r.file.Stat()
	if err != nil {
		return "", trouble("dedupe: the keys of the rows that were sent", err)
	}
	r.left = max(info.Size()-sha256.Size, 0)
	if s.Bytes != 0 && info.Size() != s.Bytes {
		return fmt.Sprintf("it has %d bytes, %d were saved", info.Size(), s.Bytes), nil
	}
	if why, err := r.heading(now); why != "" || err != nil {
		return why, err
	}
	keys, why, err := r.keys(info.Size(), f)
	if why != "" || err != nil {
		return why, err
	}
	var end [sentTrailer]byte
	if _, err := io.ReadFull(r.buf, end[:]); err != nil {
		return cut(err)
	}
	sum := end[8:]
	switch {
	case r.buf.Buffered() > 0 || r.left != 0:
		return "something follows its end", nil
	case !bytes.Equal(r.sum.Sum(nil), sum):
		return "its bytes are not those that were saved: the SHA-256 differs", nil
	case s.SHA256 != "" && s.SHA256 != hex.EncodeToString(sum):
		return "it is not the file that was recorded: the SHA-256 differs", nil
	case le.Uint64(end[:]) != uint64(keys):
		return "it has another number of keys than it says", nil
	}
	return "", nil
}

func (r *sentReader) heading(now sentHeading) (why string, err error) {
	var line []byte
	for {
		part, err := r.buf.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return cut(err)
		}
		if len(line) > mostHeading {
			return "it is no file of keys", nil
		}
	}
	var h sentHeading
	if err := json.Unmarshal(line, &h); err != nil {
		return "it is no file of keys", nil
	}
	return h.fits(now), nil
}

// keys reads up to the length 0.
func (r *sentReader) keys(size int64, f func(key []byte) error) (keys int64, why string, err error) {
	var key []byte
	for {
		n, err := binary.ReadUvarint(r.buf)
		if err != nil {
			why, err := cut(err)
			return 0, why, err
		}
		if n == 0 {
			return keys, "", nil
		}
		if n > uint64(size) {
			return 0, "its bytes are not those that were saved", nil
		}
		if uint64(cap(key)) < n {
			key = make([]byte, n)
		}
		if _, err := io.ReadFull(r.buf, key[:n]); err != nil {
			why, err := cut(err)
			return 0, why, err
		}
		if err := f(key[:n]); err != nil {
			return 0, "", err
		}
		keys++
	}
}

// cut says what is wrong with a file that could not be read on; errors of the system, and of the context, are not the
// file's.
func cut(err error) (why string, _ error) {
	var system *fs.PathError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends early", nil
	case errors.As(err, &system) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return "", trouble("dedupe: the keys of the rows that were sent", err)
	default:
		return "its bytes are not those that were saved", nil
	}
}
