package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/cespare/xxhash/v2"
)

// Block is a batch of rows as it came, or the opening of its attempt.
type Block struct {
	Query int    // OpeningBlock for the opening
	First int64  // rows of the query before it
	Body  []byte // of a batch, columnar.ContentType; of the opening, JSON
}

// OpeningBlock stands in place of a query in the block that describes the attempt.
const OpeningBlock = -1

// Mark is a place in a rows file: how many bytes are before it, and the chained checksum of their blocks. A record
// keeps it, so it is small.
type Mark struct {
	Length int64  `json:"l"` // bytes
	Sum    uint64 `json:"s,string"`
}

// A block in a file: length of the body, query, rows before it, checksum of these three and the body; then the body.
// All little-endian.
const headBytes = 4 + 4 + 8 + 8

// maxBody bounds what a damaged length can ask for, in bytes. A batch is a few MB; one huge row may be larger.
const maxBody = math.MaxInt32

// Writer appends blocks to a rows file. One goroutine uses it.
type Writer struct {
	folder *Folder
	name   string
	file   *os.File
	out    *bufio.Writer
	at     Mark
	fresh  bool // its name is not durable yet
}

// Append writes a block. It waits for room in the space of the process; nothing of it is durable before Save.
func (w *Writer) Append(ctx context.Context, b Block) error {
	n := int64(headBytes + len(b.Body))
	if err := w.folder.space.Take(ctx, n); err != nil {
		return err
	}
	head := headOf(&b)
	_, err := w.out.Write(head[:])
	if err == nil {
		_, err = w.out.Write(b.Body)
	}
	if err != nil {
		w.folder.space.Give(n)
		return fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	w.at.Length += n
	w.at.Sum = chain(w.at.Sum, head)
	return nil
}

// Save makes what was appended durable, and says where that ends.
func (w *Writer) Save() (Mark, error) {
	err := w.out.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil && w.fresh {
		err = w.folder.syncDir()
	}
	if err != nil {
		return Mark{}, fmt.Errorf("save %s: %w", w.file.Name(), err)
	}
	w.fresh = false
	return w.at, nil
}

// Close leaves the file. What was not saved may be lost.
func (w *Writer) Close() error { return w.file.Close() }

// Remove closes the file and removes it.
func (w *Writer) Remove() error {
	err := errors.Join(w.file.Close(), os.Remove(w.file.Name()))
	w.folder.space.Give(w.at.Length)
	return err
}

// Each reads the blocks of a rows file up to a mark, in order. It verifies every block before it is handed over, and
// the whole at the end: an error that is ErrDamaged says that the file no longer has what was written. Body is valid
// until the next block.
func (f *Folder) Each(ctx context.Context, name string, at Mark, take func(Block) error) (err error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return gone(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, at.Length), bufferBytes)
	var sum uint64
	var body []byte
	for left := at.Length; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var head [headBytes]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return damaged(file.Name(), at.Length-left, err)
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if n > maxBody || n > left-headBytes {
			return damaged(file.Name(), at.Length-left, errors.New("a block is longer than what is left"))
		}
		if int64(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(in, body); err != nil {
			return damaged(file.Name(), at.Length-left, err)
		}
		b := Block{Query: int(int32(binary.LittleEndian.Uint32(head[4:]))), First: int64(binary.LittleEndian.Uint64(head[8:])), Body: body}
		if headOf(&b) != head {
			return damaged(file.Name(), at.Length-left, errors.New("the checksum of a block does not fit"))
		}
		sum = chain(sum, head)
		left -= headBytes + n
		if err := take(b); err != nil {
			return err
		}
	}
	if sum != at.Sum {
		return damaged(file.Name(), at.Length, errors.New("the blocks are not those that were recorded"))
	}
	return nil
}

// headOf is what stands before a block's body.
func headOf(b *Block) (head [headBytes]byte) {
	binary.LittleEndian.PutUint32(head[:], uint32(len(b.Body)))
	binary.LittleEndian.PutUint32(head[4:], uint32(int32(b.Query)))
	binary.LittleEndian.PutUint64(head[8:], uint64(b.First))
	d := xxhash.New()
	_, _ = d.Write(head[:16]) // never fails
	_, _ = d.Write(b.Body)
	binary.LittleEndian.PutUint64(head[16:], d.Sum64())
	return head
}

// chain extends the checksum of a file by a block. Its whole state is eight bytes, so that a record can carry it over a
// restart.
func chain(sum uint64, head [headBytes]byte) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], sum)
	copy(b[8:], head[16:])
	return xxhash.Sum64(b[:])
}

// ErrDamaged is a file of the spool that is gone, or no longer has what was recorded.
var ErrDamaged = errors.New("the spool no longer has what was recorded")

func damaged(path string, at int64, cause error) error {
	return fmt.Errorf("read %s at byte %d: %w (%w)", path, at, cause, ErrDamaged)
}

// gone marks the error of a file that is not there.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (%w)", err, ErrDamaged)
	}
	return err
}
